// Log-probability of labels under rows of logits, and the logits' gradient in their place.
//
//   lse = log Σ_v exp(s·x_v)   log_probability = s·x_label − lse   entropy = lse − Σ_v p_v·s·x_v
//   dx_v = s · gradient · (1[v = label] − p_v)
//
// Legend    V = vocabulary, s = scale; row r starts at r · row_stride; label < 0: the row carries
//           none
// Launch    ⌈rows / group_rows⌉ work-groups
// Precision storage_t in memory, float32 in every sum
// Writes    a work-item changes only its own vectors of a row
// Labels    stay int where they are compared with 0: rusticl of Mesa 22.3 has (long)label < 0 false
//           always
// Twin      cpu/log_probability.c

static inline void clear_row(__global storage_t *x, ulong width) {
    FOR_LANE(i, 0, width)
        store_v(0.0f, x + i, width - i);
}

// dx_v = slope · (1[v = label] − exp(s·x_v − shift) · factor)
static inline void write_gradient(__global storage_t *x, ulong width, float scale, float shift,
                                  float factor, float slope, ulong label) {
    FOR_LANE(i, 0, width) {
        float_v t = load_v(x + i, width - i) * scale;
        t -= shift; // not fused with the product: as in the sum
        float_v p = exp_v(t) * factor, hit = 0.0f;
        if (label - i < VEC) // unsigned: not before i either
            hit = LANE_NUMBERS == (uint)(label - i) ? (float_v)(1.0f) : hit;
        store_v((hit - p) * slope, x + i, width - i);
    }
}

#ifdef LOG_SUM_EXP
// forja_log_probability: lse, entropy and gradient may be NULL; with a gradient, logits become dx. With
// label_logit the row is the part of the vocabulary from vocabulary_start on, and log_probability and
// gradient are NULL.
ROW_KERNEL void forja_log_probability(
    __global storage_t *logits, ulong logits_offset, __global const int *labels,
    ulong labels_offset, __global float *log_probability, ulong log_probability_offset,
    __global float *lse, ulong lse_offset, __global float *entropy, ulong entropy_offset,
    __global const float *gradient, ulong gradient_offset, ulong rows, ulong width,
    ulong row_stride, float scale, ulong vocabulary_start, __global float *label_logit,
    ulong label_logit_offset, ulong group_rows) {
    ROW_SCRATCH
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global storage_t *x = logits + logits_offset + row * row_stride;
        int label = labels[labels_offset + row];
        bool is_first = get_local_id(0) == 0;
        // A label past the vocabulary is not read: its log-probability is NaN. One of another part
        // counts 0.
        float label_t = label_logit ? 0.0f : NAN;
        ulong column = (ulong)label - vocabulary_start;
        if (is_first && column < width)
            label_t = storage_load(x[column]) * scale;
        row_barrier(); // before another work-item overwrites it
        // Where nothing is asked of a row it is not read; the barriers inside stay outside of any
        // branch.
        log_sum_exp s;
        bool to_gradient = gradient && label >= 0;
        row_log_sum_exp(&s, x, label >= 0 || lse || entropy ? width : 0, scale,
                        to_gradient ? x : 0);
        float log_sum = log(s.sum);
        if (is_first) {
            if (label_logit)
                label_logit[label_logit_offset + row] = label_t;
            else
                log_probability[log_probability_offset + row] =
                    label >= 0 ? label_t - s.maximum - log_sum : 0.0f;
            if (lse)
                lse[lse_offset + row] = s.maximum + log_sum;
            if (entropy)
                entropy[entropy_offset + row] = log_sum - s.weighted_sum / s.sum;
        }
        if (to_gradient) {
            float slope = scale * gradient[gradient_offset + row], factor = 1.0f / s.sum;
#ifdef KEEPS_EXPONENTIALS
            scale_exponentials(x, width, &s, -slope * factor);
            if ((ulong)label < width)
                x[label] = slope * (1.0f - exp(label_t - s.maximum) * factor);
#else
            write_gradient(x, width, scale, s.maximum, factor, slope, label);
#endif
        } else if (gradient) {
            clear_row(x, width);
        }
    }
}
#else

// forja_log_probability_backward: the gradient alone, from the lse of the forward pass.
ROW_KERNEL void forja_log_probability_backward(
    __global storage_t *logits, ulong logits_offset, __global const int *labels,
    ulong labels_offset, __global const float *lse, ulong lse_offset,
    __global const float *gradient, ulong gradient_offset, ulong rows, ulong width,
    ulong row_stride, float scale, ulong vocabulary_start, ulong group_rows) {
    ulong first = get_group_id(0) * group_rows, last = min(rows, first + group_rows);
    for (ulong row = first; row < last; row++) {
        __global storage_t *x = logits + logits_offset + row * row_stride;
        int label = labels[labels_offset + row];
        if (label < 0) {
            clear_row(x, width);
            continue;
        }
        write_gradient(x, width, scale, lse[lse_offset + row], 1.0f,
                       scale * gradient[gradient_offset + row], (ulong)label - vocabulary_start);
    }
}

// forja_log_probability_combine: parts of a vocabulary, joined in ascending order. Every element is a
// work-item's own.
//
// Legend    parts [part_count, K, rows]: lse, label_logit and, with entropy, entropy; K = 2 or 3
// Launch    one work-group per BLOCK rows
ROW_KERNEL void forja_log_probability_combine(
    __global const float *parts, ulong parts_offset, __global const int *labels,
    ulong labels_offset, __global float *log_probability, ulong log_probability_offset,
    __global float *lse, ulong lse_offset, __global float *entropy, ulong entropy_offset,
    ulong rows, ulong part_count, ulong vocabulary) {
    ulong first = get_group_id(0) * (ulong)BLOCK, last = min(rows, first + BLOCK);
    ulong stride = (entropy ? 3 : 2) * rows;
    for (ulong row = first + get_local_id(0); row < last; row += LANES) {
        __global const float *part = parts + parts_offset + row;
        // As in a row of logits: parts of -infinity alone give no NaN.
        float maximum = -MAXFLOAT, sum = 0.0f, label_t = 0.0f, mean = 0.0f;
        for (ulong p = 0; p < part_count; p++)
            maximum = part[p * stride] > maximum ? part[p * stride] : maximum;
        for (ulong p = 0; p < part_count; p++, part += stride) {
            float weight = exp(part[0] - maximum);
            sum += weight;
            label_t += part[rows];
            if (entropy && weight != 0.0f)
                mean += weight * (part[0] - part[2 * rows]);
        }
        float log_sum = log(sum);
        if (lse)
            lse[lse_offset + row] = maximum + log_sum;
        if (entropy)
            entropy[entropy_offset + row] = maximum + log_sum - mean / sum;
        int label = labels[labels_offset + row];
        float value = label_t - maximum - log_sum;
        log_probability[log_probability_offset + row] =
            label < 0 ? 0.0f : (ulong)label < vocabulary ? value : NAN;
    }
}
#endif
