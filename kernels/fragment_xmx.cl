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

#if FRAGMENT_LANES == 16
typedef short8 fragment_a;
#else
typedef int8 fragment_a;
#endif
typedef int8 fragment_b;
typedef union fragment_c {
    float8 vector;
    float value[8];
} fragment_c;

static inline fragment_a fragment_load_a(__local const ushort *tile, uint pitch, uint lane) {
#if FRAGMENT_LANES == 16
    short value[8];
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
        value[i] = tile[i * pitch + lane];
#else
    int value[8];
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
        value[i] = as_int(((__local const ushort2 *)(tile + i * pitch))[lane]);
#endif
    return vload8(0, value);
}

static inline fragment_a fragment_load_a_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
#if FRAGMENT_LANES == 16
    return *(__local const short8 *)(tile + lane * pitch);
#else
    int value[8];
    FRAGMENT_UNROLL
    for (uint i = 0; i < 8; i++)
        value[i] = pair_of(tile + 2 * lane * pitch + i, pitch);
    return vload8(0, value);
#endif
}

static inline fragment_b fragment_load_b(__local const ushort *tile, uint pitch, uint lane) {
    __local const int4 *from = (__local const int4 *)(tile + lane * pitch);
    return (int8)(from[0], from[1]);
}

static inline fragment_b fragment_load_b_transposed(__local const ushort *tile, uint pitch,
                                                    uint lane) {
    int value[8];
    FRAGMENT_UNROLL
    for (uint j = 0; j < 8; j++)
        value[j] = pair_of(tile + 2 * j * pitch + lane, pitch);
    return vload8(0, value);
}

#ifdef FRAGMENT_EMULATED
#define fragment_multiply_add(c, a, b)                                                             \
    emulated_multiply_add(fragment_scratch, (const ushort *)&(a), (const ushort *)&(b), (c).value)
#else
#define fragment_multiply_add(c, a, b)                                                             \
    ((c).vector = intel_sub_group_bf16_bf16_matrix_mad_k16((a), (b), (c).vector))
#endif

static inline uint fragment_row(uint lane, uint i) { return i; }
static inline uint fragment_column(uint lane, uint i) { return lane; }
