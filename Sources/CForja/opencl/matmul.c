// Launches kernels/matmul.cl: which variant, with which tunables, over which blocks.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "matmul.h"

uint64_t forja__ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }

/// FORJA_MATMUL_VARIANT=ref|cpu|gpu forces a variant for tests; anything else is no choice.
static forja__matmul_variant forced_variant(void) {
    const char *name = getenv("FORJA_MATMUL_VARIANT");
    if (name && strcmp(name, "ref") == 0)
        return FORJA__MATMUL_REFERENCE;
    if (name && strcmp(name, "cpu") == 0)
        return FORJA__MATMUL_PANELS;
    if (name && strcmp(name, "gpu") == 0)
        return FORJA__MATMUL_LOCAL;
    return FORJA__MATMUL_UNSET;
}

forja__matmul_variant forja__matmul_choose(const forja_device *device) {
    forja__matmul_variant forced = forced_variant();
    if (forced != FORJA__MATMUL_UNSET)
        return forced;
    return forja__opencl_is_cpu(device) ? FORJA__MATMUL_PANELS : FORJA__MATMUL_LOCAL;
}

const char *forja__matmul_storage_options(const forja_matmul_args *args) {
    bool input = args->input_dtype == FORJA_DTYPE_BF16;
    bool output = args->output_dtype == FORJA_DTYPE_BF16;
    if (input && output)
        return " -DSTORAGE_BF16 -DOUTPUT_BF16";
    return input ? " -DSTORAGE_BF16" : output ? " -DOUTPUT_BF16" : "";
}

static forja_status launch_reference(forja_queue *queue, const forja_matmul_args *args) {
    char options[96];
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

uint64_t forja__opencl_matmul_workspace_bytes(const forja_device *device,
                                              const forja_matmul_args *args) {
    if (args->k == 0 || forja__matmul_choose(device) != FORJA__MATMUL_PANELS)
        return 0;
    return forja__matmul_panels_bytes(device, args);
}

forja_status forja__opencl_matmul(forja_queue *queue, const forja_matmul_args *args) {
    if (args->k == 0)
        return args->accumulate ? FORJA_OK : launch_reference(queue, args);
    switch (forja__matmul_choose(queue->device)) {
    case FORJA__MATMUL_PANELS:
        return forja__matmul_launch_panels(queue, args);
    default:
        return launch_reference(queue, args);
    }
}
