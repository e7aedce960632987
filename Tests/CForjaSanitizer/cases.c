/// Every operation over small ragged shapes. Letters as in the headers of Sources/CForja/include.
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

// The public functions take their own argument types; a call through a pointer of another type would
// be undefined, hence one adapter each.
#define CALL(function, type)                                               \
    static forja_status call_##function(forja_queue *queue, const void *args) { \
        return forja_##function(queue, (const type *)args);                \
    }
#define COUNT(...) (sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t))
#define OPERATION(function, type, dtype_at, ...)                                        \
    CALL(function, type)                                                                \
    static const operation function = {#function, call_##function,  sizeof(type), dtype_at, \
                                       {__VA_ARGS__}, COUNT(__VA_ARGS__)};
#define AT(type, field) offsetof(forja_##type##_args, field)

OPERATION(matmul, forja_matmul_args, AT(matmul, input_dtype), AT(matmul, a), AT(matmul, b),
          AT(matmul, c))
OPERATION(attention_forward, forja_attention_args, AT(attention, dtype), AT(attention, q),
          AT(attention, k), AT(attention, v), AT(attention, out), AT(attention, lse),
          AT(attention, document_start), AT(attention, query_offset))
OPERATION(attention_backward, forja_attention_backward_args,
          AT(attention_backward, forward.dtype), AT(attention_backward, forward.q),
          AT(attention_backward, forward.k), AT(attention_backward, forward.v),
          AT(attention_backward, forward.out), AT(attention_backward, forward.lse),
          AT(attention_backward, forward.document_start),
          AT(attention_backward, forward.query_offset), AT(attention_backward, d_out),
          AT(attention_backward, dq), AT(attention_backward, dk), AT(attention_backward, dv))
OPERATION(cache_append, forja_cache_append_args, AT(cache_append, dtype),
          AT(cache_append, source), AT(cache_append, cache), AT(cache_append, position))
OPERATION(log_probability, forja_log_probability_args, AT(log_probability, dtype),
          AT(log_probability, logits), AT(log_probability, labels),
          AT(log_probability, log_probability), AT(log_probability, lse),
          AT(log_probability, entropy), AT(log_probability, gradient),
          AT(log_probability, label_logit))
OPERATION(log_probability_combine, forja_log_probability_combine_args, SIZE_MAX,
          AT(log_probability_combine, parts), AT(log_probability_combine, labels),
          AT(log_probability_combine, log_probability), AT(log_probability_combine, lse),
          AT(log_probability_combine, entropy))
OPERATION(log_probability_backward, forja_log_probability_args, AT(log_probability, dtype),
          AT(log_probability, logits), AT(log_probability, labels),
          AT(log_probability, log_probability), AT(log_probability, lse),
          AT(log_probability, entropy), AT(log_probability, gradient),
          AT(log_probability, label_logit))
OPERATION(embedding_forward, forja_embedding_args, AT(embedding, dtype), AT(embedding, table),
          AT(embedding, ids), AT(embedding, y))
OPERATION(embedding_backward, forja_embedding_backward_args, AT(embedding_backward, dtype),
          AT(embedding_backward, dy), AT(embedding_backward, ids),
          AT(embedding_backward, d_table))
OPERATION(rmsnorm_forward, forja_rmsnorm_args, AT(rmsnorm, dtype), AT(rmsnorm, x),
          AT(rmsnorm, weight), AT(rmsnorm, y), AT(rmsnorm, rstd))
OPERATION(rmsnorm_backward, forja_rmsnorm_backward_args, AT(rmsnorm_backward, dtype),
          AT(rmsnorm_backward, x), AT(rmsnorm_backward, weight), AT(rmsnorm_backward, rstd),
          AT(rmsnorm_backward, dy), AT(rmsnorm_backward, dx), AT(rmsnorm_backward, d_weight))
OPERATION(rope, forja_rope_args, AT(rope, dtype), AT(rope, x), AT(rope, cosine), AT(rope, sine),
          AT(rope, positions))
