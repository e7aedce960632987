// Whether a device does what nv_mma_ptx.cl says: out[0] becomes 2 where it does. Run by
// opencl/probe.c and by Tests/NvidiaEmulation.
//
// A[i, k] = i mod 8 + 1 and B[k, n] = (k + 1) · (n mod 2), so C[i, n] = 136 · (i mod 8 + 1) in odd
// columns.
//
// Launch    global (32), local (32); out[0..3] = 1
#include "nv_mma_ptx.cl"

__kernel __attribute__((reqd_work_group_size(LANES_OF_WARP, 1, 1))) void probe(
    __global float *out) {
    __local uint4 cells[LANES_OF_WARP] __attribute__((aligned(128)));
    const uint lane = get_local_id(0), g = lane / 4, t = lane % 4;
    const uint cell = local_address(cells) + lane * CELL_BYTES;
    copy_start(cell, out, CELL_BYTES);
    copy_commit();
    COPY_WAIT(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    // The float 1 is a pair of bf16, (0, 1): every odd column of the matrices is 1.
    uint ones[4], columns[4];
    load_matrices(ones, cell);
    load_matrices_transposed(columns, cell);
    const float one = as_float(ones[3]), is_odd = as_float(columns[2] << 16);
    const float a = one * (g + 1), b = is_odd * (2 * t + 1);
    const uint left[4] = {pack_bf16(a, a), pack_bf16(a, a), pack_bf16(a, a), pack_bf16(a, a)};
    float c[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    multiply(c, left, pack_bf16(b, b + is_odd),
             pack_bf16(b + 8.0f * is_odd, b + 9.0f * is_odd));
    const bool is_right = c[0] == 0.0f && c[1] == 136.0f * a && c[2] == 0.0f && c[3] == c[1] &&
                          exchange(lane, 5) == (lane ^ 5) && power_of_two(3.0f) == 8.0f &&
                          greater(one, a) == a;
    const uint lanes = ballot(is_right);
    if (lane == 0)
        out[0] = lanes == 0xffffffffu ? 2.0f : 3.0f;
}
