/// Kernel variants: what a device can run an operation with, and which it chooses.
///
/// An operation with several forms has a table of variants, and some variants several
/// configurations (tile sizes). A call takes, first of all that apply:
///
///  1. what is forced: by `forja_device_force_variant`, or by the environment
///     (FORJA_MATMUL_VARIANT, FORJA_ATTENTION_VARIANT, FORJA_ROW_KERNELS);
///  2. what the device's tuning says for the call's shape class, if that adds in the same order as 3,
///     so that a tuning changes speed and never bits;
///  3. the first row of the table that is made for the device and suits the shape.
///
/// Nothing here looks at a clock: equal settings choose equally. The host device has one variant
/// of each operation, `host`.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Operations with more than one variant. Beside each: what `args` of a call point to.
typedef enum forja_op {
    FORJA_OP_MATMUL = 0,             /// forja_matmul_args
    FORJA_OP_ATTENTION_FORWARD = 1,  /// forja_attention_args
    FORJA_OP_ATTENTION_BACKWARD = 2, /// forja_attention_backward_args
    FORJA_OP_ROWS = 3,               /// nothing: every row and element operation has one form
    FORJA_OP_COUNT = 4,
} forja_op;

/// A variant with one of its configurations. The texts live as long as the process.
typedef struct forja_variant {
    const char *name;   /// "gpu"
    const char *config; /// "64x64x16"; "" where the variant has one configuration
    /// Variants of one operation whose order is the same text give the same bits on a device;
    /// "ascending" is one chain of fused multiply-adds in float32, k ascending.
    const char *order;
    /// The call takes this one when nothing is forced and nothing tuned.
    bool is_default;
    /// Meant for such a device; the others run, slowly, so that tests can reach them.
    bool is_made_for_device;
} forja_variant;

/// Names an operation in tuning files: "matmul"; NULL past FORJA_OP_COUNT. Borrowed.
const char *forja_op_name(forja_op op);

/// Lists the variants that run a call on `device`, in the order of the table.
///
/// `args` describe the call: shapes, strides, types and offsets; buffers are not looked at.
/// @param[in,out] count  Entries that `out` has room for; becomes the number there are, of which
///                       the first that fit are written. `out` may be NULL with room for 0.
/// @return FORJA_ERROR_INVALID_ARGUMENT for NULL or an unknown operation.
forja_status forja_variant_list(forja_variant *out, size_t *count, const forja_device *device,
                                forja_op op, const void *args);

/// The variant that a call takes now.
/// @return As `forja_variant_list`; and FORJA_ERROR_INVALID_ARGUMENT when the environment names no
///         variant of the operation.
forja_status forja_variant_query(forja_variant *out, const forja_device *device, forja_op op,
                                 const void *args);

/// Forces a variant, "name" or "name:config", for every following call of `op` on `device` that it
/// can run; calls that it cannot run take what they would without. NULL forces no more. The
/// environment goes before. Not while another thread uses the device.
/// @return FORJA_ERROR_INVALID_ARGUMENT when the operation has no such variant.
forja_status forja_device_force_variant(forja_device *device, forja_op op, const char *variant);

/// What the environment forces for `op`; NULL for nothing. Borrowed until the environment changes.
const char *forja_environment_variant(forja_op op);

enum { FORJA_SHAPE_CLASS_SIZE = 96 };

/// The class of a call's shape, by which tunings are kept, as text: for matmul layout, types and
/// m, n, k, each rounded up to a power of four: "nt f32 f32 m256 n1024 k256".
forja_status forja_shape_class(char out[FORJA_SHAPE_CLASS_SIZE], forja_op op, const void *args);

/// One choice of a tuning: calls of `op` in `shape_class` take `variant`, "name:config" or "name".
typedef struct forja_tuning_entry {
    forja_op op;
    const char *shape_class;
    const char *variant;
} forja_tuning_entry;

/// Replaces the device's tuning by `count` entries, which are copied; 0 empties it. An entry whose
/// variant does not exist here, cannot run a call, or adds in another order than the call's default,
/// leaves that call to the default: a tuning makes no call fail and changes no bits. Not while another thread uses the device.
forja_status forja_device_set_tuning(forja_device *device, const forja_tuning_entry *entries,
                                     size_t count);

#ifdef __cplusplus
}
#endif
