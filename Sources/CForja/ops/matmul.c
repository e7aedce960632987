// The matrix product's public entry.
#include "ops.h"

static const char operation[] = "forja_matmul";

/// Everything but the buffers, so that a workspace can be asked for without any.
static forja_status check_shape(const forja_matmul_args *args) {
    FORJA__TRY(forja__check_storage_dtype(args->input_dtype, operation, "input_dtype"));
    FORJA__TRY(forja__check_storage_dtype(args->output_dtype, operation, "output_dtype"));
    FORJA__TRY(forja__check_finite(args->alpha, operation, "alpha"));
    if (args->layout != FORJA_MATMUL_NN && args->layout != FORJA_MATMUL_NT &&
        args->layout != FORJA_MATMUL_TN)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: layout is %d; use FORJA_MATMUL_NN, _NT or _TN", operation,
                           (int)args->layout);
    const bool a_is_transposed = args->layout == FORJA_MATMUL_TN;
    const bool b_is_transposed = args->layout == FORJA_MATMUL_NT;
    FORJA__TRY(
        forja__check_stride(args->lda, a_is_transposed ? args->m : args->k, operation, "lda"));
    FORJA__TRY(
        forja__check_stride(args->ldb, b_is_transposed ? args->k : args->n, operation, "ldb"));
    return forja__check_stride(args->ldc, args->n, operation, "ldc");
}

static bool is_empty(const forja_matmul_args *args) {
    return args->m == 0 || args->n == 0 || args->batch_count == 0 ||
           (args->k == 0 && args->accumulate);
}

static bool is_same_place(forja_span a, forja_dtype a_dtype, forja_span b, forja_dtype b_dtype) {
    // Offsets count elements of each span's own type.
    return a.buffer == b.buffer &&
           a.offset * forja_dtype_size(a_dtype) == b.offset * forja_dtype_size(b_dtype);
}

forja_status forja__check_matmul(bool *out_is_empty, const forja_queue *queue,
                                 const forja_matmul_args *args) {
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(check_shape(args));
    *out_is_empty = is_empty(args);
    if (*out_is_empty)
        return FORJA_OK;
    const bool a_is_transposed = args->layout == FORJA_MATMUL_TN;
    const bool b_is_transposed = args->layout == FORJA_MATMUL_NT;
    // A matrix without elements is read nowhere.
    const uint64_t a_extent = args->k == 0
                                  ? 0
                                  : forja__extent(a_is_transposed ? args->k : args->m, args->lda,
                                                  a_is_transposed ? args->m : args->k);
    const uint64_t b_extent = args->k == 0
                                  ? 0
                                  : forja__extent(b_is_transposed ? args->n : args->k, args->ldb,
                                                  b_is_transposed ? args->k : args->n);
    const uint64_t c_extent = forja__extent(args->m, args->ldc, args->n);
    // Matrices one after another, or side by side in rows that hold the whole batch.
    if (args->batch_count > 1 && args->c_stride < c_extent &&
        (args->c_stride < args->n ||
         args->ldc < forja__extent(args->batch_count, args->c_stride, args->n)))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: c_stride is %llu; the batch's results need places of their own",
                           operation, (unsigned long long)args->c_stride);
    FORJA__TRY(forja__check_span(queue, args->a,
                                 forja__extent(args->batch_count, args->a_stride, a_extent),
                                 args->input_dtype, operation, "a"));
    FORJA__TRY(forja__check_span(queue, args->b,
                                 forja__extent(args->batch_count, args->b_stride, b_extent),
                                 args->input_dtype, operation, "b"));
    FORJA__TRY(forja__check_span(queue, args->c,
                                 forja__extent(args->batch_count, args->c_stride, c_extent),
                                 args->output_dtype, operation, "c"));
    // Fused tensors interleave their matrices' rows, so ranges that cross are fine; the same place
    // is not.
    if (args->k != 0 &&
        (is_same_place(args->c, args->output_dtype, args->a, args->input_dtype) ||
         is_same_place(args->c, args->output_dtype, args->b, args->input_dtype)))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: c is the place of an input; the product needs a place of its own",
                           operation);
    return FORJA_OK;
}

forja_status forja_matmul(forja_queue *queue, const forja_matmul_args *args) {
    bool is_nothing = false;
    FORJA__TRY(forja__check_matmul(&is_nothing, queue, args));
    return is_nothing ? FORJA_OK : FORJA__DISPATCH(matmul, queue, args);
}

uint64_t forja_matmul_workspace_bytes(const forja_device *device, const forja_matmul_args *args) {
    if (!device || !args || check_shape(args) != FORJA_OK || is_empty(args))
        return 0;
    return FORJA__DISPATCH_WORKSPACE(matmul, device, args);
}
