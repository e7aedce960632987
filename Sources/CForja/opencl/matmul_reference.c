// The plain matrix product: one work-item an element. Runs on any device, for any size.
#include <stdio.h>

#include "matmul.h"

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    (void)row;
    char options[FORJA__OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DMATMUL_REFERENCE%s", forja__matmul_storage_options(args));
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL, options,
                                 "forja_matmul_reference"));
    bool a_transposed = args->layout == FORJA_MATMUL_TN;
    bool b_transposed = args->layout == FORJA_MATMUL_NT;
    cl_ulong a_row = a_transposed ? 1 : args->lda, a_depth = a_transposed ? args->lda : 1;
    cl_ulong b_column = b_transposed ? args->ldb : 1, b_depth = b_transposed ? 1 : args->ldb;
    cl_int accumulate = args->accumulate;
    size_t global[3] = {args->n, args->m, args->batch_count};
    return FORJA__LAUNCH(queue, kernel, "forja_matmul_reference", 3, global, NULL,
                         FORJA__ARG_SPAN(args->a), FORJA__ARG(a_row), FORJA__ARG(a_depth),
                         FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b),
                         FORJA__ARG(b_column), FORJA__ARG(b_depth), FORJA__ARG(args->b_stride),
                         FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
                         FORJA__ARG(args->c_stride), FORJA__ARG(args->k), FORJA__ARG(args->alpha),
                         FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_reference = {.launch = launch};
