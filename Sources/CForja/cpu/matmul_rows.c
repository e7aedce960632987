// Few rows of A against B[N,K], as in generation: every weight is read once for all rows at hand.
//
// A task owns COLUMNS_PER_TASK columns of C. Its register tile is up to ROWS × COLUMNS dot
// products, each in 16 lanes: lane j sums k ≡ j (mod 16) in ascending order, lanes are added
// pairwise (lane_sums.h), then the last K % 16 terms in order. That depends on K alone: neither row
// count, tile nor register width changes bits.
//
// Registers of fewer than 16 lanes take them in passes over k: a tile of many narrow registers loads
// each operand less often than one of few dot products.
#include <string.h>

#include "instruction_set.h"
#include "lane_sums.h"
#include "matmul.h"

/// ROWS and COLUMNS are the largest tile. Above ROW_LIMIT packing B pays for itself.
enum { LANES = 16, ROWS = 4, COLUMNS = 4, COLUMNS_PER_TASK = 64, ROW_LIMIT = 48 };

#define INLINE static inline __attribute__((always_inline))

/// Loads `width` consecutive elements as float32.
#define DEFINE_LOADS(width)                                                                       \
    INLINE void load_f32_##width(forja__f32x##width *out, const float *x) {                       \
        memcpy(out, x, sizeof *out);                                                              \
    }                                                                                             \
    INLINE void load_bf16_##width(forja__f32x##width *out, const forja__bf16 *x) {                \
        typedef uint16_t halves __attribute__((vector_size(width * sizeof(uint16_t))));           \
        typedef uint32_t words __attribute__((vector_size(width * sizeof(uint32_t))));            \
        halves stored;                                                                            \
        memcpy(&stored, x, sizeof stored);                                                        \
        words bits = __builtin_convertvector(stored, words) << 16;                                \
        memcpy(out, &bits, sizeof *out);                                                          \
    }

/// Where a tile's caller wants memory to be read ahead of its use: `count` rows of w, the first
/// `distance` elements on.
typedef struct ahead {
    int count;
    uint64_t distance;
} ahead;

/// sum[r][c] = Σ over k of x[r][k] · w[c][k], in registers of `width` lanes.
#define DEFINE_TILE(name, element, width, load, widen)                                            \
    INLINE void name(float sum[ROWS][COLUMNS], const element *x, uint64_t x_stride, int rows,     \
                     const element *w, uint64_t w_stride, int columns, uint64_t depth,            \
                     ahead next) {                                                                \
        forja__f32x16 lanes[ROWS][COLUMNS];                                                       \
        const uint64_t whole = depth / LANES * LANES;                                             \
        for (uint64_t first = 0; first < LANES; first += width) {                                 \
            forja__f32x##width part[ROWS][COLUMNS] = {0};                                         \
            for (uint64_t k = first; k < whole; k += LANES) {                                     \
                forja__f32x##width left[ROWS], right;                                             \
                if (first == 0)                                                                   \
                    for (int c = 0; c < next.count; c++)                                          \
                        prefetch((uintptr_t)w + (next.distance + (uint64_t)c * w_stride + k) *    \
                                                    sizeof *w);                                   \
                for (int r = 0; r < rows; r++)                                                    \
                    load(&left[r], x + (uint64_t)r * x_stride + k);                               \
                for (int c = 0; c < columns; c++) {                                               \
                    load(&right, w + (uint64_t)c * w_stride + k);                                 \
                    for (int r = 0; r < rows; r++)                                                \
                        part[r][c] += left[r] * right;                                            \
                }                                                                                 \
            }                                                                                     \
            for (int r = 0; r < rows; r++)                                                        \
                for (int c = 0; c < columns; c++)                                                 \
                    memcpy((float *)&lanes[r][c] + first, &part[r][c], sizeof part[r][c]);        \
        }                                                                                         \
        sum_tile(sum, lanes, rows, columns);                                                      \
        for (uint64_t k = whole; k < depth; k++)                                                  \
            for (int r = 0; r < rows; r++)                                                        \
                for (int c = 0; c < columns; c++)                                                 \
                    sum[r][c] += widen(x[(uint64_t)r * x_stride + k]) *                           \
                                 widen(w[(uint64_t)c * w_stride + k]);                            \
    }

/// A hint: the address may lie past the end.
INLINE void prefetch(uintptr_t address) { __builtin_prefetch((const void *)address); }

INLINE void sum_tile(float sum[ROWS][COLUMNS], forja__f32x16 lanes[ROWS][COLUMNS], int rows,
                     int columns) {
    if (rows == 4 && columns == 4)
        forja__sum_16_of_16(&sum[0][0], &lanes[0][0]);
    else if (columns == 4)
        for (int r = 0; r < rows; r++)
            forja__sum_4_of_16(sum[r], lanes[r]);
    else
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++)
                forja__sum_1_of_16(&sum[r][c], &lanes[r][c]);
}

