/// The table of kernel variants: every way to run an operation that has more than one.
///
/// A launcher file defines a family (what it can run, what it is good for, how to launch); a row of
/// the table in variants.c is a family with one configuration of tiles. docs/kernels.md walks
/// through adding one.
#pragma once

#include "fragment.h"

typedef struct forja__variant forja__variant;

/// What an operation's launcher file gives for its rows. Each function gets the row, so that one
/// family serves several tile sizes.
///
///   runs             the results are right for these arguments on this device; NULL: always.
///                    `work_items` and `local_bytes` of the row are checked beforehand.
///   suits            shapes for which the row is the default; NULL: all
///   launch           valid arguments; k > 0
///   workspace_bytes  of the queue's workspace; NULL: none
#define FORJA__FAMILY(op, args_type)                                                               \
    typedef struct forja__##op##_family {                                                          \
        bool (*runs)(const forja_device *, const forja__variant *, const args_type *);             \
        bool (*suits)(const forja_device *, const forja__variant *, const args_type *);            \
        forja_status (*launch)(forja_queue *, const forja__variant *, const args_type *);          \
        uint64_t (*workspace_bytes)(const forja_device *, const forja__variant *,                  \
                                    const args_type *);                                            \
    } forja__##op##_family

FORJA__FAMILY(matmul, forja_matmul_args);
FORJA__FAMILY(attention_forward, forja_attention_args);
FORJA__FAMILY(attention_backward, forja_attention_backward_args);

/// The order in which a variant adds. Rows of one operation with one order give the same bits on one
/// device, so a tuner may choose between them; rows of different orders are chosen by shape and
/// device alone. This one: every sum is a single chain of fma in float32 from 0, k ascending.
#define FORJA__ASCENDING "ascending"

struct forja__variant {
    forja_op op;
    const char *name;   /// "gpu": what FORJA_<OP>_VARIANT names
    const char *config; /// "64x64x16", unique within the name; "" where there is one
    const char *order;  /// FORJA__ASCENDING, or words of the family's own
    /// Tile constants as the kernel wants them, with a leading space: " -DTILE_M=64 ...".
    const char *options;
    /// The same for the launcher: M, N, K of a product's tile; rows and keys of attention's.
    struct {
        uint32_t m, n, k;
    } tile;
    struct {
        uint32_t x, y;
    } group;              /// work-group; {0, 0} where the device is free to choose
    uint32_t local_bytes; /// of one work-group; 0 where `runs` knows
    forja__fragment fragment; /// the matrix unit, where the family is one of matrix units
    /// The row is a default on such devices; NULL: on all. Forcing it works on any that `runs`.
    bool (*made_for)(const forja_device *);
    union {
        const forja__matmul_family *matmul;
        const forja__attention_forward_family *attention_forward;
        const forja__attention_backward_family *attention_backward;
    };
};

/// All rows; an operation's are together, most special first, and its last one runs everywhere.
size_t forja__variants(const forja__variant **out);

/// The row for a call (include/forja_tune.h says how it is chosen).
/// @return FORJA_ERROR_INVALID_ARGUMENT when the environment names no variant of the operation.
forja_status forja__variant_choose(const forja__variant **out, const forja_device *device,
                                   forja_op op, const void *args);

/// Families, each defined in the file beside it.
extern const forja__matmul_family forja__opencl_matmul_reference;  /// matmul_reference.c
extern const forja__matmul_family forja__opencl_matmul_rows_cpu;   /// matmul_rows.c
extern const forja__matmul_family forja__opencl_matmul_rows_gpu;   /// matmul_rows.c
extern const forja__matmul_family forja__opencl_matmul_columns_cpu; /// matmul_rows.c
extern const forja__matmul_family forja__opencl_matmul_panels;     /// matmul_panels.c
extern const forja__matmul_family forja__opencl_matmul_fragment;   /// matmul_fragment.c
extern const forja__matmul_family forja__opencl_matmul_nv_mma;     /// matmul_nv_mma.c
extern const forja__matmul_family forja__opencl_matmul_nv_wgmma;   /// matmul_nv_wgmma.c
extern const forja__matmul_family forja__opencl_matmul_tiles;      /// matmul_tiles.c
extern const forja__matmul_family forja__opencl_matmul_split;      /// matmul_split.c
/// attention_nv_mma.c
extern const forja__attention_forward_family forja__opencl_attention_forward_nv_mma;
extern const forja__attention_backward_family forja__opencl_attention_backward_nv_mma;
/// attention_fragment.c
extern const forja__attention_forward_family forja__opencl_attention_forward_fragment;
extern const forja__attention_backward_family forja__opencl_attention_backward_fragment;
extern const forja__attention_forward_family forja__opencl_attention_forward_ref;   /// attention.c
extern const forja__attention_forward_family forja__opencl_attention_forward_cpu;   /// attention.c
extern const forja__attention_forward_family forja__opencl_attention_forward_gpu;   /// attention.c
extern const forja__attention_forward_family forja__opencl_attention_decode_cpu;    /// attention.c
extern const forja__attention_forward_family forja__opencl_attention_decode_gpu;    /// attention.c
extern const forja__attention_backward_family forja__opencl_attention_backward_ref; /// attention.c
extern const forja__attention_backward_family forja__opencl_attention_backward_cpu; /// attention.c
extern const forja__attention_backward_family forja__opencl_attention_backward_gpu; /// attention.c
