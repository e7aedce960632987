// What kernels are measured against: the public entries of forja_bench.h.
#include <cblas.h>
#include <limits.h>

#include "ops.h"

// What OpenBLAS calls before a fork; it starts its threads again at the next product. No header of
// it has the declaration, and another BLAS may lack the function.
extern int blas_thread_shutdown_(void) __attribute__((weak));

void forja_blas_end_threads(void) {
    if (blas_thread_shutdown_)
        (void)blas_thread_shutdown_();
}

forja_status forja_multiply_add(forja_queue *queue, const forja_multiply_add_args *args) {
    static const char operation[] = "forja_multiply_add";
    FORJA__TRY(forja__check_call(queue, args, operation));
    FORJA__TRY(forja__check_finite(args->factor, operation, "factor"));
    FORJA__TRY(forja__check_finite(args->addend, operation, "addend"));
    if (args->steps > FORJA_MULTIPLY_ADD_MAX_STEPS)
        return forja__fail(FORJA_ERROR_OUT_OF_RANGE,
                           "%s: steps is %llu; use %d at most, and repeat the call", operation,
                           (unsigned long long)args->steps, FORJA_MULTIPLY_ADD_MAX_STEPS);
    if (args->count == 0)
        return FORJA_OK;
    FORJA__TRY(forja__check_span(queue, args->out, args->count, FORJA_DTYPE_F32, operation, "out"));
    return FORJA__DISPATCH(multiply_add, queue, args);
}

forja_status forja_blas_matmul(forja_queue *queue, const forja_matmul_args *args) {
    static const char operation[] = "forja_blas_matmul";
    bool is_nothing = false;
    FORJA__TRY(forja__check_matmul(&is_nothing, queue, args));
    if (!forja__is_host(queue) || args->input_dtype != FORJA_DTYPE_F32 ||
        args->output_dtype != FORJA_DTYPE_F32 || args->batch_count > 1)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: device %s, types %d and %d, batch of %llu; BLAS multiplies single "
                           "f32 matrices on the host",
                           operation, queue->device->info.name, (int)args->input_dtype,
                           (int)args->output_dtype, (unsigned long long)args->batch_count);
    if (args->m > INT_MAX || args->n > INT_MAX || args->k > INT_MAX || args->lda > INT_MAX ||
        args->ldb > INT_MAX || args->ldc > INT_MAX)
        return forja__fail(FORJA_ERROR_OUT_OF_RANGE,
                           "%s: a side or a stride is above %d, which BLAS cannot count; "
                           "multiply smaller parts",
                           operation, INT_MAX);
    if (is_nothing)
        return FORJA_OK;
    const int threads_before = openblas_get_num_threads();
    openblas_set_num_threads((int)queue->device->info.thread_count);
    cblas_sgemm(CblasRowMajor, args->layout == FORJA_MATMUL_TN ? CblasTrans : CblasNoTrans,
                args->layout == FORJA_MATMUL_NT ? CblasTrans : CblasNoTrans, (int)args->m,
                (int)args->n, (int)args->k, args->alpha, forja__ptr(args->a, float),
                (int)args->lda, forja__ptr(args->b, float), (int)args->ldb,
                args->accumulate ? 1.0f : 0.0f, forja__ptr(args->c, float), (int)args->ldc);
    openblas_set_num_threads(threads_before);
    return FORJA_OK;
}
