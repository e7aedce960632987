/// Attention of one query row per sequence over a long cache; included by the file of each
/// instruction set.
///
/// The work is reading K and V once: a task takes all heads of a group over a range of keys, scores
/// are dot products along D, and ranges are merged by a second pass where (batch, group) pairs
/// alone are few.

#include "lane_sums.h"

#define sum_many FORJA__JOIN(FORJA__JOIN(forja__sum_, LANES), FORJA__JOIN(_of_, LANES))

/// Sum of the lanes, halves first: a fixed order.
FORJA__INLINE float sum_lanes(vec x) {
    float lane[LANES];
    store(lane, x);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

/// Asks for the line at `address` ahead of its use. Rows of one head lie whole pages apart in wide
/// caches, where the hardware's own prefetching stops; an address past the end is only a hint.
FORJA__INLINE void prefetch(uintptr_t address) {
    __builtin_prefetch((const void *)address);
}

/// score[i] = query · key[i] for LANES keys. Where `next` is set, asks for the LANES keys that
/// follow, and for as many rows of the values at `value`, which are read next.
FORJA__INLINE void score_keys(float *score, const float *query, const float *key, uint64_t key_row,
                              const float *value, uint64_t value_row, uint64_t padded, bool next) {
    vec sum[LANES] = {{0}};
    for (uint64_t d = 0; d < padded; d += LANES) {
        const vec q = load(query + d);
        // One line of each row at a time: more would wait for each other.
        const bool is_line = next && d % 16 == 0;
#pragma GCC unroll 16
        for (uint64_t i = 0; i < LANES; i++) {
            if (is_line) {
                prefetch((uintptr_t)key + ((LANES + i) * key_row + d) * sizeof(float));
                prefetch((uintptr_t)value + (i * value_row + d) * sizeof(float));
            }
            sum[i] += load(key + i * key_row + d) * q;
        }
    }
    sum_many(score, sum);
}

/// score[r, j] = query[r] · key[j] for all heads r of a group. Asks for rows of `value`, unless it
/// is NULL, and for keys to come.
static void score_heads(float *score, const float *query, const float *key, uint64_t key_row,
                        const float *value, uint64_t value_row, uint64_t keys, uint64_t padded,
                        uint64_t heads) {
    uint64_t j = 0;
    for (; j + LANES <= keys; j += LANES)
        for (uint64_t r = 0; r < heads; r++)
            score_keys(score + r * TILE + j, query + r * padded, key + j * key_row, key_row,
                       value ? value + j * value_row : NULL, value_row, padded, value && r == 0);
    for (; j < keys; j++)
        for (uint64_t r = 0; r < heads; r++) {
            vec sum = {0};
            for (uint64_t d = 0; d < padded; d += LANES)
                sum += load(key + j * key_row + d) * load(query + r * padded + d);
            score[r * TILE + j] = sum_lanes(sum);
        }
}

/// One online-softmax step of one head over `keys` scores.
static void softmax_row(float *score, uint64_t keys, float *maximum, float *sum, float *factor) {
    for (uint64_t j = keys; j < TILE; j++)
        score[j] = MASKED;
    vec high = splat(*maximum);
    for (uint64_t j = 0; j < TILE; j += LANES) {
        vec s = load(score + j);
        high = choose(s > high, s, high);
    }
    float lane[LANES], top;
    store(lane, high);
    top = lane[0];
    for (int i = 1; i < LANES; i++)
        top = lane[i] > top ? lane[i] : top;
    vec total = {0}, shrink = splat(*maximum - top);
    for (uint64_t j = 0; j < TILE; j += LANES) {
        vec p = load(score + j) - top;
        exp2_flush(&p);
        total += p;
        store(score + j, p);
    }
    exp2_flush(&shrink);
    *factor = shrink[0];
    *sum = *sum * *factor + sum_lanes(total);
    *maximum = top;
}

/// One part of the keys of one (batch, group): [group] maxima, [group] sums, [group, padded]
/// outputs at `partial`, outputs not yet divided.
static void attention_decode_task(const forja__attention_plan *plan, uint64_t index,
                                  float *scratch) {
    const forja_attention_args *x = plan->args;
    const uint64_t split = index % plan->splits, g = index / plan->splits % x->key_value_heads;
    const uint64_t batch = index / plan->splits / x->key_value_heads;
    const uint64_t width = x->head_dim, padded = plan->padded, group = plan->group;
    const bool in_place = x->dtype == FORJA_DTYPE_F32 && width == padded;

    float *query = scratch;              // [group, padded]
    float *key = query + group * padded; // [TILE, padded]
    float *score = key + TILE * padded;  // [group, TILE]
    float *partial = plan->shared + index * group * (padded + 2);
    float *maximum = partial, *sum = partial + group, *out = partial + 2 * group;

    load_rows(query, padded, x->q, x->dtype, batch * x->q_row_stride + g * group * width, width,
              group, width, x->scale * LOG2_E);
    memset(out, 0, group * padded * sizeof(float));
    for (uint64_t r = 0; r < group; r++) {
        maximum[r] = NO_MAXIMUM;
        sum[r] = 0.0f;
    }

    visibility seen;
    find_visible(&seen, x, batch, 0, 1);
    int64_t begin = seen.first_min, end = seen.last_max + 1;
    if (end > begin) {
        // Parts of whole tiles, by the keys that are there and not by the cache's capacity.
        const int64_t tiles = (end - begin + TILE - 1) / TILE, splits = plan->splits;
        const int64_t part = (tiles + splits - 1) / splits * TILE;
        begin += (int64_t)split * part;
        end = begin + part < end ? begin + part : end;
    }
    for (int64_t j0 = begin; j0 < end; j0 += TILE) {
        const uint64_t keys = least(TILE, (uint64_t)(end - j0));
        const uint64_t at = batch * x->key_length + (uint64_t)j0;
        const float *right = key;
        uint64_t right_row = padded;
        if (in_place) {
            right = forja__ptr(x->k, float) + at * x->k_row_stride + g * width;
            right_row = x->k_row_stride;
        } else {
            load_rows(key, padded, x->k, x->dtype, at * x->k_row_stride + g * width,
                      x->k_row_stride, keys, width, 1.0f);
        }
        const float *value =
            in_place ? forja__ptr(x->v, float) + at * x->v_row_stride + g * width : NULL;
        score_heads(score, query, right, right_row, value, x->v_row_stride, keys, padded, group);
        for (uint64_t r = 0; r < group; r++) {
            float factor;
            softmax_row(score + r * TILE, keys, &maximum[r], &sum[r], &factor);
            if (factor != 1.0f)
                for (uint64_t d = 0; d < padded; d += LANES)
                    store(out + r * padded + d, load(out + r * padded + d) * factor);
        }
        if (in_place) {
            right = value;
            right_row = x->v_row_stride;
        } else {
            load_rows(key, padded, x->v, x->dtype, at * x->v_row_stride + g * width,
                      x->v_row_stride, keys, width, 1.0f);
        }
        for (uint64_t r = 0; r < group; r += PRODUCT_ROWS)
            product(out + r * padded, padded, score + r * TILE, TILE, 1, right, right_row,
                    least(PRODUCT_ROWS, group - r), padded, keys, true);
    }
}

/// Merges the parts of one (batch, group), in ascending order of keys.
static void attention_decode_merge(const forja__attention_plan *plan, uint64_t index,
                                   float *scratch) {
    const forja_attention_args *x = plan->args;
    const uint64_t g = index % x->key_value_heads, batch = index / x->key_value_heads;
    const uint64_t padded = plan->padded, group = plan->group, size = group * (padded + 2);
    const float *parts = plan->shared + index * plan->splits * size;
    for (uint64_t r = 0; r < group; r++) {
        float top = NO_MAXIMUM, total = 0.0f;
        for (uint64_t s = 0; s < plan->splits; s++)
            top = parts[s * size + r] > top ? parts[s * size + r] : top;
        memset(scratch, 0, padded * sizeof(float));
        for (uint64_t s = 0; s < plan->splits; s++) {
            const float *part = parts + s * size, *out = part + 2 * group + r * padded;
            vec factor = splat(part[r] - top);
            exp2_flush(&factor);
            total += part[group + r] * factor[0];
            for (uint64_t d = 0; d < padded; d += LANES)
                store(scratch + d, load(scratch + d) + load(out + d) * factor);
        }
        const uint64_t head = g * group + r;
        store_row(x->out, x->dtype, batch * x->out_row_stride + head * x->head_dim, scratch,
                  x->head_dim, total == 0.0f ? 0.0f : 1.0f / total);
        forja__ptr(x->lse, float)[batch * x->heads + head] = (top + log2f(total)) * LN_2;
    }
}