OPERATION(swiglu_forward, forja_swiglu_args, AT(swiglu, dtype), AT(swiglu, x), AT(swiglu, y))
OPERATION(swiglu_backward, forja_swiglu_backward_args, AT(swiglu_backward, dtype),
          AT(swiglu_backward, x), AT(swiglu_backward, dy), AT(swiglu_backward, dx))
OPERATION(add, forja_add_args, AT(add, dtype), AT(add, a), AT(add, b), AT(add, y))
OPERATION(softmax_forward, forja_softmax_args, AT(softmax, dtype), AT(softmax, x),
          AT(softmax, y))
OPERATION(softmax_backward, forja_softmax_backward_args, AT(softmax_backward, dtype),
          AT(softmax_backward, y), AT(softmax_backward, dy), AT(softmax_backward, dx))
OPERATION(cast, forja_cast_args, AT(cast, from), AT(cast, source), AT(cast, destination))
OPERATION(sum, forja_sum_args, SIZE_MAX, AT(sum, x), AT(sum, out))
OPERATION(sum_squares, forja_sum_squares_args, SIZE_MAX, AT(sum_squares, x),
          AT(sum_squares, partials))
OPERATION(gradient_norm, forja_gradient_norm_args, SIZE_MAX, AT(gradient_norm, partials),
          AT(gradient_norm, scalars))
OPERATION(adamw, forja_adamw_args, SIZE_MAX, AT(adamw, weight), AT(adamw, weight_bf16),
          AT(adamw, gradient), AT(adamw, m), AT(adamw, v), AT(adamw, scalars))

OPERATION(multiply_add, forja_multiply_add_args, SIZE_MAX, AT(multiply_add, out))

static const forja_dtype storages[] = {FORJA_DTYPE_F32, FORJA_DTYPE_BF16};
static const char *dtype_name(forja_dtype dtype) {
    return dtype == FORJA_DTYPE_F32 ? "f32" : "bf16";
}

/// Names are kept with every value, so they live for the whole run.
#define NAME(...)                                             \
    ({                                                        \
        static char names[256][64];                           \
        static size_t next;                                   \
        char *name = names[next++ % 256];                     \
        snprintf(name, sizeof(names[0]), __VA_ARGS__);        \
        name;                                                 \
    })

static void run_matmul(bench *b) {
    static const uint64_t shapes[][3] = {{1, 1, 1},    {1, 33, 17},  {3, 5, 7}, {17, 33, 9},
                                         {65, 18, 70}, {40, 130, 3}, {7, 6, 70}, {230, 190, 20}};
    for (int layout = FORJA_MATMUL_NN; layout <= FORJA_MATMUL_TN; layout++)
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            for (int variant = 0; variant < 4; variant++) {
                const forja_dtype in = storages[variant & 1], out = storages[variant >> 1];
                const uint64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
                const uint64_t a_rows = layout == FORJA_MATMUL_TN ? k : m;
                const uint64_t a_width = layout == FORJA_MATMUL_TN ? m : k;
                const uint64_t b_rows = layout == FORJA_MATMUL_NT ? n : k;
                const uint64_t b_width = layout == FORJA_MATMUL_NT ? k : n;
                const uint64_t batches = s == 2 ? 3 : 1, pad = s == 3 ? 2 : 0;
                bench_begin(b, NAME("matmul %d %llux%llux%llu %s to %s", layout,
                                    (unsigned long long)m, (unsigned long long)n,
                                    (unsigned long long)k, dtype_name(in), dtype_name(out)));
                forja_matmul_args args = {
                    .layout = (forja_matmul_layout)layout,
                    .input_dtype = in,
                    .output_dtype = out,
                    .m = m,
                    .n = n,
                    .k = k,
                    .lda = a_width + pad,
                    .ldb = b_width + pad,
                    .ldc = n,
                    .batch_count = batches,
                    .alpha = 0.5f,
                    .accumulate = s % 2 == 1,
                };
                args.a_stride = a_rows * args.lda;
                args.b_stride = 0;
                args.c_stride = m * n;
                args.a = bench_input(b, batches * a_rows * args.lda - pad, in);
                args.b = bench_input(b, b_rows * args.ldb - pad, in);
                if (args.accumulate) {
                    args.c = bench_input(b, batches * m * n, out);
                    bench_watch(b, args.c, batches * m * n, out);
                } else {
                    args.c = bench_output(b, batches * m * n, out);
                }
                bench_check(b, &matmul, &args);
            }
}

