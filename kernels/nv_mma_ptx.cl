// NVIDIA's tensor cores as small functions; prepended to the files *_nv_mma.cl. For compute
// capability 8.0 and newer. All inline PTX of those files is here ("PTX ISA", sections
// "Asynchronous copy", "ldmatrix", "mma", "shfl.sync", "vote.sync").
//
// Words     warp: 32 neighbouring work-items, the lanes, in step; lane = local id % 32,
//           g = lane / 4, t = lane % 4
//           cell: 16 bytes, 8 bf16, the unit in which tiles lie in local memory
//           matrix: 8 × 8 bf16, one cell a row
// Fragments of one product of 16 × 16 by 16 × 8, each register two bf16, the lower k in the low
// half:
//           A[16,16]  (g, 2t) (g + 8, 2t) (g, 2t + 8) (g + 8, 2t + 8)
//           B[16,8]   (k = 2t, n = g) (k = 2t + 8, n = g)
//           C[16,8]   f32 (g, 2t) (g, 2t + 1) (g + 8, 2t) (g + 8, 2t + 1)
// Two neighbouring C are, rounded, one A: so the scores of attention never leave registers.
//
// NV_EMULATED replaces the instructions with calls: the test in Tests/NvidiaEmulation runs the very
// same kernels on a CPU, and finds what a warp may not do and races in local memory.

#define LANES_OF_WARP 32
#define CELL_BYTES 16
#define CELL 8 // bf16 of a cell

#ifdef NV_EMULATED
void emulated_copy_start(uint to, __global const void *from, uint bytes);
void emulated_copy_commit(void);
void emulated_copy_wait(uint groups_left);
void emulated_store_cell(uint to, uint x, uint y, uint z, uint w);
void emulated_load_matrices(uint *out, uint cell, int is_transposed);
void emulated_multiply(float *sums, const uint *a, uint b_low, uint b_high);
uint emulated_exchange(uint x, uint mask);
uint emulated_ballot(int predicate);
#define COPY_WAIT(groups_left) emulated_copy_wait(groups_left)
#else
#define PTX __asm__ volatile
// Until at most `groups_left` (a constant) of the groups this work-item has committed are under
// way.
#define COPY_WAIT(groups_left) \
    PTX("cp.async.wait_group %0;" ::"n"(groups_left) : "memory")
#endif

// ── Local memory ─────────────────────────────────────────────────────────────────────────────────

// Where the instructions find it: a 32-bit address in the window of local memory.
static inline uint local_address(__local const void *p) { return (uint)(size_t)p; }

// The place of cell `cell` of line `line` in a tile whose lines have `cells` cells. Lines are
// permuted by XOR so that the 8 lines which ldmatrix reads at one `cell` lie on different banks: 8
// cells are all 32 banks, a line of 8n cells starts on bank 0, one of 8n + 4 on bank 0 or 16.
static inline uint cell_address(uint tile, uint line, uint cell, uint cells) {
    const uint turn = cells % 8 == 0 ? line & 7 : (line >> 1) & 3;
    return tile + (line * cells + (cell ^ turn)) * CELL_BYTES;
}

// Starts a copy of `bytes` bytes (0 to 16) into a cell and zeros behind them. `from` lies on a
// multiple of 16 and is inside a buffer even for 0 bytes.
static inline void copy_start(uint to, __global const void *from, uint bytes) {
#ifdef NV_EMULATED
    emulated_copy_start(to, from, bytes);
#else
    PTX("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
        : "memory");
#endif
}

// Ends a group: the copies this work-item has started since the last one.
static inline void copy_commit(void) {
#ifdef NV_EMULATED
    emulated_copy_commit();
#else
    PTX("cp.async.commit_group;" ::: "memory");
#endif
}

static inline void store_cell(uint to, uint4 x) {
#ifdef NV_EMULATED
    emulated_store_cell(to, x.x, x.y, x.z, x.w);
#else
    PTX("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(x.x), "r"(x.y), "r"(x.z),
        "r"(x.w)
        : "memory");
#endif
}

// Four matrices; row r of matrix i is the cell that lane 8i + r names. out[i] is (g, 2t), (g, 2t +
// 1) of matrix i.
static inline void load_matrices(uint out[4], uint cell) {
#ifdef NV_EMULATED
    emulated_load_matrices(out, cell, 0);
#else
    PTX("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
        : "r"(cell)
        : "memory");
#endif
}

// The same, each matrix transposed: out[i] is (2t, g), (2t + 1, g).
static inline void load_matrices_transposed(uint out[4], uint cell) {
#ifdef NV_EMULATED
    emulated_load_matrices(out, cell, 1);
#else
    PTX("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
        : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
        : "r"(cell)
        : "memory");
#endif
}

// Which cell of the first 16 lines × 2 cells of a tile a lane names. LINES_FIRST fills A from [m,
// k] and, transposed, two B from [k, n]; CELLS_FIRST fills two B from [n, k] and, transposed, A
// from [k, m]. `tile` is on a multiple of 128.
static inline uint lines_first(uint tile, uint cells, uint lane) {
    return cell_address(tile, lane & 15, lane >> 4, cells);
}
static inline uint cells_first(uint tile, uint cells, uint lane) {
    return cell_address(tile, (lane & 7) | (lane >> 1 & 8), lane >> 3 & 1, cells);
}

// The same `line` lines (a multiple of 16) and `cell` cells (even) further: the permutation is an
// XOR of address bits that lines do not reach. With constants this is one instruction, or none.
static inline uint further(uint place, uint line, uint cell, uint cells) {
    const uint turned = cells % 8 == 0 ? cell & 7 : cell & 3;
    return (place ^ turned * CELL_BYTES) + (line * cells + cell - turned) * CELL_BYTES;
}

// ── Registers ────────────────────────────────────────────────────────────────────────────────────

// sums += A · B, in float32.
static inline void multiply(float sums[4], const uint a[4], uint b_low, uint b_high) {
#ifdef NV_EMULATED
    emulated_multiply(sums, a, b_low, b_high);
#else
    PTX("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_low), "r"(b_high));
#endif
}

// Two floats rounded to bf16, to nearest even; `low` in the low half.
static inline uint pack_bf16(float low, float high) {
#ifdef NV_EMULATED
    return float_to_bf16(low) | (uint)float_to_bf16(high) << 16;
#else
    uint packed;
    __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#endif
}

// 2 to the power x, within 2^-22 of it.
static inline float power_of_two(float x) {
#ifdef NV_EMULATED
    return exp2(x);
#else
    float y;
    __asm__("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// The greater one; the other one where one is NaN.
static inline float greater(float x, float y) {
#ifdef NV_EMULATED
    return fmax(x, y);
#else
    float z;
    __asm__("max.f32 %0, %1, %2;" : "=f"(z) : "f"(x), "f"(y));
    return z;
#endif
}

// x of lane ^ mask.
static inline uint exchange(uint x, uint mask) {
#ifdef NV_EMULATED
    return emulated_exchange(x, mask);
#else
    uint y;
    PTX("shfl.sync.bfly.b32 %0, %1, %2, 31, 0xffffffff;" : "=r"(y) : "r"(x), "r"(mask));
    return y;
#endif
}

// Bit i says whether the predicate holds in lane i.
static inline uint ballot(bool predicate) {
#ifdef NV_EMULATED
    return emulated_ballot(predicate);
#else
    uint lanes;
    PTX("{ .reg .pred p; setp.ne.u32 p, %1, 0; vote.sync.ballot.b32 %0, p, 0xffffffff; }"
        : "=r"(lanes)
        : "r"((uint)predicate));
    return lanes;
#endif
}
