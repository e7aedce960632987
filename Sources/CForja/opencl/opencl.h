/// The OpenCL half of the engine: the loader's table of entry points, an open device, programs and launches.
#pragma once

// The engine calls OpenCL 1.2 and nothing later, so that every driver will do.
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "../internal.h"

/// Entry points of libOpenCL.so.1, opened once; NULL when there is no loader (forja_opencl_status says why).
typedef struct forja__opencl_api forja__opencl_api; /// opencl/loader.h lists them
const forja__opencl_api *forja__opencl(void);

/// One kernel file of kernels/. The order is that of the table in opencl/kernel_sources.c.
typedef enum forja__source {
    FORJA__SOURCE_MATMUL,
    FORJA__SOURCE_MATMUL_CPU,
    FORJA__SOURCE_MATMUL_XMX,
    FORJA__SOURCE_MATMUL_AMD,
    FORJA__SOURCE_ATTENTION,
    FORJA__SOURCE_ATTENTION_CPU,
    FORJA__SOURCE_ATTENTION_GPU,
    FORJA__SOURCE_ATTENTION_XMX,
    FORJA__SOURCE_ATTENTION_AMD,
    FORJA__SOURCE_PROBE_XMX,
    FORJA__SOURCE_PROBE_AMD,
    FORJA__SOURCE_LOG_PROBABILITY,
    FORJA__SOURCE_EMBEDDING,
    FORJA__SOURCE_RMSNORM,
    FORJA__SOURCE_ROPE,
    FORJA__SOURCE_SWIGLU,
    FORJA__SOURCE_ADD,
    FORJA__SOURCE_SOFTMAX,
    FORJA__SOURCE_CAST,
    FORJA__SOURCE_REDUCE,
    FORJA__SOURCE_ADAMW,
    FORJA__SOURCE_CACHE,
    FORJA__SOURCE_PEAK,
    FORJA__SOURCE_NV_MMA_PROBE,
    FORJA__SOURCE_MATMUL_NV_MMA,
    FORJA__SOURCE_ATTENTION_NV_MMA,
    FORJA__SOURCE_MATMUL_NV_WGMMA, /// PTX, made from its .cl by .ci/nvidia.sh
    FORJA__SOURCE_COUNT,
} forja__source;

// What launchers choose variants by.

/// Whether one work-item has a core to itself. Not so on llvmpipe, the CPU device of Mesa's
/// rusticl: its work-items are lanes of a vector, as on GPUs, and one that holds tiles compiles for
/// minutes.
bool forja__opencl_is_cpu(const forja_device *device);
uint64_t forja__opencl_max_work_group(const forja_device *device);
/// Floats in a vector register: 4, 8 or 16.
uint32_t forja__opencl_vector_width(const forja_device *device);

/// A kernel ready for arguments, built on first use (binary cache on disk, then compiler) and kept for the device's
/// life. Every source is compiled behind kernels/common.cl (storage_t loads and stores, bf16 and f16 conversion) with
/// "-cl-std=CL1.2" and `options`: a string such as "-DSTORAGE_BF16 -DHEAD_DIM=64", the same text every time for the
/// same variant. Never fast-math: NaN and overflow must be seen. PTX is taken as it is.
forja_status forja__kernel_get(cl_kernel *out, forja_device *device, forja__source source,
                               const char *options, const char *kernel_name);

/// One kernel argument. Made by the FORJA__ARG macros.
typedef struct forja__arg {
    size_t size;
    const void *value;
} forja__arg;

/// A span is passed as two arguments: `__global T *buffer, ulong offset`. An absent span passes a NULL buffer, 0.
#define FORJA__ARG_SPAN(span)                                                           \
    (forja__arg){sizeof(cl_mem), forja__span_memory(&(span))},                          \
        (forja__arg){sizeof(cl_ulong), &(span).offset}
#define FORJA__ARG(value) (forja__arg){sizeof(value), &(value)}
const void *forja__span_memory(const forja_span *span);

/// Sets the arguments and enqueues. `global` and `local` have `dimensions` entries; `local` NULL lets the driver
/// choose. Counts the launch.
forja_status forja__kernel_launch(forja_queue *queue, cl_kernel kernel, const char *kernel_name,
                                  const forja__arg *args, size_t arg_count, uint32_t dimensions,
                                  const size_t *global, const size_t *local);
#define FORJA__LAUNCH(queue, kernel, name, dimensions, global, local, ...)               \
    forja__kernel_launch((queue), (kernel), (name), (forja__arg[]){__VA_ARGS__},         \
                         sizeof((forja__arg[]){__VA_ARGS__}) / sizeof(forja__arg),       \
                         (dimensions), (global), (local))
