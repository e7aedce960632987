/// Kernel variants: what a device can run an operation with, and which it chooses.
///
/// An operation with several forms has a table of variants, and some variants several
/// configurations (tile sizes). A call takes, first of all that apply:
///
///  1. what is forced: by `forja_device_force_variant`, or by the environment
///     (FORJA_MATMUL_VARIANT, FORJA_ATTENTION_VARIANT, FORJA_ROW_KERNELS);
///  2. what the device's tuning says for the call's shape class;
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

#ifdef __cplusplus
}
#endif
