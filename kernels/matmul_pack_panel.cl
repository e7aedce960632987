// One panel from its source, in the address space PANEL, by the name PACK_PANEL: matmul_cpu.cl
// includes this once for each.

// Packs `depth` k of one panel: out[k][0 .. width) from `rows` ≤ width rows of the source, zeros
// beyond. The source is [row][k] (k_major 0) or [k][row]. `width` is even and a constant where this
// is inlined.
static inline void PACK_PANEL(PANEL float *out, int width, __global const storage_t *x, ulong stride,
                       int k_major, int rows, int depth) {
    if (rows < width) {
        for (int k = 0; k < depth; k++)
            for (int r = 0; r < width; r++)
                out[k * width + r] =
                    r < rows ? storage_load(k_major ? x[k * stride + r] : x[r * stride + k]) : 0.0f;
        return;
    }
    if (k_major) {
        for (int k = 0; k < depth; k++, x += stride, out += width) {
            int r = 0;
#pragma unroll
            for (; r + 4 <= width; r += 4)
                vstore4(load4(x + r), 0, out + r);
            if (r < width)
                vstore2(load2(x + r), 0, out + r);
        }
        return;
    }
    int r = 0;
    for (; r + 4 <= width; r += 4) {
        __global const storage_t *row = x + r * stride;
        int k = 0;
        for (; k + 4 <= depth; k += 4) {
            float4 x0 = load4(row + k), x1 = load4(row + stride + k);
            float4 x2 = load4(row + 2 * stride + k), x3 = load4(row + 3 * stride + k);
            float4 low01 = (float4)(x0.x, x1.x, x0.y, x1.y);
            float4 high01 = (float4)(x0.z, x1.z, x0.w, x1.w);
            float4 low23 = (float4)(x2.x, x3.x, x2.y, x3.y);
            float4 high23 = (float4)(x2.z, x3.z, x2.w, x3.w);
            PANEL float *place = out + k * width + r;
            vstore4((float4)(low01.lo, low23.lo), 0, place);
            vstore4((float4)(low01.hi, low23.hi), 0, place + width);
            vstore4((float4)(high01.lo, high23.lo), 0, place + 2 * width);
            vstore4((float4)(high01.hi, high23.hi), 0, place + 3 * width);
        }
        for (; k < depth; k++)
            for (int i = 0; i < 4; i++)
                out[k * width + r + i] = storage_load(row[i * stride + k]);
    }
    for (; r < width; r += 2) {
        __global const storage_t *row = x + r * stride;
        for (int k = 0; k < depth; k++)
            vstore2((float2)(storage_load(row[k]), storage_load(row[stride + k])), 0,
                    out + k * width + r);
    }
}
