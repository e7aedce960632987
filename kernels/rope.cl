// Rotary embedding in place, half-split layout, Su and others, 2021, arXiv:2104.09864.
//
//   x[i] ← x[i]·cos θ − x[i + HALF]·sin θ,   x[i + HALF] ← x[i + HALF]·cos θ + x[i]·sin θ
//
// Legend    HALF = head width / 2; tables [position_count, HALF] f32; `sign` is −1 for the inverse
// Launch    ⌈rows / group_rows⌉ work-groups; a work-item takes whole vectors of pairs
// Tail      with LANES = 1 the last vector of a half may be short
// Twin      cpu/rope.c
#define ROWS_AHEAD 2 // rows may lie a page apart, where a processor's own prefetching stops
#define CHUNKS ((HALF + VEC - 1) / VEC) // vectors of a half

ROW_KERNEL void forja_rope(__global storage_t *x, ulong x_offset, __global const float *cosine,
                           ulong cosine_offset, __global const float *sine, ulong sine_offset,
                           __global const int *positions, ulong positions_offset, ulong rows,
                           ulong sequence_length, ulong row_stride, ulong position_count,
                           uint heads, float sign, ulong group_rows) {
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        long position = positions ? (long)positions[positions_offset + row]
                                  : (long)(row % sequence_length);
        ulong table = (ulong)clamp(position, 0L, (long)position_count - 1) * HALF;
        __global const float *cosines = cosine + cosine_offset + table;
        __global const float *sines = sine + sine_offset + table;
        for (uint j = get_local_id(0); j < heads * CHUNKS; j += LANES) {
            uint i = j % CHUNKS * VEC, left = HALF - i;
            ulong head = x_offset + row * row_stride + j / CHUNKS * (2ul * HALF);
            __global storage_t *low = x + head + i;
#if LANES == 1
            PREFETCH_TO_WRITE(low + ROWS_AHEAD * row_stride);
            PREFETCH_TO_WRITE(low + ROWS_AHEAD * row_stride + HALF);
#endif
            float_v a = load_v(low, left), b = load_v(low + HALF, left);
            float_v c = load_f32_v(cosines + i, left), s = load_f32_v(sines + i, left) * sign;
            store_v(a * c - b * s, low, left);
            store_v(b * c + a * s, low + HALF, left);
        }
    }
}
