// The conversion between element types.
#include "ops.h"

static forja_status check_dtype(forja_dtype dtype, const char *operation, const char *name) {
    if (dtype != FORJA_DTYPE_F32 && dtype != FORJA_DTYPE_BF16 && dtype != FORJA_DTYPE_F16)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s is %d; use FORJA_DTYPE_F32, FORJA_DTYPE_BF16 or FORJA_DTYPE_F16",
                           operation, name, (int)dtype);
    return FORJA_OK;
}

forja_status forja_cast(forja_queue *queue, const forja_cast_args *args) {
    static const char operation[] = "forja_cast";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(check_dtype(args->from, operation, "from"));
    FORJA__TRY(check_dtype(args->to, operation, "to"));
    if (args->count == 0)
        return FORJA_OK;
    FORJA__TRY(
        forja__check_span(queue, args->source, args->count, args->from, operation, "source"));
    FORJA__TRY(forja__check_span(queue, args->destination, args->count, args->to, operation,
                                 "destination"));
    return FORJA__DISPATCH(cast, queue, args);
}
