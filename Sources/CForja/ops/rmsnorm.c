// RMSNorm's public entries.
#include "ops.h"

forja_status forja_rmsnorm_forward(forja_queue *queue, const forja_rmsnorm_args *args) {
    static const char operation[] = "forja_rmsnorm_forward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    FORJA__TRY(forja__check_finite(args->epsilon, operation, "epsilon"));
    if (args->rows == 0 || args->width == 0)
        return FORJA_OK;
    const uint64_t elements = forja__product(args->rows, args->width);
    FORJA__TRY(forja__check_span(queue, args->x, elements, args->dtype, operation, "x"));
    FORJA__TRY(
        forja__check_span(queue, args->weight, args->width, args->dtype, operation, "weight"));
    FORJA__TRY(forja__check_span(queue, args->y, elements, args->dtype, operation, "y"));
    FORJA__TRY(
        forja__check_span(queue, args->rstd, args->rows, FORJA_DTYPE_F32, operation, "rstd"));
    return FORJA__DISPATCH(rmsnorm_forward, queue, args);
}

forja_status forja_rmsnorm_backward(forja_queue *queue, const forja_rmsnorm_backward_args *args) {
    static const char operation[] = "forja_rmsnorm_backward";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_storage_dtype(args->dtype, operation, "dtype"));
    if (args->width == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->d_weight, args->width, FORJA_DTYPE_F32, operation,
                                 "d_weight"));
    if (args->rows == 0) {
        // No row adds anything, and overwriting with the empty sum is writing zeros.
        return args->accumulate_d_weight ? FORJA_OK
                                         : forja_buffer_fill(queue, args->d_weight.buffer,
                                                             args->d_weight.offset * sizeof(float),
                                                             args->width * sizeof(float), 0);
    }
    const uint64_t elements = forja__product(args->rows, args->width);
    FORJA__TRY(forja__check_span(queue, args->x, elements, args->dtype, operation, "x"));
    FORJA__TRY(
        forja__check_span(queue, args->weight, args->width, args->dtype, operation, "weight"));
    FORJA__TRY(
        forja__check_span(queue, args->rstd, args->rows, FORJA_DTYPE_F32, operation, "rstd"));
    FORJA__TRY(forja__check_span(queue, args->dy, elements, args->dtype, operation, "dy"));
    FORJA__TRY(forja__check_span(queue, args->dx, elements, args->dtype, operation, "dx"));
    return FORJA__DISPATCH(rmsnorm_backward, queue, args);
}

uint64_t forja_rmsnorm_backward_workspace_bytes(const forja_device *device,
                                                const forja_rmsnorm_backward_args *args) {
    if (!device || !args || args->rows == 0 || args->width == 0)
        return 0;
    return FORJA__DISPATCH_WORKSPACE(rmsnorm_backward, device, args);
}
