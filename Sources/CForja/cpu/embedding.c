// Rows of a table by id, and the ordered sum of gradient rows into the table's.
#include <math.h>

#include "storage.h"

/// Rows between the one that is copied and the one that is asked for.
enum { ROWS_AHEAD = 2 };

typedef struct gather_context {
    const char *table;
    char *y;
    const int32_t *ids;
    uint64_t rows, width, table_rows, first_row, total_rows, block_rows;
    bool bf16, streams;
} gather_context;

/// The rows of a block lie at random places, where the processor sees no pattern: asks for `bytes` of one.
static void prefetch_row(const char *row, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(row + i);
}

static void copy_row(char *to, const char *from, uint64_t bytes, bool streams) {
    if (!streams) {
        memcpy(to, from, bytes);
        return;
    }
    for (uint64_t i = 0; i < bytes; i += 64) {
        forja__f32x16 x;
        memcpy(&x, from + i, sizeof x);
        forja__stream_f32_16((float *)(void *)(to + i), &x);
    }
}

static void gather_rows(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    const gather_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    uint64_t row_bytes = c->width * (c->bf16 ? 2 : 4);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        uint64_t id = (uint64_t)c->ids[n]; // a negative id is past any table
        uint64_t row = id - c->first_row;  // as is one before the first row
        char *y = c->y + n * row_bytes;
        uint64_t ahead =
            (n + ROWS_AHEAD < end ? (uint64_t)c->ids[n + ROWS_AHEAD] : id) - c->first_row;
        if (ahead < c->table_rows)
            prefetch_row(c->table + ahead * row_bytes, row_bytes);
        if (row < c->table_rows)
            copy_row(y, c->table + row * row_bytes, row_bytes, c->streams);
        else if (id < c->total_rows)
            memset(y, 0, row_bytes);
        else if (c->bf16)
            for (uint64_t i = 0; i < c->width; i++)
                ((forja__bf16 *)(void *)y)[i] = 0x7fc0;
        else
            for (uint64_t i = 0; i < c->width; i++)
                ((float *)(void *)y)[i] = NAN;
    }
    if (c->streams)
        forja__stream_end();
}

forja_status forja__cpu_embedding_forward(forja_queue *queue, const forja_embedding_args *args) {
    const uint64_t row_bytes = args->width * forja_dtype_size(args->dtype);
    gather_context context = {
        .table = forja__host_at(args->table, args->dtype),
        .y = forja__host_at(args->y, args->dtype),
        .ids = forja__ptr(args->ids, int32_t),
        .rows = args->rows,
        .width = args->width,
        .table_rows = args->table_rows,
        .first_row = args->first_row,
        .total_rows = args->total_rows,
        .block_rows = forja__block_rows(args->width),
        .bf16 = args->dtype == FORJA_DTYPE_BF16,
    };
    context.streams =
        forja__streams(context.y, args->rows * row_bytes) && row_bytes % 64 == 0;
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    gather_rows, &context);
    return FORJA_OK;
}

// Task s owns the table rows of the ids with id mod SHARES = s: frequent tokens have small ids and are
// spread by that, and one owner per row walks n upwards, so the order of a row's sum is that of the batch.
//
// A table that stays in the caches is cleared and then added to. One that does not would come from memory
// again for that, so there the first gradient of a row is streamed over it, and rows without one are
// cleared at the end.
enum {
    SHARES = 64,
    WINDOW = 4096, // own rows that are told apart in one pass over the ids
};

typedef struct scatter_context {
    const void *dy;
    const int32_t *ids;
    float *d_table;
    uint64_t rows, width, table_rows, first_row;
    bool streams; // no row holds anything yet
} scatter_context;

static void clear_table(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    const scatter_context *c = context;
    uint64_t count = c->table_rows * c->width, start = index * FORJA__BLOCK_ELEMENTS;
    memset(c->d_table + start, 0, forja__min(FORJA__BLOCK_ELEMENTS, count - start) * 4);
}

/// Bit k: ids[k] belongs to `share`; ids below 0 belong to one too.
FORJA__INLINE uint32_t share_mask(const int32_t *ids, uint32_t count, uint32_t share) {
    uint32_t mask = 0;
    if (count < 16) {
        for (uint32_t k = 0; k < count; k++)
            mask |= (uint32_t)((uint32_t)ids[k] % SHARES == share) << k;
        return mask;
    }
    forja__u32x16 id;
    memcpy(&id, ids, sizeof id);
    forja__i32x16 hits = id % SHARES == share;
    uint64_t bytes[2]; // a byte of ones or zeros per id
    int8_t __attribute__((vector_size(16))) narrow = __builtin_convertvector(
        hits, int8_t __attribute__((vector_size(16))));
    memcpy(bytes, &narrow, sizeof bytes);
    // The top bits of eight bytes, gathered in order by one product.
    for (uint32_t half = 0; half < 2; half++)
        if (bytes[half])
            mask |= (uint32_t)((bytes[half] & UINT64_C(0x0101010101010101)) *
                                   UINT64_C(0x0102040810204080) >>
                               56)
                    << (8 * half);
    return mask;
}

