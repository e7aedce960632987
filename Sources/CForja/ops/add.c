// The elementwise sum's public entry.
#include "ops.h"

forja_status forja_add(forja_queue *queue, const forja_add_args *args) {
    static const char operation[] = "forja_add";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    if (args->count == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->a, args->count, args->dtype, operation, "a"));
    FORJA__TRY(forja__check_span(queue, args->b, args->count, args->dtype, operation, "b"));
    FORJA__TRY(forja__check_span(queue, args->y, args->count, args->dtype, operation, "y"));
    return FORJA__DISPATCH(add, queue, args);
}
