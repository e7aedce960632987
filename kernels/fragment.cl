// Fragments: the one interface to the matrix units of several vendors.
//
// A team of FRAGMENT_LANES work-items (a sub-group, a wave) multiplies small matrices together:
//
//   C [FRAGMENT_M, FRAGMENT_N] f32 += A [FRAGMENT_M, FRAGMENT_K] · B [FRAGMENT_K, FRAGMENT_N], bf16
//
// Each matrix lies spread over the registers of the team, in a way that is the vendor's. Kernels
// see only what a fragment file gives:
//
//   fragment_a, fragment_b, fragment_c   a lane's part; fragment_c.value[FRAGMENT_VALUES]
//   fragment_lane(), fragment_team()     this work-item's place in its team, and the team's in the
//                                        work-group
//   fragment_load_a(tile, pitch, lane)   A from local memory, k contiguous:
//                                        A[m][k] = tile[m·pitch + k]
//   fragment_load_a_transposed           m contiguous: A[m][k] = tile[k·pitch + m]
//   fragment_load_b                      k contiguous: B[k][n] = tile[n·pitch + k]
//   fragment_load_b_transposed           n contiguous: B[k][n] = tile[k·pitch + n]
//   fragment_multiply_add(c, a, b)       by the whole team together
//   fragment_row(lane, i)                place in C of the lane's value[i]
//   fragment_column(lane, i)
//   FRAGMENT_KERNEL                      before a kernel; it needs WORK_ITEMS, the local size
//   FRAGMENT_SCRATCH                     first in the body of a kernel that multiplies
//
// Contiguous loads want tiles aligned to 16 bytes and pitches that are multiples of 8. Sums of a
// fragment are float32 with k ascending by FRAGMENT_K; within one, the order is the unit's own.

#define FRAGMENT_K 16

// Private arrays of fragments stay in registers only where every index is a constant. Emulated
// instructions hold barriers, and a compiler for CPUs cuts a kernel at each.
#ifdef FRAGMENT_EMULATED
#define FRAGMENT_UNROLL _Pragma("nounroll")
#else
#define FRAGMENT_UNROLL _Pragma("unroll")
#define FRAGMENT_SCRATCH
#endif

// Two bf16 that lie `step` apart, the first in the low half.
static inline uint pair_of(__local const ushort *from, uint step) {
    return (uint)from[0] | (uint)from[step] << 16;
}
