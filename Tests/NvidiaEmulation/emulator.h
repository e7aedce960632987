/// Runs kernels written for NVIDIA's warps on a CPU, one work-item a fiber, one group at a time.
///
/// The kernels are the files of kernels/, compiled as OpenCL C for the host with -DNV_EMULATED, so
/// that nv_mma_ptx.cl calls the functions of emulator.c where it would emit PTX. Lanes stop at each
/// warp-wide operation, and the operation is done once for all 32. What stops the program, with a
/// line that names group, warp and lane:
///
/// - lanes of a warp at different operations, or work-items that miss a barrier;
/// - a race in local memory: what another work-item wrote or reads since the last barrier, or what
///   is still being copied; and reads of what nobody wrote;
/// - a cell that is not on a multiple of 16 bytes;
/// - eight lanes whose cells share a bank.
///
/// What it does not show: rounding inside the tensor cores, timing, the driver's compiler.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// In which order warps and lanes run, and when copies happen: the results must not depend on it.
typedef enum emulated_order {
    EMULATED_FIRST_TO_LAST, /// copies happen when they are started
    EMULATED_LAST_TO_FIRST, /// copies happen when they are waited for
} emulated_order;

/// Calls `kernel(arguments)` once for each of `work_items` work-items of each group.
void emulate(void (*kernel)(const void *arguments), const void *arguments, const uint32_t groups[3],
             uint32_t work_items, emulated_order order);

/// `bytes` bytes, the last of which (up to 15 bytes of alignment) are followed by memory that may
/// not be touched. Freed with guarded_free.
void *guarded_alloc(size_t bytes);
void guarded_free(void *memory, size_t bytes);
