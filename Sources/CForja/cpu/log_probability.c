// Log-probability of labels, and the logits' gradient in their place.
#include <math.h>

#include "log_sum_exp.h"

typedef struct log_probability_context {
    void *logits;
    const int32_t *labels;
    float *log_probability, *lse, *entropy, *label_logit;
    const float *gradient;
    uint64_t rows, vocabulary, vocabulary_start, row_stride, block_rows;
    float scale;
} log_probability_context;

/// The label's place in the row; past its end for a label of another part of the vocabulary, or of none.
FORJA__INLINE uint64_t label_column(const log_probability_context *c, uint64_t n) {
    return (uint64_t)c->labels[n] - c->vocabulary_start;
}

/// The label's scaled logit; `missing` for a label that is not in the row, where nothing may be read.
FORJA__INLINE float label_logit(const log_probability_context *c, uint64_t n, float missing,
                                bool bf16) {
    uint64_t label = label_column(c, n);
    return label < c->vocabulary
               ? forja__load_1(c->logits, n * c->row_stride + label, bf16) * c->scale
               : missing;
}

/// slope · (1 − p): the gradient at the label, for its scaled logit.
FORJA__INLINE void write_label_gradient(const log_probability_context *c, uint64_t n, float logit,
                                        float shift, float factor, bool bf16) {
    forja__f32x16 p = {logit - shift};
    forja__exp_flush_16(&p);
    p = (1.0f - p * factor) * (c->scale * c->gradient[n]);
    uint64_t label = label_column(c, n);
    if (label < c->vocabulary)
        forja__store_16(c->logits, n * c->row_stride + label, 1, bf16, &p);
}

/// logits[v] ← slope · (1[v = label] − exp(scale · logits[v] − shift) · factor)
FORJA__INLINE void write_gradient(const log_probability_context *c, uint64_t n, float shift,
                                  float factor, bool bf16) {
    uint64_t start = n * c->row_stride;
    float slope = c->scale * c->gradient[n];
    float logit = label_logit(c, n, NAN, bf16); // before the loop overwrites it
    FORJA__FOR_VECTORS(v, 0, c->vocabulary, {
        forja__f32x16 x;
        forja__load_16(&x, c->logits, start + v, count, bf16);
        x *= c->scale; // not fused with the subtraction: as in the sum
        x -= shift;
        forja__exp_flush_16(&x);
        x *= -slope * factor;
        forja__store_16(c->logits, start + v, count, bf16, &x);
    });
    write_label_gradient(c, n, logit, shift, factor, bf16);
}

FORJA__INLINE void clear_row(const log_probability_context *c, uint64_t n, bool bf16) {
    size_t size = bf16 ? 2 : 4;
    memset((char *)c->logits + n * c->row_stride * size, 0, c->vocabulary * size);
}

FORJA__INLINE void forward_row(const log_probability_context *c, uint64_t n, bool bf16) {
    bool has_label = c->labels[n] >= 0;
    if (c->label_logit)
        c->label_logit[n] = label_logit(c, n, 0, bf16);
    else if (!has_label) {
        c->log_probability[n] = 0;
        if (!c->lse && !c->entropy) {
            if (c->gradient)
                clear_row(c, n, bf16);
            return;
        }
    }
    // An f32 row that becomes its gradient keeps its exponentials in place; in bf16 they would be
    // rounded twice.
    float logit = has_label ? label_logit(c, n, NAN, bf16) : 0;
    float *kept = !bf16 && has_label && c->gradient ? (float *)c->logits + n * c->row_stride : NULL;
    forja__log_sum_exp row;
    if (c->entropy || c->gradient)
        forja__row_log_sum_exp(&row, c->logits, n * c->row_stride, c->vocabulary, c->scale,
                               c->entropy != NULL, bf16, kept);
    else
        forja__row_sum_exp(&row, c->logits, n * c->row_stride, c->vocabulary, c->scale, bf16);
    double log_sum = log(row.sum);
    if (c->lse)
        c->lse[n] = (float)(row.maximum + log_sum);
    if (c->entropy)
        c->entropy[n] = (float)(log_sum - row.weighted_sum / row.sum);
    if (c->label_logit)
        return;
    if (!has_label) {
        if (c->gradient)
            clear_row(c, n, bf16);
        return;
    }
    c->log_probability[n] = (float)((double)logit - row.maximum - log_sum);
    const float factor = (float)(1 / row.sum);
    if (kept) {
        forja__scale_exponentials(kept, c->vocabulary, &row,
                                  -c->scale * c->gradient[n] * factor);
        write_label_gradient(c, n, logit, row.maximum, factor, false);
    } else if (c->gradient) {
        write_gradient(c, n, row.maximum, factor, bf16);
    }
}

