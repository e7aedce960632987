/// What the host's matmul files share: the operands of a call as raw pointers, and its paths.
#pragma once

#include "../internal.h"

/// One matrix of a batch as the tasks see it. Exactly one of the two pointers of an operand is set.
typedef struct forja__matmul_operand {
    const float *f32;
    const forja__bf16 *bf16;
    uint64_t stride; /// elements between stored rows
} forja__matmul_operand;

typedef struct forja__matmul_result {
    float *f32;
    forja__bf16 *bf16;
    uint64_t stride;
} forja__matmul_result;

forja__matmul_operand forja__matmul_a(const forja_matmul_args *args, uint64_t batch);
forja__matmul_operand forja__matmul_b(const forja_matmul_args *args, uint64_t batch);
forja__matmul_result forja__matmul_c(const forja_matmul_args *args, uint64_t batch);

/// Few rows against a weight stored row by row: bound by reading B, done by dot products.
bool forja__matmul_rows_applies(const forja_matmul_args *args);
void forja__matmul_rows(forja__pool *pool, const forja_matmul_args *args);

/// Packed panels and a register tile of ours (cpu/matmul_panels.c), where the processor has AVX2 or
/// AVX-512. FORJA_MATMUL_HOST=blas turns it off.
bool forja__matmul_panels_applies(void);
uint64_t forja__matmul_panels_workspace_bytes(const forja_matmul_args *args);
void forja__matmul_panels(forja__pool *pool, const forja_matmul_args *args, float *workspace);
