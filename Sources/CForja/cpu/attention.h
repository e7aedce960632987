/// What attention.c and the kernels compiled per instruction set share. Letters: B batch, T query
/// length, S key length, H heads, G key-value heads, R = H/G heads of a group, D head width.
#pragma once

#include "../internal.h"

/// Rows of Q, and keys, in one tile: a tile of K, of V and of scores are each 16 KiB at D = 64, so
/// a product's right operand stays in the first-level cache.
#define FORJA__ATTENTION_TILE 64

/// How one call is cut into tasks and where their scratch lies. Only shapes decide it, so results
/// do not depend on the thread count.
typedef struct forja__attention_plan {
    const forja_attention_args *args;
    const forja_attention_backward_args *backward; /// NULL in the forward pass
    uint32_t group;                                /// R
    uint32_t padded;       /// D rounded up to 16, the row length of packed tiles
    uint32_t query_tiles;  /// tiles of T
    uint32_t task_heads;   /// heads of a group that one forward task takes
    uint32_t head_tasks;   /// forward tasks per group
    uint32_t task_groups;  /// key-value heads that one decode task takes: one, or all
    uint32_t splits;       /// parts of the keys that run as tasks of their own (decode, backward)
    uint64_t split_keys;   /// backward: keys of a split; the last may have fewer
    uint64_t chunk_keys;   /// backward: keys of a split held in scratch at once
    uint64_t scratch_size; /// floats per thread
    uint64_t shared_size;  /// floats of partial results, read by a second pass
    float *scratch, *shared;
} forja__attention_plan;

/// The kernels of one instruction set; each runs the task `index` of its pass.
typedef struct forja__attention_kernels {
    void (*forward)(const forja__attention_plan *plan, uint64_t index, float *scratch);
    void (*decode)(const forja__attention_plan *plan, uint64_t index, float *scratch);
    void (*decode_merge)(const forja__attention_plan *plan, uint64_t index, float *scratch);
    void (*backward)(const forja__attention_plan *plan, uint64_t index, float *scratch);
    void (*backward_merge)(const forja__attention_plan *plan, uint64_t index, float *scratch);
} forja__attention_kernels;

#if defined(__x86_64__)
extern const forja__attention_kernels forja__attention_avx512, forja__attention_avx2;
#endif
extern const forja__attention_kernels forja__attention_generic;

/// Where the partial dQ of split `split` begins within one (batch, group): [R, T − first key,
/// padded] each, because queries before the split's first key never see it.
static inline uint64_t forja__attention_slice(const forja__attention_plan *plan, uint64_t split) {
    uint64_t rows = 0;
    for (uint64_t s = 0; s < split; s++)
        rows += plan->args->query_length - s * plan->split_keys;
    return rows * plan->group * plan->padded;
}
