// Launches kernels/cast.cl.
#include "rows.h"

#include <stdio.h>

static const char *suffix(forja_dtype dtype) {
    return dtype == FORJA_DTYPE_F32 ? "f32" : dtype == FORJA_DTYPE_BF16 ? "bf16" : "f16";
}

static const char *element(forja_dtype dtype) {
    return dtype == FORJA_DTYPE_F32 ? "float" : "ushort";
}

forja_status forja__opencl_cast(forja_queue *queue, const forja_cast_args *args) {
    static const char name[] = "forja_cast";
    // A vector counts in elements of the wider side.
    bool narrow = args->from != FORJA_DTYPE_F32 && args->to != FORJA_DTYPE_F32;
    forja__rows rows = forja__rows_choose(
        queue->device, narrow ? FORJA_DTYPE_BF16 : FORJA_DTYPE_F32, args->count,
        args->source.offset | args->destination.offset);
    char options[128];
    snprintf(options, sizeof options,
             " -DLOAD=load_%s_v -DSTORE=store_%s_v -DFROM_T=%s -DTO_T=%s", suffix(args->from),
             suffix(args->to), element(args->from), element(args->to));
    cl_kernel kernel;
    FORJA__TRY(
        forja__rows_kernel(&kernel, queue->device, FORJA__SOURCE_CAST, rows, options, name));
    forja__rows_range range =
        forja__rows_groups(rows, forja__ceil_groups(args->count, forja__rows_block(rows)));
    return FORJA__LAUNCH(queue, kernel, name, 1, range.global, range.local,
                         FORJA__ARG_SPAN(args->source), FORJA__ARG_SPAN(args->destination),
                         FORJA__ARG(args->count));
}
