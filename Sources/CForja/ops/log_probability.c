// The loss core's public entries.
#include "ops.h"

static forja_status check_vocabulary(uint64_t vocabulary, const char *operation) {
    if (vocabulary == 0 || vocabulary > INT32_MAX)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: vocabulary is %llu; labels are 32-bit, so use 1 to %d", operation,
                           (unsigned long long)vocabulary, INT32_MAX);
    return FORJA_OK;
}

static forja_status check(const forja_queue *queue, const forja_log_probability_args *args,
                          const char *operation) {
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(forja__check_finite(args->logit_scale, operation, "logit_scale"));
    if (args->rows == 0)
        return FORJA_OK;
    FORJA__TRY(check_vocabulary(args->vocabulary, operation));
    if (args->vocabulary_start > INT32_MAX - args->vocabulary)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: vocabulary_start is %llu; labels are 32-bit, so use at most %llu",
                           operation, (unsigned long long)args->vocabulary_start,
                           (unsigned long long)(INT32_MAX - args->vocabulary));
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
    const bool is_part = args->label_logit.buffer;
    if (is_part && (args->log_probability.buffer || args->gradient.buffer || !args->lse.buffer))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: label_logit stands with lse, and without log_probability and "
                           "gradient; forja_log_probability_combine and _backward make those",
                           operation);
    if (!is_part && args->vocabulary_start != 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: vocabulary_start is %llu without label_logit; pass it for a part of "
                           "a vocabulary",
                           operation, (unsigned long long)args->vocabulary_start);
    FORJA__TRY(forja__check_span(queue, is_part ? args->label_logit : args->log_probability,
                                 args->rows, FORJA_DTYPE_F32, operation,
                                 is_part ? "label_logit" : "log_probability"));
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
    used.log_probability = used.entropy = used.label_logit = (forja_span){0};
    return FORJA__DISPATCH(log_probability_backward, queue, &used);
}

forja_status forja_log_probability_combine(forja_queue *queue,
                                           const forja_log_probability_combine_args *args) {
    static const char operation[] = "forja_log_probability_combine";
    FORJA__TRY(forja__check_call(queue, args, operation));
    if (args->rows == 0)
        return FORJA_OK;
    FORJA__TRY(check_vocabulary(args->vocabulary, operation));
    if (args->part_count == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: part_count is 0; pass the number of parts", operation);
    const uint64_t kinds = args->entropy.buffer ? 3 : 2;
    FORJA__TRY(forja__check_span(
        queue, args->parts, forja__product(args->part_count, forja__product(kinds, args->rows)),
        FORJA_DTYPE_F32, operation, "parts"));
    FORJA__TRY(
        forja__check_span(queue, args->labels, args->rows, FORJA_DTYPE_I32, operation, "labels"));
    FORJA__TRY(forja__check_span(queue, args->log_probability, args->rows, FORJA_DTYPE_F32,
                                 operation, "log_probability"));
    FORJA__TRY(forja__check_optional_span(queue, args->lse, args->rows, FORJA_DTYPE_F32, operation,
                                          "lse"));
    FORJA__TRY(forja__check_optional_span(queue, args->entropy, args->rows, FORJA_DTYPE_F32,
                                          operation, "entropy"));
    return FORJA__DISPATCH(log_probability_combine, queue, args);
}