/// A training shape, dense; `starts` gives documents of uneven length.
static forja_attention_args attention_args(forja_dtype dtype, uint32_t length, uint32_t head_dim) {
    return (forja_attention_args){
        .dtype = dtype,
        .batch = 2,
        .query_length = length,
        .key_length = length,
        .heads = 4,
        .key_value_heads = 2,
        .head_dim = head_dim,
        .q_row_stride = 4 * head_dim,
        .k_row_stride = 2 * head_dim,
        .v_row_stride = 2 * head_dim,
        .out_row_stride = 4 * head_dim,
        .scale = 1.0f / sqrtf((float)head_dim),
    };
}

static forja_span document_starts(bench *b, uint32_t batch, uint32_t length) {
    int32_t starts[256];
    for (uint32_t row = 0; row < batch; row++)
        for (uint32_t t = 0; t < length; t++)
            starts[row * length + t] = (int32_t)(t < 5 ? 0 : t < 6 + row ? 5 : 6 + row);
    return bench_integers(b, (uint64_t)batch * length, starts);
}

static void run_attention(bench *b) {
    static const uint32_t lengths[] = {1, 19, 66}, widths[] = {6, 8, 20};
    for (size_t s = 0; s < 3; s++)
        for (int variant = 0; variant < 4; variant++) {
            const forja_dtype dtype = storages[variant & 1];
            const uint32_t length = lengths[s], width = widths[s];
            const uint64_t rows = 2 * (uint64_t)length, queries = rows * 4 * width;
            forja_attention_args args = attention_args(dtype, length, width);
            bench_begin(b, NAME("attention T %u D %u %s%s", length, width, dtype_name(dtype),
                                variant >> 1 ? " documents" : ""));
            args.q = bench_input(b, queries, dtype);
            args.k = bench_input(b, queries / 2, dtype);
            args.v = bench_input(b, queries / 2, dtype);
            args.out = bench_output(b, queries, dtype);
            args.lse = bench_output(b, rows * 4, FORJA_DTYPE_F32);
            if (variant >> 1)
                args.document_start = document_starts(b, 2, length);
            // The backward pass reads what this leaves in `out` and `lse`: one case for both.
            if (bench_wants(b, &attention_backward) &&
                forja_attention_forward(b->queue, &args) != FORJA_OK)
                b->failures++;
            const forja_attention_backward_args backward = {
                .forward = args,
                .d_out = bench_input(b, queries, dtype),
                .dq = bench_output(b, queries, dtype),
                .dk = bench_output(b, queries / 2, dtype),
                .dv = bench_output(b, queries / 2, dtype),
                .dq_row_stride = args.q_row_stride,
                .dk_row_stride = args.k_row_stride,
                .dv_row_stride = args.v_row_stride,
            };
            bench_check(b, &attention_backward, &backward);
        }
    for (int variant = 0; variant < 4; variant++) {
        // Decoding (one query) and chunked prefill (three) against a cache of nine keys.
        const forja_dtype dtype = storages[variant & 1];
        const uint32_t length = variant >> 1 ? 3 : 1;
        forja_attention_args args = attention_args(dtype, length, 8);
        args.key_length = 9;
        bench_begin(b, NAME("attention over a cache, T %u %s", length, dtype_name(dtype)));
        args.q = bench_input(b, 2 * length * 32, dtype);
        args.k = bench_input(b, 2 * 9 * 16, dtype);
        args.v = bench_input(b, 2 * 9 * 16, dtype);
        args.out = bench_output(b, 2 * length * 32, dtype);
        args.lse = bench_output(b, 2 * length * 4, FORJA_DTYPE_F32);
        args.query_offset = bench_integers(b, 2, (int32_t[]){0, 6});
        bench_check(b, &attention_forward, &args);
        bench_begin(b, NAME("cache append, T %u %s", length, dtype_name(dtype)));
        forja_cache_append_args append = {
            .dtype = dtype,
            .source = bench_input(b, 2 * length * 7, dtype),
            .cache = bench_input(b, 2 * 9 * 5, dtype),
            .position = bench_integers(b, 2, (int32_t[]){0, 8}),
            .batch = 2,
            .rows = length,
            .capacity = 9,
            .width = 5,
            .source_row_stride = 7,
        };
        bench_watch(b, append.cache, 2 * 9 * 5, dtype);
        bench_check(b, &cache_append, &append);
    }
}

