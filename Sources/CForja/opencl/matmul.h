/// What the launchers of matrix products share.
#pragma once

#include "variants.h"

/// "-D" options of the operands' types, with a leading space; "" for f32.
const char *forja__matmul_storage_options(const forja_matmul_args *args);

/// Room for a kernel's "-D" options.
enum { FORJA__OPTIONS_SIZE = 192 };

static inline uint64_t forja__ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

/// matmul_tiles.c: work-groups of the tiled product, and its launch with k in `parts` parts of
/// `part_depth` (the last may be shorter), each part's result a matrix of the batch of C.
uint64_t forja__matmul_tile_count(const forja__variant *row, const forja_matmul_args *args);
forja_status forja__matmul_launch_tiles(forja_queue *queue, const forja__variant *row,
                                        const forja_matmul_args *args, cl_ulong parts,
                                        cl_ulong part_depth);
