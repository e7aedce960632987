// The row softmax's public entries.
#include "ops.h"

forja_status forja_softmax_forward(forja_queue *queue, const forja_softmax_args *args) {
    static const char operation[] = "forja_softmax_forward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    const uint64_t elements = forja__product(args->rows, args->width);
    if (elements == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->x, elements, args->dtype, operation, "x"));
    FORJA__TRY(forja__check_span(queue, args->y, elements, args->dtype, operation, "y"));
    return FORJA__DISPATCH(softmax_forward, queue, args);
}

forja_status forja_softmax_backward(forja_queue *queue, const forja_softmax_backward_args *args) {
    static const char operation[] = "forja_softmax_backward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    const uint64_t elements = forja__product(args->rows, args->width);
    if (elements == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->y, elements, args->dtype, operation, "y"));
    FORJA__TRY(forja__check_span(queue, args->dy, elements, args->dtype, operation, "dy"));
    FORJA__TRY(forja__check_span(queue, args->dx, elements, args->dtype, operation, "dx"));
    return FORJA__DISPATCH(softmax_backward, queue, args);
}