static void run_log_probability(bench *b) {
    static const uint64_t widths[] = {1, 17, 1025};
    static const int32_t labels[] = {0, -1, 0, 0, -100};
    for (size_t s = 0; s < 3; s++)
        for (int variant = 0; variant < 6; variant++) {
            const forja_dtype dtype = storages[variant & 1];
            const uint64_t rows = 5, width = widths[s], stride = width + 2;
            const bool is_backward = variant >> 1 == 2, has_gradient = variant >> 1 != 0;
            bench_begin(b, NAME("log-probability V %llu %s %d", (unsigned long long)width,
                                dtype_name(dtype), variant >> 1));
            forja_log_probability_args args = {
                .dtype = dtype,
                .logits = bench_input(b, rows * stride - 2, dtype),
                .labels = bench_integers(b, rows, labels),
                .rows = rows,
                .vocabulary = width,
                .row_stride = stride,
                .logit_scale = 1.25f,
            };
            if (is_backward)
                args.lse = bench_input(b, rows, FORJA_DTYPE_F32);
            else {
                args.log_probability = bench_output(b, rows, FORJA_DTYPE_F32);
                args.lse = bench_output(b, rows, FORJA_DTYPE_F32);
                args.entropy = bench_output(b, rows, FORJA_DTYPE_F32);
            }
            if (has_gradient) {
                args.gradient = bench_input(b, rows, FORJA_DTYPE_F32);
                bench_watch(b, args.logits, rows * stride - 2, dtype);
            }
            bench_check(b, is_backward ? &log_probability_backward : &log_probability, &args);
        }
}

/// A part of a shared vocabulary, labels 3 ..< 3 + width: two of the labels are its own.
static void run_log_probability_part(bench *b, forja_dtype dtype, uint64_t width) {
    static const int32_t labels[] = {3, -1, 2, 5, 2000};
    const uint64_t rows = 5;
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        bench_begin(b, NAME("log-probability part V %llu %s %d", (unsigned long long)width,
                            dtype_name(dtype), is_backward));
        forja_log_probability_args args = {
            .dtype = dtype,
            .logits = bench_input(b, rows * width, dtype),
            .labels = bench_integers(b, rows, labels),
            .rows = rows,
            .vocabulary = width,
            .row_stride = width,
            .logit_scale = 1.25f,
            .vocabulary_start = 3,
        };
        if (is_backward) {
            args.lse = bench_input(b, rows, FORJA_DTYPE_F32);
            args.gradient = bench_input(b, rows, FORJA_DTYPE_F32);
            bench_watch(b, args.logits, rows * width, dtype);
        } else {
            args.lse = bench_output(b, rows, FORJA_DTYPE_F32);
            args.entropy = bench_output(b, rows, FORJA_DTYPE_F32);
            args.label_logit = bench_output(b, rows, FORJA_DTYPE_F32);
        }
        bench_check(b, is_backward ? &log_probability_backward : &log_probability, &args);
    }
}

static void run_log_probability_combine(bench *b, uint64_t rows, bool with_entropy) {
    static const int32_t labels[] = {0, -1, 39, 38, -100, 7, 8};
    bench_begin(b, NAME("log-probability combine %llu %d", (unsigned long long)rows, with_entropy));
    const forja_log_probability_combine_args args = {
        .parts = bench_input(b, 4 * (with_entropy ? 3 : 2) * rows, FORJA_DTYPE_F32),
        .labels = bench_integers(b, rows, labels),
        .log_probability = bench_output(b, rows, FORJA_DTYPE_F32),
        .lse = bench_output(b, rows, FORJA_DTYPE_F32),
        .entropy = with_entropy ? bench_output(b, rows, FORJA_DTYPE_F32) : (forja_span){0},
        .rows = rows,
        .part_count = 4,
        .vocabulary = 40,
    };
    bench_check(b, &log_probability_combine, &args);
}

