// Argument checks.
#include <math.h>

#include "ops.h"

uint64_t forja__product(uint64_t a, uint64_t b) {
    uint64_t result;
    return __builtin_mul_overflow(a, b, &result) ? UINT64_MAX : result;
}

uint64_t forja__extent(uint64_t rows, uint64_t stride, uint64_t width) {
    if (rows == 0)
        return 0;
    uint64_t result;
    return __builtin_add_overflow(forja__product(rows - 1, stride), width, &result) ? UINT64_MAX
                                                                                    : result;
}

forja_status forja__check_call(const forja_queue *queue, const void *args, const char *operation) {
    if (!queue || !args)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is NULL; pass both", operation,
                           queue ? "args" : "queue");
    return FORJA_OK;
}

forja_status forja__check_optional_span(const forja_queue *queue, forja_span span,
                                        uint64_t elements, forja_dtype dtype, const char *operation,
                                        const char *name) {
    if (!span.buffer)
        return FORJA_OK;
    const size_t element_bytes = forja_dtype_size(dtype);
    if (element_bytes == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s has the unknown element type %d; use a forja_dtype", operation,
                           name, (int)dtype);
    if (span.buffer->device != queue->device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s belongs to another device than the queue (%s); make both on one "
                           "device",
                           operation, name, queue->device->info.name);
    const uint64_t held = span.buffer->size_bytes / element_bytes;
    if (span.offset > held || elements > held - span.offset)
        return forja__fail(FORJA_ERROR_OUT_OF_RANGE,
                           "%s: %s needs %llu elements from %llu on and its buffer holds %llu; "
                           "correct the shape or make the buffer larger",
                           operation, name, (unsigned long long)elements,
                           (unsigned long long)span.offset, (unsigned long long)held);
    return FORJA_OK;
}

forja_status forja__check_span(const forja_queue *queue, forja_span span, uint64_t elements,
                               forja_dtype dtype, const char *operation, const char *name) {
    if (!span.buffer)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s is absent; pass a buffer of the queue's device", operation,
                           name);
    return forja__check_optional_span(queue, span, elements, dtype, operation, name);
}

forja_status forja__check_storage_dtype(forja_dtype dtype, const char *operation,
                                        const char *name) {
    if (dtype != FORJA_DTYPE_F32 && dtype != FORJA_DTYPE_BF16)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s is %d; use FORJA_DTYPE_F32 or FORJA_DTYPE_BF16", operation, name,
                           (int)dtype);
    return FORJA_OK;
}

forja_status forja__check_stride(uint64_t stride, uint64_t width, const char *operation,
                                 const char *name) {
    if (stride < width)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s is %llu and a row holds %llu elements; rows may not overlap",
                           operation, name, (unsigned long long)stride, (unsigned long long)width);
    return FORJA_OK;
}

forja_status forja__check_finite(float value, const char *operation, const char *name) {
    if (!isfinite(value))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is %g; pass a finite number",
                           operation, name, (double)value);
    return FORJA_OK;
}
