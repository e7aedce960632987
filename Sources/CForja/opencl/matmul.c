// The matrix product on OpenCL devices: finds the variant and hands over.
#include "matmul.h"

const char *forja__matmul_storage_options(const forja_matmul_args *args) {
    bool input = args->input_dtype == FORJA_DTYPE_BF16;
    bool output = args->output_dtype == FORJA_DTYPE_BF16;
    if (input && output)
        return " -DSTORAGE_BF16 -DOUTPUT_BF16";
    return input ? " -DSTORAGE_BF16" : output ? " -DOUTPUT_BF16" : "";
}

uint64_t forja__opencl_matmul_workspace_bytes(const forja_device *device,
                                              const forja_matmul_args *args) {
    const forja__variant *row;
    if (args->k == 0 ||
        forja__variant_choose(&row, device, FORJA_OP_MATMUL, args) != FORJA_OK ||
        !row->matmul->workspace_bytes)
        return 0;
    return row->matmul->workspace_bytes(device, row, args);
}

forja_status forja__opencl_matmul(forja_queue *queue, const forja_matmul_args *args) {
    if (args->k == 0) // no sum: C is 0, which the plain product writes
        return forja__opencl_matmul_reference.launch(queue, NULL, args);
    const forja__variant *row;
    FORJA__TRY(forja__variant_choose(&row, queue->device, FORJA_OP_MATMUL, args));
    return row->matmul->launch(queue, row, args);
}
