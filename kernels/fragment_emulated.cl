// Matrix-unit instructions in plain OpenCL C, with -DFRAGMENT_EMULATED: what fragment_xmx.cl and
// fragment_amd.cl say about registers is tested on devices that have no matrix unit.
//
// An instruction gets each lane's registers of A and B and gives the lane its registers of C. Here
// the lanes of a team write A [M][16] and B [N][16] into local memory by the vendor's register map,
// which is written down a second time below, and then each computes what the map gives it of A·B.
// So every work-item of a work-group has to reach it: emulation is for tests, and slow.

#ifdef FRAGMENT_EMULATED
#define EMULATED_A 256 // where B starts in a team's scratch
#define FRAGMENT_SCRATCH                                                                           \
    __local ushort fragment_scratch_[2 * EMULATED_A * (WORK_ITEMS / FRAGMENT_LANES)];              \
    __local ushort *const fragment_scratch =                                                       \
        fragment_scratch_ + get_local_id(0) / FRAGMENT_LANES * 2 * EMULATED_A;

// Σ over k of A[row][k]·B[column][k], added to c.
static inline float emulated_sum(__local const ushort *scratch, uint row, uint column, float c) {
    for (uint k = 0; k < 16; k++)
        c = fma(bf16_to_float(scratch[row * 16 + k]),
                bf16_to_float(scratch[EMULATED_A + column * 16 + k]), c);
    return c;
}

// Per vendor: how many numbers of A, B and C a lane holds, and the place of each. Sources: the
// OpenCL extension cl_intel_subgroup_matrix_multiply_accumulate; AMD's "matrix instruction
// calculator" for v_mfma_f32_16x16x16_bf16 and v_wmma_f32_16x16x16_bf16.
#if defined(FRAGMENT_XMX)
// A lane holds 128 / LANES numbers of A: of each of 8 rows, 16 / LANES neighbours in k.
#define EMULATED_A_COUNT (8 * 16 / FRAGMENT_LANES)
#define EMULATED_B_COUNT 16
#define EMULATED_C_COUNT 8
#define EMULATED_A_ROW(lane, i) ((i) / (16 / FRAGMENT_LANES))
#define EMULATED_A_K(lane, i) ((lane) * (16 / FRAGMENT_LANES) + (i) % (16 / FRAGMENT_LANES))
#define EMULATED_B_COLUMN(lane, i) (lane)
#define EMULATED_B_K(lane, i) (i)
#define EMULATED_C_ROW(lane, i) (i)
#define EMULATED_C_COLUMN(lane, i) (lane)
#elif defined(FRAGMENT_AMD_MFMA)
#define EMULATED_A_COUNT 4
#define EMULATED_B_COUNT 4
#define EMULATED_C_COUNT 4
#define EMULATED_A_ROW(lane, i) ((lane) % 16)
#define EMULATED_A_K(lane, i) (4 * ((lane) / 16) + (i))
#define EMULATED_B_COLUMN(lane, i) ((lane) % 16)
#define EMULATED_B_K(lane, i) (4 * ((lane) / 16) + (i))
#define EMULATED_C_ROW(lane, i) (4 * ((lane) / 16) + (i))
#define EMULATED_C_COLUMN(lane, i) ((lane) % 16)
#elif defined(FRAGMENT_AMD_WMMA)
// Both halves of the wave hold the same A and B.
#define EMULATED_A_COUNT 16
#define EMULATED_B_COUNT 16
#define EMULATED_C_COUNT 8
#define EMULATED_A_ROW(lane, i) ((lane) % 16)
#define EMULATED_A_K(lane, i) (i)
#define EMULATED_B_COLUMN(lane, i) ((lane) % 16)
#define EMULATED_B_K(lane, i) (i)
#define EMULATED_C_ROW(lane, i) (2 * (i) + (lane) / 16)
#define EMULATED_C_COLUMN(lane, i) ((lane) % 16)
#elif defined(FRAGMENT_AMD_WMMA_GFX12)
#define EMULATED_A_COUNT 8
#define EMULATED_B_COUNT 8
#define EMULATED_C_COUNT 8
#define EMULATED_A_ROW(lane, i) ((lane) % 16)
#define EMULATED_A_K(lane, i) (8 * ((lane) / 16) + (i))
#define EMULATED_B_COLUMN(lane, i) ((lane) % 16)
#define EMULATED_B_K(lane, i) (8 * ((lane) / 16) + (i))
#define EMULATED_C_ROW(lane, i) (8 * ((lane) / 16) + (i))
#define EMULATED_C_COLUMN(lane, i) ((lane) % 16)
#endif

// c += A·B, from the registers' numbers in order.
static inline void emulated_multiply_add(__local ushort *scratch, const ushort *a, const ushort *b,
                                         float *c) {
    const uint lane = get_local_id(0) % FRAGMENT_LANES;
    for (uint i = 0; i < EMULATED_A_COUNT; i++)
        scratch[EMULATED_A_ROW(lane, i) * 16 + EMULATED_A_K(lane, i)] = a[i];
    for (uint i = 0; i < EMULATED_B_COUNT; i++)
        scratch[EMULATED_A + EMULATED_B_COLUMN(lane, i) * 16 + EMULATED_B_K(lane, i)] = b[i];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < EMULATED_C_COUNT; i++)
        c[i] = emulated_sum(scratch, EMULATED_C_ROW(lane, i), EMULATED_C_COLUMN(lane, i), c[i]);
    barrier(CLK_LOCAL_MEM_FENCE); // before the next instruction writes
}
#endif

// With -DFRAGMENT_EMULATED_BY_SUBGROUPS instead: Intel's instruction from shuffles, for a CPU
// device that has sub-groups but no matrix unit. Then fragment_xmx.cl is compiled as on a GPU.
#ifdef FRAGMENT_EMULATED_BY_SUBGROUPS
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#if FRAGMENT_LANES == 16
typedef short8 emulated_left;
#else
typedef int8 emulated_left;
#endif
static inline float8 emulated_subgroup_multiply_add(emulated_left a, int8 b, float8 c) {
    union {
        emulated_left vector;
        ushort value[8 * 16 / FRAGMENT_LANES];
    } left;
    union {
        int8 vector;
        ushort value[16];
    } right;
    union {
        float8 vector;
        float value[8];
    } sum;
    left.vector = a;
    right.vector = b;
    sum.vector = c;
    for (uint k = 0; k < 16; k++)
        for (uint m = 0; m < 8; m++) {
            const uint per_row = 16 / FRAGMENT_LANES;
            const uint mine = left.value[m * per_row + k % per_row];
            const uint theirs = intel_sub_group_shuffle(mine, k / per_row);
            sum.value[m] = fma(bf16_to_float((ushort)theirs), bf16_to_float(right.value[k]),
                               sum.value[m]);
        }
    return sum.vector;
}
#define intel_sub_group_bf16_bf16_matrix_mad_k16 emulated_subgroup_multiply_add
#endif
