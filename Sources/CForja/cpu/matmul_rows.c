// Few rows of A against B[N,K], as in generation: every weight is read once for all rows at hand.
//
// A task owns COLUMNS_PER_TASK columns of C. Its register tile is up to ROWS × COLUMNS dot
// products, each in 16 lanes: lane j sums k ≡ j (mod 16) in ascending order, lanes are added
// pairwise, then the last K % 16 terms in order. That depends on K alone: neither row count nor
// tile changes bits.
#include <string.h>

#include "instruction_set.h"
#include "matmul.h"

/// ROWS and COLUMNS are the largest tile. Above ROW_LIMIT packing B pays for itself.
enum { LANES = 16, ROWS = 4, COLUMNS = 4, COLUMNS_PER_TASK = 64, ROW_LIMIT = 48 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef uint16_t short_lanes __attribute__((vector_size(LANES * sizeof(uint16_t))));
typedef uint32_t word_lanes __attribute__((vector_size(LANES * sizeof(uint32_t))));

#define INLINE static inline __attribute__((always_inline))

INLINE void load_f32(lanes *out, const float *x) { memcpy(out, x, sizeof *out); }

INLINE void load_bf16(lanes *out, const forja__bf16 *x) {
    short_lanes halves;
    memcpy(&halves, x, sizeof halves);
    word_lanes words = __builtin_convertvector(halves, word_lanes) << 16;
    memcpy(out, &words, sizeof *out);
}

INLINE float sum_lanes(const lanes *x) {
    float y[LANES];
    memcpy(y, x, sizeof y);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++)
            y[j] += y[j + width];
    return y[0];
}

/// sum[r][c] = Σ over k of x[r][k] · w[c][k].
#define DEFINE_TILE(name, element, load, widen)                                                   \
    INLINE void name(float sum[ROWS][COLUMNS], const element *x, uint64_t x_stride, int rows,     \
                     const element *w, uint64_t w_stride, int columns, uint64_t depth) {          \
        lanes part[ROWS][COLUMNS] = {0};                                                          \
        uint64_t k = 0;                                                                           \
        for (; k + LANES <= depth; k += LANES) {                                                  \
            lanes left[ROWS], right;                                                              \
            for (int r = 0; r < rows; r++)                                                        \
                load(&left[r], x + (uint64_t)r * x_stride + k);                                   \
            for (int c = 0; c < columns; c++) {                                                   \
                load(&right, w + (uint64_t)c * w_stride + k);                                     \
                for (int r = 0; r < rows; r++)                                                    \
                    part[r][c] += left[r] * right;                                                \
            }                                                                                     \
        }                                                                                         \
        for (int r = 0; r < rows; r++)                                                            \
            for (int c = 0; c < columns; c++) {                                                   \
                sum[r][c] = sum_lanes(&part[r][c]);                                               \
                for (uint64_t i = k; i < depth; i++)                                              \
                    sum[r][c] += widen(x[(uint64_t)r * x_stride + i]) *                           \
                                 widen(w[(uint64_t)c * w_stride + i]);                            \
            }                                                                                     \
    }

#define SAME(x) (x)
DEFINE_TILE(tile_f32, float, load_f32, SAME)
DEFINE_TILE(tile_bf16, forja__bf16, load_bf16, forja__float_from_bf16)

INLINE void tile_any(float sum[ROWS][COLUMNS], const forja_matmul_args *args,
                     forja__matmul_operand a, forja__matmul_operand b, uint64_t row, int rows,
                     uint64_t column, int columns) {
    if (a.f32)
        tile_f32(sum, a.f32 + row * a.stride, a.stride, rows, b.f32 + column * b.stride, b.stride,
                 columns, args->k);
    else
        tile_bf16(sum, a.bf16 + row * a.stride, a.stride, rows, b.bf16 + column * b.stride,
                  b.stride, columns, args->k);
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

/// `tile_rows` and `tile_columns`, constants where this is inlined, follow the registers at hand.
INLINE void compute_columns(const forja_matmul_args *args, uint64_t index, int tile_rows,
                            int tile_columns) {
    uint64_t slices = (args->n + COLUMNS_PER_TASK - 1) / COLUMNS_PER_TASK, batch = index / slices;
    uint64_t column = index % slices * COLUMNS_PER_TASK;
    uint64_t end = args->n - column < COLUMNS_PER_TASK ? args->n : column + COLUMNS_PER_TASK;
    forja__matmul_operand a = forja__matmul_a(args, batch), b = forja__matmul_b(args, batch);
    forja__matmul_result c = forja__matmul_c(args, batch);
    for (; column < end; column += (uint64_t)tile_columns) {
        int columns = end - column < (uint64_t)tile_columns ? (int)(end - column) : tile_columns;
        for (uint64_t row = 0; row < args->m; row += (uint64_t)tile_rows) {
            int rows = args->m - row < (uint64_t)tile_rows ? (int)(args->m - row) : tile_rows;
            float sum[ROWS][COLUMNS];
            // Constant bounds unroll into registers; the ragged rest does not need to be fast,
            // but one row is what a single sequence generates with.
            if (columns == tile_columns && rows == tile_rows)
                tile_any(sum, args, a, b, row, tile_rows, column, tile_columns);
            else if (columns == tile_columns && rows == 1)
                tile_any(sum, args, a, b, row, 1, column, tile_columns);
            else
                for (int r = 0; r < rows; r++)
                    for (int i = 0; i < columns; i++) {
                        float one[ROWS][COLUMNS];
                        tile_any(one, args, a, b, row + (uint64_t)r, 1, column + (uint64_t)i, 1);
                        sum[r][i] = one[0][0];
                    }
            for (int r = 0; r < rows; r++)
                for (int i = 0; i < columns; i++)
                    store(args, c, row + (uint64_t)r, column + (uint64_t)i, sum[r][i]);
        }
    }
}

static void run_baseline(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    compute_columns(context, index, 2, 2);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void run_avx2(void *context, uint64_t index,
                                                         uint32_t thread) {
    (void)thread;
    compute_columns(context, index, 2, 2);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))) static void
run_avx512(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    compute_columns(context, index, ROWS, COLUMNS);
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
