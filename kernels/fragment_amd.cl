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
typedef short4 fragment_a;
#define FRAGMENT_LOAD(pairs) as_short4(vload2(0, pairs))
#elif FRAGMENT_DEPTH == 8
typedef short8 fragment_a;
#define FRAGMENT_LOAD(pairs) as_short8(vload4(0, pairs))
#else
typedef short16 fragment_a;
#define FRAGMENT_LOAD(pairs) as_short16(vload8(0, pairs))
#endif
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
    tile += lane % 16 * pitch + fragment_depth(lane);
#if FRAGMENT_DEPTH == 16
    __local const short8 *from = (__local const short8 *)tile; // rows start at 16 bytes, not 32
    return (short16)(from[0], from[1]);
#else
    return *(__local const fragment_a *)tile;
#endif
}

static inline fragment_a fragment_load_a_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
    uint pairs[FRAGMENT_DEPTH / 2];
    tile += fragment_depth(lane) * pitch + lane % 16;
    FRAGMENT_UNROLL
    for (uint i = 0; i < FRAGMENT_DEPTH / 2; i++)
        pairs[i] = pair_of(tile + 2 * i * pitch, pitch);
    return FRAGMENT_LOAD(pairs);
}

#define fragment_load_b fragment_load_a
#define fragment_load_b_transposed fragment_load_a_transposed

#ifdef FRAGMENT_EMULATED
#define fragment_multiply_add(c, a, b)                                                             \
    emulated_multiply_add(fragment_scratch, (const ushort *)&(a), (const ushort *)&(b), (c).value)
#elif defined(FRAGMENT_AMD_MFMA)
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k((a), (b), (c).vector, 0, 0, 0))
#elif defined(FRAGMENT_AMD_WMMA)
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32((a), (b), (c).vector))
#else
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12((a), (b), (c).vector))
#endif

static inline uint fragment_row(uint lane, uint i) {
#ifdef FRAGMENT_AMD_WMMA
    return 2 * i + lane / 16;
#else
    return lane / 16 * FRAGMENT_VALUES + i;
#endif
}
static inline uint fragment_column(uint lane, uint i) { return lane % 16; }