FORJA__INLINE void forward_body(const void *context, uint64_t index, bool bf16) {
    const log_probability_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++)
        forward_row(c, n, bf16);
}
FORJA__DEFINE_STORAGE_TASK(forward)

FORJA__INLINE void backward_body(const void *context, uint64_t index, bool bf16) {
    const log_probability_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * c->block_rows);
    for (uint64_t n = index * c->block_rows; n < end; n++) {
        if (c->labels[n] < 0)
            clear_row(c, n, bf16);
        else
            write_gradient(c, n, c->lse[n], 1.0f, bf16);
    }
}
FORJA__DEFINE_STORAGE_TASK(backward)

static log_probability_context make_context(const forja_log_probability_args *args) {
    return (log_probability_context){
        .logits = forja__host_at(args->logits, args->dtype),
        .labels = forja__ptr(args->labels, int32_t),
        .log_probability = forja__ptr(args->log_probability, float),
        .lse = forja__ptr(args->lse, float),
        .entropy = forja__ptr(args->entropy, float),
        .label_logit = forja__ptr(args->label_logit, float),
        .gradient = forja__ptr(args->gradient, float),
        .rows = args->rows,
        .vocabulary = args->vocabulary,
        .vocabulary_start = args->vocabulary_start,
        .row_stride = args->row_stride,
        .block_rows = forja__block_rows(args->vocabulary),
        .scale = args->logit_scale,
    };
}

forja_status forja__cpu_log_probability(forja_queue *queue,
                                        const forja_log_probability_args *args) {
    log_probability_context context = make_context(args);
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    forward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}

forja_status forja__cpu_log_probability_backward(forja_queue *queue,
                                                 const forja_log_probability_args *args) {
    log_probability_context context = make_context(args);
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, context.block_rows),
                    backward_task(args->dtype == FORJA_DTYPE_BF16), &context);
    return FORJA_OK;
}

typedef struct combine_context {
    const float *parts;
    const int32_t *labels;
    float *log_probability, *lse, *entropy;
    uint64_t rows, part_count, vocabulary;
} combine_context;

static void combine_row(const combine_context *c, uint64_t n) {
    const uint64_t kinds = c->entropy ? 3 : 2;
    // As in a row of logits, the maximum starts at −FLT_MAX: parts of −infinity alone give no NaN.
    double maximum = -__FLT_MAX__, sum = 0, label = 0, mean = 0;
    for (uint64_t p = 0; p < c->part_count; p++) {
        double lse = c->parts[p * kinds * c->rows + n];
        maximum = lse > maximum ? lse : maximum;
    }
    for (uint64_t p = 0; p < c->part_count; p++) {
        const float *part = c->parts + p * kinds * c->rows + n;
        double weight = exp(part[0] - maximum);
        sum += weight;
        label += part[c->rows];
        if (c->entropy && weight != 0)
            mean += weight * (part[0] - (double)part[2 * c->rows]);
    }
    double lse = maximum + log(sum);
    if (c->lse)
        c->lse[n] = (float)lse;
    if (c->entropy)
        c->entropy[n] = (float)(lse - mean / sum);
    c->log_probability[n] = c->labels[n] < 0                          ? 0.0f
                            : (uint64_t)c->labels[n] < c->vocabulary ? (float)(label - lse)
                                                                      : NAN;
}

enum { COMBINE_ROWS = 256 };

static void combine_rows(void *context, uint64_t index, uint32_t thread) {
    (void)thread;
    const combine_context *c = context;
    uint64_t end = forja__min(c->rows, (index + 1) * COMBINE_ROWS);
    for (uint64_t n = index * COMBINE_ROWS; n < end; n++)
        combine_row(c, n);
}

forja_status forja__cpu_log_probability_combine(forja_queue *queue,
                                                const forja_log_probability_combine_args *args) {
    combine_context context = {
        .parts = forja__ptr(args->parts, float),
        .labels = forja__ptr(args->labels, int32_t),
        .log_probability = forja__ptr(args->log_probability, float),
        .lse = forja__ptr(args->lse, float),
        .entropy = forja__ptr(args->entropy, float),
        .rows = args->rows,
        .part_count = args->part_count,
        .vocabulary = args->vocabulary,
    };
    forja__pool_run(queue->device->pool, forja__ceil_divide(args->rows, COMBINE_ROWS), combine_rows,
                    &context);
    return FORJA_OK;
}
