// Attention's public entries.
#include "ops.h"

enum { MAX_HEAD_DIM = 256 };

/// Everything but the buffers, so that a workspace can be asked for without any.
static forja_status check_shape(const forja_attention_args *args, const char *operation) {
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(forja__check_finite(args->scale, operation, "scale"));
    if (args->key_value_heads == 0 || args->heads % args->key_value_heads != 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %u query heads do not divide over %u key-value heads; use a "
                           "multiple",
                           operation, args->heads, args->key_value_heads);
    if (args->head_dim == 0 || args->head_dim > MAX_HEAD_DIM || args->head_dim % 2 != 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: head_dim is %u; use an even width from 2 to %d", operation,
                           args->head_dim, MAX_HEAD_DIM);
    const uint64_t query_width = (uint64_t)args->heads * args->head_dim;
    const uint64_t key_width = (uint64_t)args->key_value_heads * args->head_dim;
    FORJA__TRY(forja__check_stride(args->q_row_stride, query_width, operation, "q_row_stride"));
    FORJA__TRY(forja__check_stride(args->k_row_stride, key_width, operation, "k_row_stride"));
    FORJA__TRY(forja__check_stride(args->v_row_stride, key_width, operation, "v_row_stride"));
    FORJA__TRY(forja__check_stride(args->out_row_stride, query_width, operation, "out_row_stride"));
    // Without offsets row i reads key i.
    if (!args->query_offset.buffer && args->query_length > args->key_length)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %u query rows without query_offset need as many keys; there are %u",
                           operation, args->query_length, args->key_length);
    // Kernels hold positions in 32 signed bits.
    if (args->key_length > INT32_MAX || args->query_length > INT32_MAX)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %u query rows over %u keys; use sequences of at most %d", operation,
                           args->query_length, args->key_length, INT32_MAX);
    if (args->key_length == 0 && args->query_length > 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: key_length is 0; every row reads at least one key", operation);
    return FORJA_OK;
}

static bool is_empty(const forja_attention_args *args) {
    return args->batch == 0 || args->query_length == 0 || args->heads == 0;
}

/// Elements of `rows` rows per batch, `stride` apart.
static uint64_t extent_of(const forja_attention_args *args, uint32_t rows, uint64_t stride,
                          uint32_t heads) {
    return forja__extent((uint64_t)args->batch * rows, stride, (uint64_t)heads * args->head_dim);
}

static forja_status check_spans(const forja_queue *queue, const forja_attention_args *args,
                                const char *operation) {
    const uint64_t query_rows = (uint64_t)args->batch * args->query_length;
    const uint32_t t = args->query_length, s = args->key_length;
    const uint32_t heads = args->heads, key_value_heads = args->key_value_heads;
    FORJA__TRY(forja__check_span(queue, args->q, extent_of(args, t, args->q_row_stride, heads),
                                 args->dtype, operation, "q"));
    FORJA__TRY(forja__check_span(queue, args->k,
                                 extent_of(args, s, args->k_row_stride, key_value_heads),
                                 args->dtype, operation, "k"));
    FORJA__TRY(forja__check_span(queue, args->v,
                                 extent_of(args, s, args->v_row_stride, key_value_heads),
                                 args->dtype, operation, "v"));
    FORJA__TRY(forja__check_span(queue, args->out, extent_of(args, t, args->out_row_stride, heads),
                                 args->dtype, operation, "out"));
    FORJA__TRY(forja__check_span(queue, args->lse, forja__product(query_rows, heads),
                                 FORJA_DTYPE_F32, operation, "lse"));
    FORJA__TRY(forja__check_optional_span(queue, args->document_start, query_rows, FORJA_DTYPE_I32,
                                          operation, "document_start"));
    return forja__check_optional_span(queue, args->query_offset, args->batch, FORJA_DTYPE_I32,
                                      operation, "query_offset");
}

forja_status forja_attention_forward(forja_queue *queue, const forja_attention_args *args) {
    static const char operation[] = "forja_attention_forward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(check_shape(args, operation));
    if (is_empty(args))
        return FORJA_OK;
    FORJA__TRY(check_spans(queue, args, operation));
    return FORJA__DISPATCH(attention_forward, queue, args);
}

uint64_t forja_attention_forward_workspace_bytes(const forja_device *device,
                                                 const forja_attention_args *args) {
    if (!device || !args || is_empty(args) ||
        check_shape(args, "forja_attention_forward_workspace_bytes") != FORJA_OK)
        return 0;
    return FORJA__DISPATCH_WORKSPACE(attention_forward, device, args);
}

static forja_status check_backward_shape(const forja_attention_backward_args *args,
                                         const char *operation) {
    const forja_attention_args *forward = &args->forward;
    FORJA__TRY(check_shape(forward, operation));
    if (forward->query_offset.buffer || forward->query_length != forward->key_length)
        return forja__fail(
            FORJA_ERROR_INVALID_ARGUMENT,
            "%s: %u query rows over %u keys %s query_offset; the backward pass takes "
            "equal lengths and no offset",
            operation, forward->query_length, forward->key_length,
            forward->query_offset.buffer ? "with" : "without");
    const uint64_t query_width = (uint64_t)forward->heads * forward->head_dim;
    const uint64_t key_width = (uint64_t)forward->key_value_heads * forward->head_dim;
    FORJA__TRY(forja__check_stride(args->dq_row_stride, query_width, operation, "dq_row_stride"));
    FORJA__TRY(forja__check_stride(args->dk_row_stride, key_width, operation, "dk_row_stride"));
    return forja__check_stride(args->dv_row_stride, key_width, operation, "dv_row_stride");
}

forja_status forja_attention_backward(forja_queue *queue,
                                      const forja_attention_backward_args *args) {
    static const char operation[] = "forja_attention_backward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(check_backward_shape(args, operation));
    const forja_attention_args *forward = &args->forward;
    if (is_empty(forward))
        return FORJA_OK;
    FORJA__TRY(check_spans(queue, forward, operation));
    const uint32_t t = forward->query_length, heads = forward->heads;
    const uint32_t key_value_heads = forward->key_value_heads;
    FORJA__TRY(forja__check_span(queue, args->d_out,
                                 extent_of(forward, t, forward->out_row_stride, heads),
                                 forward->dtype, operation, "d_out"));
    FORJA__TRY(forja__check_span(queue, args->dq, extent_of(forward, t, args->dq_row_stride, heads),
                                 forward->dtype, operation, "dq"));
    FORJA__TRY(forja__check_span(queue, args->dk,
                                 extent_of(forward, t, args->dk_row_stride, key_value_heads),
                                 forward->dtype, operation, "dk"));
    FORJA__TRY(forja__check_span(queue, args->dv,
                                 extent_of(forward, t, args->dv_row_stride, key_value_heads),
                                 forward->dtype, operation, "dv"));
    return FORJA__DISPATCH(attention_backward, queue, args);
}

uint64_t forja_attention_backward_workspace_bytes(const forja_device *device,
                                                  const forja_attention_backward_args *args) {
    if (!device || !args || is_empty(&args->forward) ||
        check_backward_shape(args, "forja_attention_backward_workspace_bytes") != FORJA_OK)
        return 0;
    return FORJA__DISPATCH_WORKSPACE(attention_backward, device, args);
}