static void run_embedding(bench *b, forja_dtype dtype, uint64_t width) {
    static const int32_t inside[] = {4, 0, 6, 4, 4, 1, 6}, some_outside[] = {4, 0, -1, 4, 7, 1, 6};
    bench_begin(b, NAME("embedding C %llu %s", (unsigned long long)width, dtype_name(dtype)));
    const forja_embedding_args args = {
        .dtype = dtype,
        .table = bench_input(b, 7 * width, dtype),
        .ids = bench_integers(b, 7, inside),
        .y = bench_output(b, 7 * width, dtype),
        .rows = 7,
        .width = width,
        .table_rows = 7,
    };
    bench_check(b, &embedding_forward, &args);
    bench_begin(b, NAME("embedding part C %llu %s", (unsigned long long)width, dtype_name(dtype)));
    const forja_embedding_args part = {
        .dtype = dtype,
        .table = bench_input(b, 3 * width, dtype),
        .ids = bench_integers(b, 7, inside),
        .y = bench_output(b, 7 * width, dtype),
        .rows = 7,
        .width = width,
        .table_rows = 3,
        .first_row = 2,
        .total_rows = 7,
    };
    bench_check(b, &embedding_forward, &part);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        bench_begin(b, NAME("embedding backward C %llu %s %d", (unsigned long long)width,
                            dtype_name(dtype), accumulate));
        forja_embedding_backward_args backward = {
            .dtype = dtype,
            .dy = bench_input(b, 7 * width, dtype),
            .ids = bench_integers(b, 7, some_outside),
            .rows = 7,
            .width = width,
            .table_rows = 7,
            .first_row = accumulate,
            .accumulate = accumulate,
        };
        backward.d_table = accumulate ? bench_input(b, 7 * width, FORJA_DTYPE_F32)
                                      : bench_output(b, 7 * width, FORJA_DTYPE_F32);
        if (accumulate)
            bench_watch(b, backward.d_table, 7 * width, FORJA_DTYPE_F32);
        bench_check(b, &embedding_backward, &backward);
    }
}

static void run_rmsnorm(bench *b, forja_dtype dtype, uint64_t rows, uint64_t width) {
    bench_begin(b, NAME("rmsnorm C %llu %s", (unsigned long long)width, dtype_name(dtype)));
    const forja_rmsnorm_args args = {
        .dtype = dtype,
        .x = bench_input(b, rows * width, dtype),
        .weight = bench_input(b, width, dtype),
        .y = bench_output(b, rows * width, dtype),
        .rstd = bench_output(b, rows, FORJA_DTYPE_F32),
        .rows = rows,
        .width = width,
        .epsilon = 1e-5f,
    };
    bench_check(b, &rmsnorm_forward, &args);
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        bench_begin(b, NAME("rmsnorm backward C %llu %s %d", (unsigned long long)width,
                            dtype_name(dtype), accumulate));
        forja_rmsnorm_backward_args backward = {
            .dtype = dtype,
            .x = bench_input(b, rows * width, dtype),
            .weight = bench_input(b, width, dtype),
            .rstd = bench_input(b, rows, FORJA_DTYPE_F32),
            .dy = bench_input(b, rows * width, dtype),
            .rows = rows,
            .width = width,
            .accumulate_dx = accumulate,
            .accumulate_d_weight = accumulate,
        };
        if (accumulate) {
            backward.dx = bench_input(b, rows * width, dtype);
            backward.d_weight = bench_input(b, width, FORJA_DTYPE_F32);
            bench_watch(b, backward.dx, rows * width, dtype);
            bench_watch(b, backward.d_weight, width, FORJA_DTYPE_F32);
        } else {
            backward.dx = bench_output(b, rows * width, dtype);
            backward.d_weight = bench_output(b, width, FORJA_DTYPE_F32);
        }
        bench_check(b, &rmsnorm_backward, &backward);
    }
}

