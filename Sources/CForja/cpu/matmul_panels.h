/// The host's matrix product over packed panels: what its kernels, compiled once per instruction
/// set, and the code that drives them share.
#pragma once

#include "matmul.h"

/// One block of C and of k: what the tasks of a pool run see.
typedef struct forja__panels_block {
    forja__matmul_operand a, b; /// at the block's first element
    forja__matmul_result c;     /// the same
    bool a_k_major, b_k_major;  /// stored [k][row] rather than [row][k]
    uint64_t rows, columns, depth;
    uint64_t a_groups;    /// of panels of A to pack
    uint64_t row_tasks;   /// tasks that share the panels of A for each panel of B
    float *a_packed;      /// [panel][k][panel height], zeros past the edge
    float *sums;          /// [rows rounded up][columns rounded up], carried between blocks of k
    uint64_t sum_stride;
    float alpha;
    bool accumulate, is_first, is_last; /// of the blocks of k
} forja__panels_block;

enum {
    FORJA__PACK_DEPTH = 256,    /// k of one pack task
    FORJA__PACK_STEP = 16,      /// k that it packs at a time
    FORJA__PANELS_PER_PACK = 4, /// its panels
    FORJA__ROWS_PER_TASK = 512, /// the most rows of A that a multiply task meets with its panel of B
    /// k for which a panel of B (32 KiB with AVX-512) shares the first cache with a panel of A.
    FORJA__DEPTH_STEP = 256,
};
