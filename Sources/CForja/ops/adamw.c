// AdamW's public entry.
#include "ops.h"

static forja_status check_beta(float beta, const char *operation, const char *name) {
    if (!(beta >= 0.0f && beta < 1.0f))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is %g; use 0 ≤ %s < 1", operation,
                           name, (double)beta, name);
    return FORJA_OK;
}

forja_status forja_adamw(forja_queue *queue, const forja_adamw_args *args) {
    static const char operation[] = "forja_adamw";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(check_beta(args->beta1, operation, "beta1"));
    FORJA__TRY(check_beta(args->beta2, operation, "beta2"));
    FORJA__TRY(forja__check_finite(args->epsilon, operation, "epsilon"));
    FORJA__TRY(forja__check_finite(args->weight_decay, operation, "weight_decay"));
    if (args->count == 0)
        return FORJA_OK;
    FORJA__TRY(
        forja__check_span(queue, args->weight, args->count, FORJA_DTYPE_F32, operation, "weight"));
    FORJA__TRY(forja__check_optional_span(queue, args->weight_bf16, args->count, FORJA_DTYPE_BF16,
                                          operation, "weight_bf16"));
    FORJA__TRY(forja__check_span(queue, args->gradient, args->count, FORJA_DTYPE_F32, operation,
                                 "gradient"));
    FORJA__TRY(forja__check_span(queue, args->m, args->count, FORJA_DTYPE_F32, operation, "m"));
    FORJA__TRY(forja__check_span(queue, args->v, args->count, FORJA_DTYPE_F32, operation, "v"));
    FORJA__TRY(forja__check_span(queue, args->scalars, FORJA_STEP_SCALAR_COUNT, FORJA_DTYPE_F32,
                                 operation, "scalars"));
    return FORJA__DISPATCH(adamw, queue, args);
}