static void run_rope(bench *b, forja_dtype dtype, uint32_t head_dim) {
    for (int inverse = 0; inverse < 2; inverse++) {
        const uint64_t rows = 6, stride = 3 * (uint64_t)head_dim, length = rows * stride - head_dim;
        bench_begin(b, NAME("rope D %u %s %d", head_dim, dtype_name(dtype), inverse));
        forja_rope_args args = {
            .dtype = dtype,
            .x = bench_input(b, length, dtype),
            .cosine = bench_input(b, 3 * head_dim / 2, FORJA_DTYPE_F32),
            .sine = bench_input(b, 3 * head_dim / 2, FORJA_DTYPE_F32),
            .rows = rows,
            .sequence_length = 3,
            .row_stride = stride,
            .position_count = 3,
            .heads = 2,
            .head_dim = head_dim,
            .inverse = inverse,
        };
        // 9 lies past the table and is clamped.
        if (inverse)
            args.positions = bench_integers(b, rows, (int32_t[]){0, 1, 2, 2, 9, 0});
        bench_watch(b, args.x, length, dtype);
        bench_check(b, &rope, &args);
    }
}

static void run_rows(bench *b, forja_dtype dtype, uint64_t rows, uint64_t width) {
    const uint64_t count = rows * width;
    const char *name = NAME("%llux%llu %s", (unsigned long long)rows, (unsigned long long)width,
                            dtype_name(dtype));
    bench_begin(b, name);
    const forja_swiglu_args gate = {.dtype = dtype, .x = bench_input(b, 2 * count, dtype),
                                    .y = bench_output(b, count, dtype), .rows = rows,
                                    .width = width};
    bench_check(b, &swiglu_forward, &gate);
    bench_begin(b, name);
    const forja_swiglu_backward_args gate_backward = {
        .dtype = dtype, .x = bench_input(b, 2 * count, dtype), .dy = bench_input(b, count, dtype),
        .dx = bench_output(b, 2 * count, dtype), .rows = rows, .width = width};
    bench_check(b, &swiglu_backward, &gate_backward);
    bench_begin(b, name);
    const forja_add_args sum_of_two = {.dtype = dtype, .a = bench_input(b, count, dtype),
                                       .b = bench_input(b, count, dtype),
                                       .y = bench_output(b, count, dtype), .count = count};
    bench_check(b, &add, &sum_of_two);
    bench_begin(b, name);
    const forja_softmax_args row_softmax = {.dtype = dtype, .x = bench_input(b, count, dtype),
                                            .y = bench_output(b, count, dtype), .rows = rows,
                                            .width = width};
    bench_check(b, &softmax_forward, &row_softmax);
    bench_begin(b, name);
    const forja_softmax_backward_args softmax_gradient = {
        .dtype = dtype, .y = bench_input(b, count, dtype), .dy = bench_input(b, count, dtype),
        .dx = bench_output(b, count, dtype), .rows = rows, .width = width};
    bench_check(b, &softmax_backward, &softmax_gradient);
}

static void run_casts(bench *b, uint64_t count) {
    for (int from = FORJA_DTYPE_F32; from <= FORJA_DTYPE_F16; from++)
        for (int to = FORJA_DTYPE_F32; to <= FORJA_DTYPE_F16; to++) {
            bench_begin(b, NAME("cast %d to %d, %llu", from, to, (unsigned long long)count));
            const forja_cast_args args = {
                .from = (forja_dtype)from,
                .to = (forja_dtype)to,
                .source = bench_input(b, count, (forja_dtype)from),
                .destination = bench_output(b, count, (forja_dtype)to),
                .count = count,
            };
            bench_check(b, &cast, &args);
        }
}

