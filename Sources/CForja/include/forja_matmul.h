/// Matrix product.
#pragma once

#include "forja_queue.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum forja_matmul_layout {
    FORJA_MATMUL_NN = 0, /// C[M,N] = A[M,K] · B[K,N]
    FORJA_MATMUL_NT = 1, /// C[M,N] = A[M,K] · B[N,K]ᵀ   (a linear layer's forward)
    FORJA_MATMUL_TN = 2, /// C[M,N] = A[K,M]ᵀ · B[K,N]   (a weight's gradient)
} forja_matmul_layout;

/// C = alpha · op(A) · op(B), or C += alpha · op(A) · op(B) when `accumulate`.
///
/// Row-major; `lda`, `ldb`, `ldc` are elements between rows as stored; strides are elements between
/// the matrices of a batch (0 shares one). Sums are f32 in an order fixed by shape and device: k
/// ascending, except that products of few rows by B[N,K]ᵀ add in the lanes of a vector. So results
/// depend on neither thread count nor tile size chosen at run time.
/// A and B have `input_dtype` (f32 or bf16), C has `output_dtype` (f32 or bf16). C overlaps
/// neither A nor B. k = 0 gives 0 (or leaves C when accumulating).
typedef struct forja_matmul_args {
    forja_matmul_layout layout;
    forja_dtype input_dtype, output_dtype;
    forja_span a, b, c;
    uint64_t m, n, k;
    uint64_t lda, ldb, ldc;
    uint64_t batch_count, a_stride, b_stride, c_stride;
    float alpha;
    bool accumulate;
} forja_matmul_args;

forja_status forja_matmul(forja_queue *queue, const forja_matmul_args *args);
uint64_t forja_matmul_workspace_bytes(const forja_device *device, const forja_matmul_args *args);

#ifdef __cplusplus
}
#endif
