// forja_multiply_add: chains of fused multiply-adds in registers, to measure a device's arithmetic.
//
//   out_i = x after `steps` times x ← x·factor + addend, from x = i mod 1024
//
// Options   -DVEC floats of a vector, -DCHAINS vectors that a work-item advances by turns: enough to
//           hide the instruction's latency, few enough to stay in registers
// Launch    one work-item per CHAINS·VEC elements, any work-group
// Tail      elements past `count` are computed and not written
// Twin      cpu/peak.c

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#if VEC == 1
#define floatv float
#define LANE_NUMBERS 0.0f
#define write_part(x, part) (part)[0] = (x)
#else
#define floatv JOIN(float, VEC)
#define write_part(x, part) JOIN(vstore, VEC)((x), 0, (part))
#if VEC == 4
#define LANE_NUMBERS (float4)(0, 1, 2, 3)
#elif VEC == 8
#define LANE_NUMBERS (float8)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LANE_NUMBERS (float16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#endif
#endif

__kernel void forja_multiply_add(__global float *out, ulong out_offset, ulong count, ulong steps,
                                 float factor, float addend) {
    ulong first = get_global_id(0) * (CHAINS * VEC);
    floatv x[CHAINS];
    // CHAINS · VEC divides no 1024 in general, so a vector may pass a multiple of it.
#pragma unroll
    for (int c = 0; c < CHAINS; c++) {
        floatv number = LANE_NUMBERS + (float)((first + c * VEC) % 1024);
        x[c] = number < 1024.0f ? number : number - 1024.0f;
    }
    for (ulong step = 0; step < steps; step++) {
#pragma unroll
        for (int c = 0; c < CHAINS; c++)
            x[c] = fma(x[c], (floatv)(factor), (floatv)(addend));
    }
    out += out_offset;
#pragma unroll
    for (int c = 0; c < CHAINS; c++) {
        float part[VEC];
        write_part(x[c], part);
        for (ulong lane = 0; lane < VEC && first + c * VEC + lane < count; lane++)
            out[first + c * VEC + lane] = part[lane];
    }
}