#define SAME(x) (x)
#define DEFINE_WIDTH(width)                                                                       \
    DEFINE_LOADS(width)                                                                           \
    DEFINE_TILE(tile_f32_##width, float, width, load_f32_##width, SAME)                           \
    DEFINE_TILE(tile_bf16_##width, forja__bf16, width, load_bf16_##width, forja__float_from_bf16)
DEFINE_WIDTH(4)
DEFINE_WIDTH(8)
DEFINE_WIDTH(16)

/// The tile at (row, column). All but the operands and places are constants where this is inlined.
INLINE void tile_any(float sum[ROWS][COLUMNS], const forja_matmul_args *args, int width,
                     forja__matmul_operand a, forja__matmul_operand b, uint64_t row, int rows,
                     uint64_t column, int columns, ahead next) {
#define TILE(type, lanes)                                                                         \
    tile_##type##_##lanes(sum, a.type + row * a.stride, a.stride, rows,                           \
                          b.type + column * b.stride, b.stride, columns, args->k, next)
    if (a.f32 && width == 16)
        TILE(f32, 16);
    else if (a.f32 && width == 8)
        TILE(f32, 8);
    else if (a.f32)
        TILE(f32, 4);
    else if (width == 16)
        TILE(bf16, 16);
    else if (width == 8)
        TILE(bf16, 8);
    else
        TILE(bf16, 4);
#undef TILE
}

INLINE void store(const forja_matmul_args *args, forja__matmul_result c, uint64_t row,
                  uint64_t column, float sum) {
    uint64_t place = row * c.stride + column;
    float value = args->alpha * sum;
    if (c.f32) {
        c.f32[place] = args->accumulate ? c.f32[place] + value : value;
    } else {
        float before = args->accumulate ? forja__float_from_bf16(c.bf16[place]) : 0.0f;
        c.bf16[place] = forja__bf16_from_float(before + value);
    }
}

/// `width`, lanes of a register, and `tile_rows`, which follows their number, are constants where
/// this is inlined.
INLINE void compute_columns(const forja_matmul_args *args, uint64_t index, int width,
                            int tile_rows) {
    uint64_t slices = (args->n + COLUMNS_PER_TASK - 1) / COLUMNS_PER_TASK, batch = index / slices;
    uint64_t column = index % slices * COLUMNS_PER_TASK;
    uint64_t end = args->n - column < COLUMNS_PER_TASK ? args->n : column + COLUMNS_PER_TASK;
    forja__matmul_operand a = forja__matmul_a(args, batch), b = forja__matmul_b(args, batch);
    forja__matmul_result c = forja__matmul_c(args, batch);
    for (; column < end; column += COLUMNS) {
        int columns = end - column < COLUMNS ? (int)(end - column) : COLUMNS;
        for (uint64_t row = 0; row < args->m; row += (uint64_t)tile_rows) {
            int rows = args->m - row < (uint64_t)tile_rows ? (int)(args->m - row) : tile_rows;
            // While weights are used the next columns' are on their way from memory: a row of them
            // is too short for the hardware's own prefetching to get going. Where there are several
            // tiles of rows, the first two ask for half of the columns each.
            uint64_t tile = row / (uint64_t)tile_rows;
            ahead next = {COLUMNS, COLUMNS * b.stride}, nothing = {0, 0};
            if (args->m > (uint64_t)tile_rows)
                next = tile >= 2 ? nothing
                                 : (ahead){COLUMNS / 2, (COLUMNS + tile * COLUMNS / 2) * b.stride};
            float sum[ROWS][COLUMNS];
#define TILE(rows) tile_any(sum, args, width, a, b, row, rows, column, COLUMNS, next)
            // Constant bounds unroll into registers; ragged columns do not need to be fast.
            if (columns < COLUMNS)
                for (int r = 0; r < rows; r++)
                    for (int i = 0; i < columns; i++) {
                        float one[ROWS][COLUMNS];
                        tile_any(one, args, width, a, b, row + (uint64_t)r, 1,
                                 column + (uint64_t)i, 1, nothing);
                        sum[r][i] = one[0][0];
                    }
            else if (rows == tile_rows)
                TILE(tile_rows);
            else if (rows == 1)
                TILE(1);
            else if (rows == 2)
                TILE(2);
            else
                TILE(3);
#undef TILE
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < columns; i++)
                    store(args, c, row + (uint64_t)r, column + (uint64_t)i, sum[r][i]);
        }
    }
}

static void run_baseline(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    compute_columns(context, index, 4, 3);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void run_avx2(void *context, uint64_t index,
                                                         uint32_t thread) {
    (void)thread;
    compute_columns(context, index, 8, 3);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))) static void
run_avx512(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    compute_columns(context, index, 16, ROWS);
}
#endif

static forja__task *best_task(void) {
    switch (forja__host_instruction_set()) {
#ifdef __x86_64__
    case FORJA__AVX512:
        return run_avx512;
    case FORJA__AVX2:
        return run_avx2;
#endif
    default:
        return run_baseline;
    }
}

bool forja__matmul_rows_applies(const forja_matmul_args *args) {
    return args->layout == FORJA_MATMUL_NT && args->m <= ROW_LIMIT;
}

void forja__matmul_rows(forja__pool *pool, const forja_matmul_args *args) {
    uint64_t slices = (args->n + COLUMNS_PER_TASK - 1) / COLUMNS_PER_TASK;
    forja__pool_run(pool, slices * args->batch_count, best_task(), (void *)args);
}
