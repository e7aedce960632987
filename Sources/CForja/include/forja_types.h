/// Element types and the reference to a place in a buffer that every operation takes.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct forja_device forja_device;
typedef struct forja_buffer forja_buffer;
typedef struct forja_staging forja_staging;
typedef struct forja_queue forja_queue;
typedef struct forja_event forja_event;

typedef enum forja_dtype {
    FORJA_DTYPE_F32 = 0,
    /// Upper half of an f32; conversion rounds to nearest even and keeps NaN quiet.
    FORJA_DTYPE_BF16 = 1,
    /// IEEE binary16; storage and casts only.
    FORJA_DTYPE_F16 = 2,
    FORJA_DTYPE_I32 = 3,
} forja_dtype;

/// Bytes of one element; 0 for an unknown enumerator.
size_t forja_dtype_size(forja_dtype dtype);

/// A place in a buffer: `offset` counts elements of the tensor's type, not bytes. Sub-buffers are
/// not used: their base-address alignment differs by device.
typedef struct forja_span {
    forja_buffer *buffer; /// NULL where an operand is optional and absent.
    uint64_t offset;
} forja_span;

#ifdef __cplusplus
}
#endif