/// A row of the gradient and the row of the table that it goes to.
typedef struct row_pair {
    uint64_t n, v;
} row_pair;

/// Adds row n of dy to row v of the table, or writes it there, and asks for row `next` of dy.
FORJA__INLINE void add_row(const scatter_context *c, row_pair row, uint64_t next, bool overwrites,
                           bool bf16) {
    float *to = c->d_table + row.v * c->width;
    const uint64_t from = row.n * c->width;
    const forja__f32x16 zeros = {0};
    if (overwrites)
        for (uint64_t i = 0; i < c->width; i += 16) {
            forja__f32x16 dy;
            forja__prefetch(c->dy, next * c->width + i, bf16);
            forja__load_16(&dy, c->dy, from + i, 16, bf16);
            dy += zeros; // −0 becomes 0, as in a sum
            forja__stream_f32_16(to + i, &dy);
        }
    else
        FORJA__FOR_VECTORS(i, 0, c->width, {
            forja__f32x16 sum, dy;
            forja__prefetch(c->dy, next * c->width + i, bf16);
            forja__load_16(&sum, to, i, count, false);
            forja__load_16(&dy, c->dy, from + i, count, bf16);
            sum += dy;
            forja__store_16(to, i, count, false, &sum);
        });
}

static void clear_row(const scatter_context *c, uint64_t v) {
    const forja__f32x16 zeros = {0};
    for (uint64_t i = 0; i < c->width; i += 16)
        forja__stream_f32_16(c->d_table + v * c->width + i, &zeros);
}

/// The rows start, start + SHARES, … of the table, WINDOW of them at most.
FORJA__INLINE void scatter_window(const scatter_context *c, uint32_t share, uint64_t start,
                                  bool bf16) {
    const uint64_t count = forja__min(WINDOW, forja__ceil_divide(c->table_rows - start, SHARES));
    bool holds[WINDOW]; // a number to add to
    memset(holds, !c->streams, count);
    row_pair last = {.v = UINT64_MAX}; // added when the next is known
    for (uint64_t first = 0; first < c->rows; first += 16) {
        uint32_t left = (uint32_t)forja__min(16, c->rows - first);
        uint32_t mask = share_mask(c->ids + first, left, share);
        for (; mask != 0; mask &= mask - 1) {
            const uint64_t n = first + (uint32_t)__builtin_ctz(mask);
            // A negative id is past any table, as is one before the first row.
            const uint64_t v = (uint64_t)c->ids[n] - c->first_row;
            if (v >= c->table_rows || v < start || (v - start) / SHARES >= count)
                continue;
            if (last.v != UINT64_MAX) {
                bool *held = &holds[(last.v - start) / SHARES];
                add_row(c, last, n, !*held, bf16);
                *held = true;
            }
            last = (row_pair){n, v};
        }
    }
    if (last.v != UINT64_MAX) {
        bool *held = &holds[(last.v - start) / SHARES];
        add_row(c, last, last.n, !*held, bf16);
        *held = true;
    }
    for (uint64_t k = 0; k < count; k++)
        if (!holds[k])
            clear_row(c, start + k * SHARES);
}

FORJA__INLINE void scatter_body(const void *context, uint64_t share, bool bf16) {
    const scatter_context *c = context;
    for (uint64_t start = (share - c->first_row) % SHARES; start < c->table_rows;
         start += (uint64_t)WINDOW * SHARES)
        scatter_window(c, (uint32_t)share, start, bf16);
    if (c->streams)
        forja__stream_end();
}
FORJA__DEFINE_STORAGE_TASK(scatter)

forja_status forja__cpu_embedding_backward(forja_queue *queue,
                                           const forja_embedding_backward_args *args) {
    scatter_context context = {
        .dy = forja__host_at(args->dy, args->dtype),
        .ids = forja__ptr(args->ids, int32_t),
        .d_table = forja__ptr(args->d_table, float),
        .rows = args->rows,
        .width = args->width,
        .table_rows = args->table_rows,
        .first_row = args->first_row,
    };
    context.streams =
        !args->accumulate && args->width % 16 == 0 &&
        forja__streams(context.d_table, args->table_rows * args->width * sizeof(float));
    if (!args->accumulate && !context.streams)
        forja__pool_run(queue->device->pool,
                        forja__ceil_divide(args->table_rows * args->width, FORJA__BLOCK_ELEMENTS),
                        clear_table, &context);
    forja__pool_run(queue->device->pool, SHARES, scatter_task(args->dtype == FORJA_DTYPE_BF16),
                    &context);
    return FORJA_OK;
}
