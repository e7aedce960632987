// Row softmax and its gradient.
//
// Legend    C = width of a row, `rows` of them, `group_rows` to a work-group
// Launch    ⌈rows / group_rows⌉ work-groups
// Precision storage_t in memory, float32 in every sum
// Twin      cpu/softmax.c

// forja_softmax_forward: y = exp(x − max) / Σ exp(x − max); 0 where every x is −infinity. y may be
// x.
#ifdef LOG_SUM_EXP
ROW_KERNEL void forja_softmax_forward(__global const storage_t *x, ulong x_offset,
                                      __global storage_t *y, ulong y_offset, ulong rows,
                                      ulong width, ulong group_rows) {
    ROW_SCRATCH
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *from = x + x_offset + row * width;
        __global storage_t *to = y + y_offset + row * width;
        log_sum_exp s;
        row_log_sum_exp(&s, from, width, 1.0f, to);
        float factor = s.sum == 0.0f ? 0.0f : 1.0f / s.sum;
#ifdef KEEPS_EXPONENTIALS
        scale_exponentials(to, width, &s, factor);
#else
        FOR_LANE(i, 0, width)
            store_v(exp_v(load_v(from + i, width - i) - s.maximum) * factor, to + i, width - i);
#endif
    }
}
#else

// forja_softmax_backward: dx = y · (dy − Σ dy·y). dx may be dy.
ROW_KERNEL void forja_softmax_backward(__global const storage_t *y, ulong y_offset,
                                       __global const storage_t *dy, ulong dy_offset,
                                       __global storage_t *dx, ulong dx_offset, ulong rows,
                                       ulong width, ulong group_rows) {
    ROW_SCRATCH
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *p = y + y_offset + row * width;
        __global const storage_t *d = dy + dy_offset + row * width;
        __global storage_t *to = dx + dx_offset + row * width;
        float_v dots = 0.0f;
        FOR_LANE(i, 0, width)
            dots += load_v(p + i, width - i) * load_v(d + i, width - i);
        float dot = row_sum(sum_v(dots));
        FOR_LANE(i, 0, width)
            store_v(load_v(p + i, width - i) * (load_v(d + i, width - i) - dot), to + i, width - i);
    }
}
#endif
