// Root-mean-square normalisation of rows, Zhang and Sennrich, 2019, arXiv:1910.07467.
//
// Legend    C = width of a row, `rows` of them, `group_rows` to a work-group
// Launch    ⌈rows / group_rows⌉ work-groups, but for forja_rmsnorm_backward_weight
// Precision storage_t in memory, float32 in every sum
// Twin      cpu/rmsnorm.c

// forja_rmsnorm_forward: y = x · rstd · w, rstd = 1 / √(mean of x² + epsilon).
ROW_KERNEL void forja_rmsnorm_forward(__global const storage_t *x, ulong x_offset,
                                      __global const storage_t *weight, ulong weight_offset,
                                      __global storage_t *y, ulong y_offset, __global float *rstd,
                                      ulong rstd_offset, ulong rows, ulong width, float epsilon,
                                      ulong group_rows) {
    ROW_SCRATCH
    weight += weight_offset;
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *from = x + x_offset + row * width;
        __global storage_t *to = y + y_offset + row * width;
        float_v squares = 0.0f;
        FOR_LANE(i, 0, width) {
            float_v v = load_v(from + i, width - i);
            squares += v * v;
        }
        float r = 1.0f / sqrt(row_sum(sum_v(squares)) / (float)width + epsilon);
        if (get_local_id(0) == 0)
            rstd[rstd_offset + row] = r;
        FOR_LANE(i, 0, width)
            store_v(load_v(from + i, width - i) * r * load_v(weight + i, width - i), to + i,
                    width - i);
    }
}

// forja_rmsnorm_backward_rows: dx (+)= rstd · (w·dy − x · rstd² · mean(w·dy·x)), and this block of
// rows' part of d_weight, Σ dy · x · rstd, into its row of partials [work-groups, C]. A work-item
// meets the same columns in every row, so it adds to partials alone.
ROW_KERNEL void forja_rmsnorm_backward_rows(
    __global const storage_t *x, ulong x_offset, __global const storage_t *weight,
    ulong weight_offset, __global const float *rstd, ulong rstd_offset,
    __global const storage_t *dy, ulong dy_offset, __global storage_t *dx, ulong dx_offset,
    __global float *partials, ulong partials_offset, ulong rows, ulong width, int accumulate,
    ulong group_rows) {
    ROW_SCRATCH
    weight += weight_offset;
    partials += partials_offset + get_group_id(0) * width;
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *from = x + x_offset + row * width;
        __global const storage_t *slope = dy + dy_offset + row * width;
        __global storage_t *to = dx + dx_offset + row * width;
        float r = rstd[rstd_offset + row];
        float_v dots = 0.0f;
        FOR_LANE(i, 0, width) {
            float_v product = load_v(from + i, width - i) * load_v(slope + i, width - i);
            dots += product * load_v(weight + i, width - i);
            float_v sum = row == first ? (float_v)(0.0f) : load_f32_v(partials + i, width - i);
            store_f32_v(sum + product * r, partials + i, width - i);
        }
        float mean = row_sum(sum_v(dots)) / (float)width * r * r;
        FOR_LANE(i, 0, width) {
            float_v d = load_v(slope + i, width - i) * load_v(weight + i, width - i);
            d = (d - load_v(from + i, width - i) * mean) * r;
            if (accumulate)
                d += load_v(to + i, width - i);
            store_v(d, to + i, width - i);
        }
    }
}

// forja_rmsnorm_backward_weight: d_weight (+)= Σ over blocks of partials.
//
// Launch    on CPU devices ⌈C / COLUMNS⌉ work-items, each a strip of columns with the blocks in
//           order; else ⌈C / COLUMNS⌉ work-groups, lane = slice · COLUMNS + column, whose slices
//           take every SLICES-th block and are added in order
#if LANES == 1
#define COLUMNS (4 * VEC)
#else
#define COLUMNS (LANES < 32 ? LANES : 32)
#define SLICES (LANES / COLUMNS)
#endif
ROW_KERNEL void forja_rmsnorm_backward_weight(__global const float *partials,
                                              ulong partials_offset, __global float *d_weight,
                                              ulong d_weight_offset, ulong blocks, ulong width,
                                              int accumulate) {
    partials += partials_offset;
    d_weight += d_weight_offset;
    ulong start = get_group_id(0) * COLUMNS;
#if LANES == 1
    ulong end = min(width, start + COLUMNS);
    for (ulong i = start; i < end; i += VEC) {
        float_v sum = 0.0f;
        for (ulong block = 0; block < blocks; block++)
            sum += load_f32_v(partials + block * width + i, width - i);
        if (accumulate)
            sum += load_f32_v(d_weight + i, width - i);
        store_f32_v(sum, d_weight + i, width - i);
    }
#else
    __local float slices[LANES];
    uint lane = get_local_id(0);
    ulong column = start + lane % COLUMNS;
    float sum = 0.0f;
    if (column < width)
        for (ulong block = lane / COLUMNS; block < blocks; block += SLICES)
            sum += partials[block * width + column];
    slices[lane] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (lane < COLUMNS && column < width) {
        for (uint slice = 1; slice < SLICES; slice++)
            sum += slices[slice * COLUMNS + lane];
        d_weight[column] = accumulate ? d_weight[column] + sum : sum;
    }
#endif
}
