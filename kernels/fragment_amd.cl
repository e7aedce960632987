// Fragments (fragment.cl) on AMD's matrix units, through clang's builtins. A team is a wave.
//
//   FRAGMENT_AMD_MFMA (gfx90a, gfx94x), 64 lanes. With g = lane / 16 and r = lane % 16:
//       A[r][4g + i], B[4g + i][r], C[4g + i][r] for i in 0..3
//   FRAGMENT_AMD_WMMA (gfx11), 32 lanes:
//       A[r][i], B[i][r] for i in 0..15, the same in both halves; C[2i + g][r] for i in 0..7
//   FRAGMENT_AMD_WMMA_GFX12 (gfx12), 32 lanes:
//       A[r][8g + i], B[8g + i][r], C[8g + i][r] for i in 0..7
//
// Any order of k serves as long as A and B have the same one; rows and columns have to be right.
#define FRAGMENT_M 16
#define FRAGMENT_N 16
#ifdef FRAGMENT_AMD_MFMA
#define FRAGMENT_LANES 64
#define FRAGMENT_VALUES 4
#define FRAGMENT_DEPTH 4 // k that a lane holds
#elif defined(FRAGMENT_AMD_WMMA)
#define FRAGMENT_LANES 32
#define FRAGMENT_VALUES 8
#define FRAGMENT_DEPTH 16
#else
#define FRAGMENT_LANES 32
#define FRAGMENT_VALUES 8
#define FRAGMENT_DEPTH 8
#endif
#include "fragment.cl"
#include "fragment_emulated.cl"

#define FRAGMENT_KERNEL __kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1)))

static inline uint fragment_lane(void) { return get_local_id(0) % FRAGMENT_LANES; }
static inline uint fragment_team(void) { return get_local_id(0) / FRAGMENT_LANES; }

// A and B have one shape: a lane holds FRAGMENT_DEPTH k of one row, or column.
#if FRAGMENT_DEPTH == 4
typedef short4 fragment_vector;
#elif FRAGMENT_DEPTH == 8
typedef short8 fragment_vector;
#else
typedef short16 fragment_vector;
#endif
typedef union fragment_a {
    fragment_vector vector;
    uint2 part[FRAGMENT_DEPTH / 4];
    uint pair[FRAGMENT_DEPTH / 2];
    ushort value[FRAGMENT_DEPTH];
} fragment_a;
typedef fragment_a fragment_b;

#if FRAGMENT_VALUES == 4
typedef float4 fragment_sums;
#else
typedef float8 fragment_sums;
#endif
typedef union fragment_c {
    fragment_sums vector;
    float value[FRAGMENT_VALUES];
} fragment_c;

// The first k of the lane.
static inline uint fragment_depth(uint lane) {
    return FRAGMENT_DEPTH == 16 ? 0 : lane / 16 * FRAGMENT_DEPTH;
}

static inline fragment_a fragment_load_a(__local const ushort *tile, uint pitch, uint lane) {
    fragment_a a;
    __local const uint2 *from =
        (__local const uint2 *)(tile + lane % 16 * pitch + fragment_depth(lane));
    FRAGMENT_UNROLL
    for (uint i = 0; i < FRAGMENT_DEPTH / 4; i++)
        a.part[i] = from[i];
    return a;
}

static inline fragment_a fragment_load_a_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
    fragment_a a;
    tile += fragment_depth(lane) * pitch + lane % 16;
    FRAGMENT_UNROLL
    for (uint i = 0; i < FRAGMENT_DEPTH / 2; i++)
        a.pair[i] = pair_of(tile + 2 * i * pitch, pitch);
    return a;
}

#define fragment_load_b fragment_load_a
#define fragment_load_b_transposed fragment_load_a_transposed

#ifdef FRAGMENT_EMULATED
#define fragment_multiply_add(c, a, b)                                                             \
    emulated_multiply_add(fragment_scratch, (a).value, (b).value, (c).value)
#elif defined(FRAGMENT_AMD_MFMA)
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k((a).vector, (b).vector, (c).vector, 0, \
                                                            0, 0))
#elif defined(FRAGMENT_AMD_WMMA)
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32((a).vector, (b).vector, (c).vector))
#else
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector =                                                                                  \
         __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12((a).vector, (b).vector, (c).vector))
#endif

static inline uint fragment_row(uint lane, uint i) {
#ifdef FRAGMENT_AMD_WMMA
    return 2 * i + lane / 16;
#else
    return lane / 16 * FRAGMENT_VALUES + i;
#endif
}
static inline uint fragment_column(uint lane, uint i) { return lane % 16; }
