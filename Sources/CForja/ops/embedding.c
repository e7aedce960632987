// The embedding's public entries.
#include "ops.h"

/// Ids are 32-bit: a larger table could not be reached.
static forja_status check_table_rows(uint64_t first_row, uint64_t table_rows,
                                     const char *operation) {
    if (table_rows > INT32_MAX || first_row > INT32_MAX - table_rows)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: first_row is %llu and table_rows is %llu; ids are 32-bit, so end at "
                           "%d at most",
                           operation, (unsigned long long)first_row,
                           (unsigned long long)table_rows, INT32_MAX);
    return FORJA_OK;
}

forja_status forja_embedding_forward(forja_queue *queue, const forja_embedding_args *args) {
    static const char operation[] = "forja_embedding_forward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(check_table_rows(args->first_row, args->table_rows, operation));
    const uint64_t end = args->first_row + args->table_rows;
    const bool is_whole = args->total_rows == 0 && args->first_row == 0;
    if (!is_whole && (args->total_rows < end || args->total_rows > INT32_MAX))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: total_rows is %llu and the table ends at row %llu; use a number "
                           "from there to %d",
                           operation, (unsigned long long)args->total_rows,
                           (unsigned long long)end, INT32_MAX);
    if (args->rows == 0 || args->width == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->table, forja__product(args->table_rows, args->width),
                                 args->dtype, operation, "table"));
    FORJA__TRY(forja__check_span(queue, args->ids, args->rows, FORJA_DTYPE_I32, operation, "ids"));
    FORJA__TRY(forja__check_span(queue, args->y, forja__product(args->rows, args->width),
                                 args->dtype, operation, "y"));
    forja_embedding_args used = *args;
    used.total_rows = is_whole ? args->table_rows : args->total_rows;
    return FORJA__DISPATCH(embedding_forward, queue, &used);
}

forja_status forja_embedding_backward(forja_queue *queue,
                                      const forja_embedding_backward_args *args) {
    static const char operation[] = "forja_embedding_backward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(check_table_rows(args->first_row, args->table_rows, operation));
    const uint64_t table_elements = forja__product(args->table_rows, args->width);
    if (table_elements == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->d_table, table_elements, FORJA_DTYPE_F32, operation,
                                 "d_table"));
    if (args->rows == 0) {
        // No row adds anything, and overwriting with the empty sum is writing zeros.
        return args->accumulate ? FORJA_OK
                                : forja_buffer_fill(queue, args->d_table.buffer,
                                                    args->d_table.offset * sizeof(float),
                                                    table_elements * sizeof(float), 0);
    }
    FORJA__TRY(forja__check_span(queue, args->dy, forja__product(args->rows, args->width),
                                 args->dtype, operation, "dy"));
    FORJA__TRY(forja__check_span(queue, args->ids, args->rows, FORJA_DTYPE_I32, operation, "ids"));
    return FORJA__DISPATCH(embedding_backward, queue, args);
}
