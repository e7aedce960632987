// The rotary embedding's public entry.
#include "ops.h"

forja_status forja_rope(forja_queue *queue, const forja_rope_args *args) {
    static const char operation[] = "forja_rope";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    if (args->head_dim % 2 != 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: head_dim is %u; elements turn in pairs, so use an even width",
                           operation, args->head_dim);
    if (args->rows == 0 || args->heads == 0 || args->head_dim == 0)
        return FORJA_OK;
    if (args->position_count == 0 || args->position_count > INT32_MAX)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: the table has %llu positions; use 1 to %d", operation,
                           (unsigned long long)args->position_count, INT32_MAX);
    if (!args->positions.buffer && args->sequence_length == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: sequence_length is 0 and positions is absent; pass one of them",
                           operation);
    const uint64_t width = (uint64_t)args->heads * args->head_dim;
    const uint64_t table = forja__product(args->position_count, args->head_dim / 2);
    FORJA__TRY(forja__check_stride(args->row_stride, width, operation, "row_stride"));
    FORJA__TRY(forja__check_span(queue, args->x, forja__extent(args->rows, args->row_stride, width),
                                 args->dtype, operation, "x"));
    FORJA__TRY(forja__check_span(queue, args->cosine, table, FORJA_DTYPE_F32, operation, "cosine"));
    FORJA__TRY(forja__check_span(queue, args->sine, table, FORJA_DTYPE_F32, operation, "sine"));
    FORJA__TRY(forja__check_optional_span(queue, args->positions, args->rows, FORJA_DTYPE_I32,
                                          operation, "positions"));
    return FORJA__DISPATCH(rope, queue, args);
}
