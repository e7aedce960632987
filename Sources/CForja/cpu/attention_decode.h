/// Attention of one query row per sequence over a long cache; included by the file of each
/// instruction set.
///
/// The work is reading K and V once, in the order in which they lie: a task takes one group, or all
/// of a sequence's where sequences are many, over a range of keys. Scores are dot products along D;
/// ranges are merged by a second pass where (batch, group) pairs alone are few.

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

/// Rows of a tile of K or of V: row j of group g begins at base + j · row + g · group.
typedef struct tile_rows {
    const float *base;
    uint64_t row, group;
} tile_rows;

/// score[g, r, j] = query[g, r] · key[j, g] for all heads r of each group g. Asks for rows of
/// `values`, unless it is NULL, and for keys to come.
static void score_tile(float *score, const float *query, tile_rows key, const tile_rows *values,
                       uint64_t keys, uint64_t padded, uint64_t groups, uint64_t group) {
    uint64_t j = 0;
    for (; j + LANES <= keys; j += LANES)
        for (uint64_t head = 0; head < groups * group; head++) {
            const uint64_t g = head / group;
            const bool next = values && head % group == 0;
            const float *value = next ? values->base + j * values->row + g * values->group : NULL;
            score_keys(score + head * TILE + j, query + head * padded,
                       key.base + j * key.row + g * key.group, key.row, value,
                       next ? values->row : 0, padded, next);
        }
    for (; j < keys; j++)
        for (uint64_t head = 0; head < groups * group; head++) {
            const float *row = key.base + j * key.row + head / group * key.group;
            vec sum = {0};
            for (uint64_t d = 0; d < padded; d += LANES)
                sum += load(row + d) * load(query + head * padded + d);
            score[head * TILE + j] = sum_lanes(sum);
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

/// Task (batch, share of its groups, part of the keys). Leaves for each of its groups, at `partial`,
/// [group] maxima, [group] sums and [group, padded] outputs not yet divided.
static void attention_decode_task(const forja__attention_plan *plan, uint64_t index,
                                  float *scratch) {
    const forja_attention_args *x = plan->args;
    const uint64_t shares = x->key_value_heads / plan->task_groups, groups = plan->task_groups;
    const uint64_t split = index % plan->splits, first = index / plan->splits % shares * groups;
    const uint64_t batch = index / plan->splits / shares;
    const uint64_t width = x->head_dim, padded = plan->padded, group = plan->group;
    const uint64_t heads = groups * group, size = group * (padded + 2);
    const bool in_place = x->dtype == FORJA_DTYPE_F32 && width == padded;

    float *query = scratch;               // [groups, group, padded]
    float *score = query + heads * padded; // [groups, group, TILE]
    float *packed = score + heads * TILE;  // [groups, TILE, padded]
    const uint64_t pair = batch * x->key_value_heads + first;
    float *partial = plan->shared + (pair * plan->splits + split) * size;
    const uint64_t partial_row = plan->splits * size; // between groups

    load_rows(query, padded, x->q, x->dtype, batch * x->q_row_stride + first * group * width, width,
              heads, width, x->scale * LOG2_E);
    for (uint64_t g = 0; g < groups; g++) {
        float *maximum = partial + g * partial_row;
        for (uint64_t r = 0; r < group; r++)
            maximum[r] = NO_MAXIMUM;
        memset(maximum + group, 0, (size - group) * sizeof(float));
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
        const uint64_t k_at = at * x->k_row_stride + first * width;
        const uint64_t v_at = at * x->v_row_stride + first * width;
        tile_rows keys_here = {packed, padded, TILE * padded}, values_here = keys_here;
        if (in_place) {
            keys_here = (tile_rows){forja__ptr(x->k, float) + k_at, x->k_row_stride, width};
            values_here = (tile_rows){forja__ptr(x->v, float) + v_at, x->v_row_stride, width};
        } else {
            for (uint64_t g = 0; g < groups; g++)
                load_rows(packed + g * TILE * padded, padded, x->k, x->dtype, k_at + g * width,
                          x->k_row_stride, keys, width, 1.0f);
        }
        score_tile(score, query, keys_here, in_place ? &values_here : NULL, keys, padded, groups,
                   group);
        if (!in_place)
            for (uint64_t g = 0; g < groups; g++)
                load_rows(packed + g * TILE * padded, padded, x->v, x->dtype, v_at + g * width,
                          x->v_row_stride, keys, width, 1.0f);
        for (uint64_t g = 0; g < groups; g++) {
            float *maximum = partial + g * partial_row, *sum = maximum + group, *out = sum + group;
            float *weight = score + g * group * TILE;
            for (uint64_t r = 0; r < group; r++) {
                float factor;
                softmax_row(weight + r * TILE, keys, &maximum[r], &sum[r], &factor);
                if (factor != 1.0f)
                    for (uint64_t d = 0; d < padded; d += LANES)
                        store(out + r * padded + d, load(out + r * padded + d) * factor);
            }
            for (uint64_t r = 0; r < group; r += PRODUCT_ROWS)
                product(out + r * padded, padded, weight + r * TILE, TILE, 1,
                        values_here.base + g * values_here.group, values_here.row,
                        least(PRODUCT_ROWS, group - r), padded, keys, true);
        }
    }
    if (plan->splits == 1)
        for (uint64_t g = 0; g < groups; g++)
            attention_decode_merge(plan, pair + g, scratch);
}
