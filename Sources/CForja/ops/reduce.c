// Sums: a vector's, a gradient's squares, and the step scalars made from them.
#include "ops.h"

forja_status forja_sum(forja_queue *queue, const forja_sum_args *args) {
    static const char operation[] = "forja_sum";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_span(queue, args->out, 1, FORJA_DTYPE_F32, operation, "out"));
    if (args->count == 0) {
        // The empty sum is 0, and adding it changes nothing.
        return args->accumulate
                   ? FORJA_OK
                   : forja_buffer_fill(queue, args->out.buffer, args->out.offset * sizeof(float),
                                       sizeof(float), 0);
    }
    FORJA__TRY(forja__check_span(queue, args->x, args->count, FORJA_DTYPE_F32, operation, "x"));
    return FORJA__DISPATCH(sum, queue, args);
}

uint64_t forja_sum_workspace_bytes(const forja_device *device, const forja_sum_args *args) {
    if (!device || !args || args->count == 0)
        return 0;
    return ((args->count - 1) / FORJA_SUM_SQUARES_CHUNK + 1) * sizeof(float);
}

forja_status forja_sum_squares(forja_queue *queue, const forja_sum_squares_args *args) {
    static const char operation[] = "forja_sum_squares";
    FORJA__TRY(forja__check_call(queue, args, operation));
    if (args->count == 0)
        return FORJA_OK;
    const uint64_t chunks = (args->count - 1) / FORJA_SUM_SQUARES_CHUNK + 1;
    FORJA__TRY(forja__check_span(queue, args->x, args->count, FORJA_DTYPE_F32, operation, "x"));
    FORJA__TRY(
        forja__check_span(queue, args->partials, chunks, FORJA_DTYPE_F32, operation, "partials"));
    return FORJA__DISPATCH(sum_squares, queue, args);
}

forja_status forja_gradient_norm(forja_queue *queue, const forja_gradient_norm_args *args) {
    static const char operation[] = "forja_gradient_norm";
    FORJA__TRY(forja__check_call(queue, args, operation));
    if (args->partial_count == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: partial_count is 0; run forja_sum_squares first", operation);
    FORJA__TRY(forja__check_span(queue, args->partials, args->partial_count, FORJA_DTYPE_F32,
                                 operation, "partials"));
    FORJA__TRY(forja__check_span(queue, args->scalars, FORJA_STEP_SCALAR_COUNT, FORJA_DTYPE_F32,
                                 operation, "scalars"));
    return FORJA__DISPATCH(gradient_norm, queue, args);
}