static void run_optimizer(bench *b, uint64_t count) {
    const char *name = NAME("%llu parameters", (unsigned long long)count);
    const uint64_t chunks = (count + FORJA_SUM_SQUARES_CHUNK - 1) / FORJA_SUM_SQUARES_CHUNK;
    bench_begin(b, name);
    const forja_sum_args total = {.x = bench_input(b, count, FORJA_DTYPE_F32),
                                  .out = bench_output(b, 1, FORJA_DTYPE_F32), .count = count,
                                  .scale = 0.25f};
    bench_check(b, &sum, &total);
    bench_begin(b, name);
    const forja_sum_squares_args squares = {.x = bench_input(b, count, FORJA_DTYPE_F32),
                                            .partials = bench_output(b, chunks, FORJA_DTYPE_F32),
                                            .count = count};
    bench_check(b, &sum_squares, &squares);
    const float scalars[FORJA_STEP_SCALAR_COUNT] = {
        [FORJA_STEP_LEARNING_RATE] = 1e-2f,   [FORJA_STEP_BIAS_CORRECTION1] = 0.1f,
        [FORJA_STEP_BIAS_CORRECTION2] = 0.05f, [FORJA_STEP_GRADIENT_SCALE] = 0.5f,
        [FORJA_STEP_MAX_NORM] = 1.0f,         [FORJA_STEP_LOSS_SUM] = 3.0f,
        [FORJA_STEP_UPDATE_SCALE] = 0.25f,    [FORJA_STEP_IS_FINITE] = 1.0f,
    };
    bench_begin(b, name);
    const forja_gradient_norm_args norm = {
        .partials = bench_floats(b, 3, (float[]){1.5f, 0.25f, 2.0f}),
        .scalars = bench_floats(b, FORJA_STEP_SCALAR_COUNT, scalars),
        .partial_count = 3,
    };
    bench_watch(b, norm.scalars, FORJA_STEP_SCALAR_COUNT, FORJA_DTYPE_F32);
    bench_check(b, &gradient_norm, &norm);
    for (int with_copy = 0; with_copy < 2; with_copy++) {
        bench_begin(b, name);
        float *moments = calloc(count, sizeof(float));
        forja_adamw_args update = {
            .weight = bench_input(b, count, FORJA_DTYPE_F32),
            .gradient = bench_input(b, count, FORJA_DTYPE_F32),
            .m = bench_input(b, count, FORJA_DTYPE_F32),
            .v = bench_floats(b, count, moments),
            .scalars = bench_floats(b, FORJA_STEP_SCALAR_COUNT, scalars),
            .count = count,
            .beta1 = 0.9f,
            .beta2 = 0.95f,
            .epsilon = 1e-3f,
            .weight_decay = 0.1f,
        };
        free(moments);
        bench_watch(b, update.weight, count, FORJA_DTYPE_F32);
        bench_watch(b, update.m, count, FORJA_DTYPE_F32);
        bench_watch(b, update.v, count, FORJA_DTYPE_F32);
        if (with_copy)
            update.weight_bf16 = bench_output(b, count, FORJA_DTYPE_BF16);
        bench_check(b, &adamw, &update);
    }
}

static void run_multiply_add(bench *b, uint64_t count) {
    bench_begin(b, "multiply_add");
    forja_multiply_add_args args = {
        .out = bench_output(b, count, FORJA_DTYPE_F32),
        .count = count,
        .steps = 10,
        .factor = 0.5f,
        .addend = 1.0f,
    };
    bench_check(b, &multiply_add, &args);
}

void run_cases(bench *b) {
    run_matmul(b);
    run_attention(b);
    run_log_probability(b);
    run_log_probability_combine(b, 1, false);
    run_log_probability_combine(b, 7, true);
    for (size_t d = 0; d < 2; d++) {
        const forja_dtype dtype = storages[d];
        run_log_probability_part(b, dtype, 33);
        run_embedding(b, dtype, 1);
        run_embedding(b, dtype, 33);
        run_rmsnorm(b, dtype, 1, 1);
        run_rmsnorm(b, dtype, 5, 65);
        run_rmsnorm(b, dtype, 67, 19);
        run_rope(b, dtype, 2);
        run_rope(b, dtype, 20);
        run_rows(b, dtype, 1, 1);
        run_rows(b, dtype, 5, 65);
        run_rows(b, dtype, 3, 17);
    }
    run_casts(b, 1);
    run_casts(b, 65);
    run_optimizer(b, 1);
    run_optimizer(b, 1025);
    run_multiply_add(b, 1);
    run_multiply_add(b, 1025);
}
