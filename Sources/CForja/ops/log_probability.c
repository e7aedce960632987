// The loss core's public entries.
#include "ops.h"

static forja_status check(const forja_queue *queue, const forja_log_probability_args *args,
                          const char *operation) {
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(forja__check_finite(args->logit_scale, operation, "logit_scale"));
    if (args->rows == 0)
        return FORJA_OK;
    if (args->vocabulary == 0 || args->vocabulary > INT32_MAX)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: vocabulary is %llu; labels are 32-bit, so use 1 to %d", operation,
                           (unsigned long long)args->vocabulary, INT32_MAX);
    FORJA__TRY(forja__check_stride(args->row_stride, args->vocabulary, operation, "row_stride"));
    FORJA__TRY(forja__check_span(queue, args->logits,
                                 forja__extent(args->rows, args->row_stride, args->vocabulary),
                                 args->dtype, operation, "logits"));
    return forja__check_span(queue, args->labels, args->rows, FORJA_DTYPE_I32, operation, "labels");
}

forja_status forja_log_probability(forja_queue *queue, const forja_log_probability_args *args) {
    static const char operation[] = "forja_log_probability";
    FORJA__TRY(check(queue, args, operation));
    if (args->rows == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->log_probability, args->rows, FORJA_DTYPE_F32,
                                 operation, "log_probability"));
    FORJA__TRY(forja__check_optional_span(queue, args->lse, args->rows, FORJA_DTYPE_F32, operation,
                                          "lse"));
    FORJA__TRY(forja__check_optional_span(queue, args->entropy, args->rows, FORJA_DTYPE_F32,
                                          operation, "entropy"));
    FORJA__TRY(forja__check_optional_span(queue, args->gradient, args->rows, FORJA_DTYPE_F32,
                                          operation, "gradient"));
    return FORJA__DISPATCH(log_probability, queue, args);
}

forja_status forja_log_probability_backward(forja_queue *queue,
                                            const forja_log_probability_args *args) {
    static const char operation[] = "forja_log_probability_backward";
    FORJA__TRY(check(queue, args, operation));
    if (args->rows == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->lse, args->rows, FORJA_DTYPE_F32, operation, "lse"));
    FORJA__TRY(forja__check_span(queue, args->gradient, args->rows, FORJA_DTYPE_F32, operation,
                                 "gradient"));
    // What is ignored was not checked either: not even its address may be computed.
    forja_log_probability_args used = *args;
    used.log_probability = used.entropy = (forja_span){0};
    return FORJA__DISPATCH(log_probability_backward, queue, &used);
}
