// One fragment product of small integers, which is exact: out[0] = 2 when every value of C is where
// and what fragment.cl says, by both ways of loading. A device that gives anything else, or whose
// compiler refuses this, does not get the kernels for matrix units.
//
// Launch    global and local (FRAGMENT_LANES): one team. out holds one float.
#define WORK_ITEMS FRAGMENT_LANES
#define PITCH 24

// No two rows, columns or k are alike.
static inline float left_number(uint m, uint k) {
    return (float)((int)(m * 7 + k * 3) % 11 - 5 + (int)(m == k));
}
static inline float right_number(uint k, uint n) {
    return (float)((int)(n * 5 + k * 2) % 13 - 6 - (int)(n == k));
}

FRAGMENT_KERNEL void probe(__global float *out) {
    __local ushort a[FRAGMENT_M * PITCH] __attribute__((aligned(16)));
    __local ushort b[FRAGMENT_N * PITCH] __attribute__((aligned(16)));
    __local ushort a_transposed[FRAGMENT_K * PITCH] __attribute__((aligned(16)));
    __local ushort b_transposed[FRAGMENT_K * PITCH] __attribute__((aligned(16)));
    __local float faults[WORK_ITEMS];
    FRAGMENT_SCRATCH
    const uint lane = fragment_lane(), item = get_local_id(0);
    for (uint i = item; i < FRAGMENT_M * FRAGMENT_K; i += WORK_ITEMS) {
        const uint m = i / FRAGMENT_K, k = i % FRAGMENT_K;
        a[m * PITCH + k] = a_transposed[k * PITCH + m] = float_to_bf16(left_number(m, k));
    }
    for (uint i = item; i < FRAGMENT_N * FRAGMENT_K; i += WORK_ITEMS) {
        const uint n = i / FRAGMENT_K, k = i % FRAGMENT_K;
        b[n * PITCH + k] = b_transposed[k * PITCH + n] = float_to_bf16(right_number(k, n));
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    // C = A·B from the one pair of loads, then A·B more from the other.
    fragment_c c;
    FRAGMENT_UNROLL
    for (uint i = 0; i < FRAGMENT_VALUES; i++)
        c.value[i] = 0.0f;
    fragment_a left = fragment_load_a(a, PITCH, lane);
    fragment_b right = fragment_load_b(b, PITCH, lane);
    fragment_multiply_add(c, left, right);
    left = fragment_load_a_transposed(a_transposed, PITCH, lane);
    right = fragment_load_b_transposed(b_transposed, PITCH, lane);
    fragment_multiply_add(c, left, right);
    float wrong = 0.0f;
    FRAGMENT_UNROLL
    for (uint i = 0; i < FRAGMENT_VALUES; i++) {
        const uint m = fragment_row(lane, i), n = fragment_column(lane, i);
        float sum = 0.0f;
        for (uint k = 0; k < FRAGMENT_K; k++)
            sum += left_number(m, k) * right_number(k, n);
        wrong += c.value[i] == 2.0f * sum ? 0.0f : 1.0f;
    }
    faults[item] = wrong;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item == 0) {
        for (uint i = 1; i < WORK_ITEMS; i++)
            wrong += faults[i];
        out[0] = wrong == 0.0f ? 2.0f : 3.0f;
    }
}
