// Fragments (fragment.cl) on Intel's matrix units, through the OpenCL extension
// cl_intel_subgroup_matrix_multiply_accumulate. A team is a sub-group of the device's least size.
//
//   FRAGMENT_LANES 16 (Xe-HPC, Xe2)    A short8: element i of lane l is A[i][l]
//   FRAGMENT_LANES 8 (Xe-HPG)          A int8:   element i of lane l is A[i][2l], A[i][2l + 1]
//   both                               B int8:   element j of lane n is B[2j][n], B[2j + 1][n]
//                                      C float8: element i of lane n is C[i][n]
//
// Of a pair the first lies in the low half.
#define FRAGMENT_XMX
#ifndef FRAGMENT_LANES
#define FRAGMENT_LANES 16
#endif
#define FRAGMENT_M 8
#define FRAGMENT_N FRAGMENT_LANES
#define FRAGMENT_VALUES 8
#include "fragment.cl"
#include "fragment_emulated.cl"

#ifdef FRAGMENT_EMULATED
#define FRAGMENT_KERNEL __kernel __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1)))
static inline uint fragment_lane(void) { return get_local_id(0) % FRAGMENT_LANES; }
static inline uint fragment_team(void) { return get_local_id(0) / FRAGMENT_LANES; }
#else
#pragma OPENCL EXTENSION cl_intel_subgroups : enable
#define FRAGMENT_KERNEL                                                                            \
    __attribute__((intel_reqd_sub_group_size(FRAGMENT_LANES)))                                     \
    __attribute__((reqd_work_group_size(WORK_ITEMS, 1, 1))) __kernel
static inline uint fragment_lane(void) { return get_sub_group_local_id(); }
static inline uint fragment_team(void) { return get_sub_group_id(); }
#endif

typedef union fragment_a {
#if FRAGMENT_LANES == 16
    short8 vector;
    ushort value[8];
#else
    int8 vector;
    uint value[8];
    ushort half_value[16];
#endif
} fragment_a;
typedef union fragment_b {
    int8 vector;
    uint value[8];
    uint4 part[2];
    ushort half_value[16];
} fragment_b;
typedef union fragment_c {
    float8 vector;
    float value[8];
} fragment_c;

static inline fragment_a fragment_load_a(__local const ushort *tile, uint pitch, uint lane) {
    fragment_a a;
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
#if FRAGMENT_LANES == 16
        a.value[i] = tile[i * pitch + lane];
#else
        a.value[i] = ((__local const uint *)(tile + i * pitch))[lane];
#endif
    return a;
}

static inline fragment_a fragment_load_a_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
    fragment_a a;
#if FRAGMENT_LANES == 16
    a.vector = *(__local const short8 *)(tile + lane * pitch);
#else
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
        a.value[i] = pair_of(tile + 2 * lane * pitch + i, pitch);
#endif
    return a;
}

static inline fragment_b fragment_load_b(__local const ushort *tile, uint pitch, uint lane) {
    fragment_b b;
    __local const uint4 *from = (__local const uint4 *)(tile + lane * pitch);
    b.part[0] = from[0];
    b.part[1] = from[1];
    return b;
}

static inline fragment_b fragment_load_b_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
    fragment_b b;
    FRAGMENT_UNROLL
    for (uint j = 0; j < 8; j++)
        b.value[j] = pair_of(tile + 2 * j * pitch + lane, pitch);
    return b;
}

#ifdef FRAGMENT_EMULATED
#if FRAGMENT_LANES == 16
#define A_NUMBERS(a) (a).value
#else
#define A_NUMBERS(a) (a).half_value
#endif
#define fragment_multiply_add(c, a, b)                                                             \
    emulated_multiply_add(fragment_scratch, A_NUMBERS(a), (b).half_value, (c).value)
#else
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = intel_sub_group_bf16_bf16_matrix_mad_k16((a).vector, (b).vector, (c).vector))
#endif

static inline uint fragment_row(uint lane, uint i) { return i; }
static inline uint fragment_column(uint lane, uint i) { return lane; }
