// Shapes of row and element kernels: one work-item per block of rows with wide vectors on CPU
// devices, one work-group per row on the others.
#include "rows.h"

#include <stdio.h>
#include <string.h>

#include "variants.h"

enum {
    CPU_BLOCK = 16384, // elements: hides a work-group's start, is short enough to balance
    GPU_MAX_LANES = 256,
    GPU_MIN_LANES = 32,
    GPU_VECTOR_BYTES = 16,
    GPU_BLOCK_VECTORS = 4, // per work-item
};

/// A wrong FORJA_ROW_KERNELS counts as unset here; forja__rows_kernel, which can fail, refuses it.
static bool one_item_per_group(const forja_device *device) {
    const forja__variant *row;
    return forja__variant_choose(&row, device, FORJA_OP_ROWS, NULL) == FORJA_OK
               ? strcmp(row->name, "item") == 0
               : forja__opencl_is_cpu(device);
}

forja__rows forja__rows_choose(const forja_device *device, forja_dtype dtype, uint64_t width,
                               uint64_t alignment) {
    bool bf16 = dtype == FORJA_DTYPE_BF16;
    const uint64_t most = forja__opencl_max_work_group(device);
    if (one_item_per_group(device) || most < 2)
        return (forja__rows){.lanes = 1, .vec = forja__opencl_vector_width(device), .bf16 = bf16};
    uint32_t vec = GPU_VECTOR_BYTES / (bf16 ? 2 : 4);
    if (alignment % vec != 0 || width % vec != 0)
        vec = 1;
    uint32_t lanes = GPU_MIN_LANES;
    while (lanes < GPU_MAX_LANES && (uint64_t)lanes * vec < width)
        lanes *= 2;
    while (lanes > most)
        lanes /= 2;
    return (forja__rows){.lanes = lanes, .vec = vec, .bf16 = bf16};
}

uint64_t forja__rows_block(forja__rows rows) {
    return rows.lanes == 1 ? CPU_BLOCK : (uint64_t)rows.lanes * rows.vec * GPU_BLOCK_VECTORS;
}

forja_status forja__rows_kernel(cl_kernel *out, forja_device *device, forja__source source,
                                forja__rows rows, const char *more, const char *kernel_name) {
    const forja__variant *row;
    FORJA__TRY(forja__variant_choose(&row, device, FORJA_OP_ROWS, NULL));
    char options[160];
    snprintf(options, sizeof options, "-DLANES=%u -DVEC=%u -DBLOCK=%llu%s%s%s", rows.lanes, rows.vec,
             (unsigned long long)forja__rows_block(rows), rows.bf16 ? " -DSTORAGE_BF16" : "",
             forja__opencl_is_cpu(device) ? " -DPREFETCHES" : "", // a simulator has no such thing
             more);
    return forja__kernel_get(out, device, source, options, kernel_name);
}

forja__rows_range forja__rows_groups(forja__rows rows, uint64_t groups) {
    return (forja__rows_range){{groups * rows.lanes}, {rows.lanes}};
}

forja_status forja__rows_prepare(forja__rows_launch *out, forja_device *device,
                                 forja__source source, forja__rows rows, const char *more,
                                 const char *kernel_name, uint64_t count, uint64_t width) {
    FORJA__TRY(forja__rows_kernel(&out->kernel, device, source, rows, more, kernel_name));
    out->group_rows = rows.lanes == 1 && width < CPU_BLOCK ? CPU_BLOCK / width : 1;
    out->range = forja__rows_groups(rows, forja__ceil_groups(count, out->group_rows));
    return FORJA_OK;
}
