// SwiGLU's public entries.
#include "ops.h"

forja_status forja_swiglu_forward(forja_queue *queue, const forja_swiglu_args *args) {
    static const char operation[] = "forja_swiglu_forward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    const uint64_t elements = forja__product(args->rows, args->width);
    if (elements == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->x, forja__product(2, elements), args->dtype,
                                 operation, "x"));
    FORJA__TRY(forja__check_span(queue, args->y, elements, args->dtype, operation, "y"));
    return FORJA__DISPATCH(swiglu_forward, queue, args);
}

forja_status forja_swiglu_backward(forja_queue *queue, const forja_swiglu_backward_args *args) {
    static const char operation[] = "forja_swiglu_backward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    const uint64_t elements = forja__product(args->rows, args->width);
    if (elements == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->x, forja__product(2, elements), args->dtype,
                                 operation, "x"));
    FORJA__TRY(forja__check_span(queue, args->dy, elements, args->dtype, operation, "dy"));
    FORJA__TRY(forja__check_span(queue, args->dx, forja__product(2, elements), args->dtype,
                                 operation, "dx"));
    return FORJA__DISPATCH(swiglu_backward, queue, args);
}
