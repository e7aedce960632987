/// What benchmarks hold a device's kernels against: its arithmetic at full speed, and BLAS.
///
/// Memory at full speed needs no call of its own: `forja_cast` from f32 to f32 is a copy.
#pragma once

#include "forja_matmul.h"

#ifdef __cplusplus
extern "C" {
#endif

/// A GPU that also draws a screen stops kernels that take seconds.
enum { FORJA_MULTIPLY_ADD_MAX_STEPS = 1 << 20 };

/// Fused multiply-adds on registers alone: out[i] is x after `steps` times x ← x · factor + addend, from x = i mod 1024.
/// (Host processors without such an instruction round the product too.)
///
/// Elements are independent chains, several of them in the registers of a thread, so with a `count` of some thousand
/// elements for each compute unit and `steps` in the thousands the time is that of 2 · count · steps floating-point
/// operations and of nothing else.
typedef struct forja_multiply_add_args {
    forja_span out; /// [count] f32
    uint64_t count;
    uint64_t steps; /// ≤ FORJA_MULTIPLY_ADD_MAX_STEPS
    float factor, addend;
} forja_multiply_add_args;
forja_status forja_multiply_add(forja_queue *queue, const forja_multiply_add_args *args);

/// `forja_matmul` by one call of the host's BLAS on as many threads as the queue's device has: the number to compare
/// kernels with. Bits may differ from `forja_matmul`'s. Restores BLAS's thread setting; not while another thread uses BLAS.
/// @return FORJA_ERROR_INVALID_ARGUMENT unless the queue's device is the host, both types are f32 and the batch is 1;
///         FORJA_ERROR_OUT_OF_RANGE when a side passes 2^31 − 1; what `forja_matmul` says of wrong arguments.
forja_status forja_blas_matmul(forja_queue *queue, const forja_matmul_args *args);

/// Ends BLAS's threads until it needs them again: OpenBLAS's look for work for a tenth of a second before they sleep, on
/// the cores of whoever is measured next. Does nothing where BLAS cannot. Not while another thread uses BLAS.
void forja_blas_end_threads(void);

#ifdef __cplusplus
}
#endif
