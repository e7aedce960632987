// y = silu(gate) · up and its gradient, Shazeer, 2020, arXiv:2002.05202.
//
// Legend    x [rows, 2F] holds gate in columns [0, F) and up in [F, 2F); `group_rows` to a
//           work-group
// Launch    ⌈rows / group_rows⌉ work-groups
// Precision storage_t in memory, float32 between
// Twin      cpu/swiglu.c

// 0 where e^-x would pass 2^127. Of a NaN anything: callers multiply by x.
static inline float_v sigmoid_v(float_v x) {
    float_v y = 1.0f / (1.0f + exp_v(-fmax(x, (float_v)(-88.0f))));
    return x < -88.0f ? (float_v)(0.0f) : y;
}

ROW_KERNEL void forja_swiglu_forward(__global const storage_t *x, ulong x_offset,
                                     __global storage_t *y, ulong y_offset, ulong rows,
                                     ulong width, ulong group_rows) {
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *gates = x + x_offset + row * 2 * width, *ups = gates + width;
        __global storage_t *to = y + y_offset + row * width;
        FOR_LANE(i, 0, width) {
            float_v gate = load_v(gates + i, width - i), up = load_v(ups + i, width - i);
            store_v(gate * up * sigmoid_v(gate), to + i, width - i);
        }
    }
}

// dx may be the buffer of x: an element is read before the same work-item writes it.
ROW_KERNEL void forja_swiglu_backward(__global const storage_t *x, ulong x_offset,
                                      __global const storage_t *dy, ulong dy_offset,
                                      __global storage_t *dx, ulong dx_offset, ulong rows,
                                      ulong width, ulong group_rows) {
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global const storage_t *gates = x + x_offset + row * 2 * width, *ups = gates + width;
        __global const storage_t *slopes = dy + dy_offset + row * width;
        __global storage_t *d_gates = dx + dx_offset + row * 2 * width, *d_ups = d_gates + width;
        FOR_LANE(i, 0, width) {
            float_v gate = load_v(gates + i, width - i), up = load_v(ups + i, width - i);
            float_v slope = load_v(slopes + i, width - i), s = sigmoid_v(gate);
            store_v(slope * up * s * (1.0f + gate * (1.0f - s)), d_gates + i, width - i);
            store_v(slope * gate * s, d_ups + i, width - i);
        }
    }
}
