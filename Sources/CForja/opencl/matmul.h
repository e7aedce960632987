/// The variants of matmul.cl and matmul_cpu.cl and their launchers.
#pragma once

#include "opencl.h"

typedef enum forja__matmul_variant {
    FORJA__MATMUL_REFERENCE,
    FORJA__MATMUL_PANELS,
    FORJA__MATMUL_LOCAL,
} forja__matmul_variant;

/// By device class, or as FORJA_MATMUL_VARIANT=ref|cpu|gpu says.
forja__matmul_variant forja__matmul_choose(const forja_device *device);

/// "-D" options of the operands' types, with a leading space; "" for f32.
const char *forja__matmul_storage_options(const forja_matmul_args *args);
/// Floats in a vector register: 4, 8 or 16.
uint32_t forja__matmul_vector_width(const forja_device *device);
uint64_t forja__ceil_div(uint64_t a, uint64_t b);

/// opencl/matmul_panels.c
uint64_t forja__matmul_panels_bytes(const forja_device *device, const forja_matmul_args *args);
forja_status forja__matmul_launch_panels(forja_queue *queue, const forja_matmul_args *args);
