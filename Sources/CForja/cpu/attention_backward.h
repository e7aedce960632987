/// The backward pass of attention over tiles; included by the file of each instruction set.
///
/// With P = exp2(S − lse), delta = rowsum(dO ∘ O) and dS = P ∘ (dO Vᵀ − delta), a tile makes five
/// products: S = Q Kᵀ, dP = dO Vᵀ, dV += Pᵀ dO, dK += dSᵀ Q, dQ += dS K. A task owns a part of the
/// keys of one (batch, key-value head), so dK and dV are its own; dQ is summed over the parts by a
/// second pass.

/// score[rows, keys] becomes P and gradient[rows, keys], which holds dP, becomes dS.
static void softmax_backward_tile(float *score, float *gradient, uint64_t rows, int64_t first_key,
                                  const visibility *masked, const float *lse, const float *delta) {
    ivec lane;
    for (int i = 0; i < LANES; i++)
        lane[i] = (int32_t)first_key + i;
    for (uint64_t m = 0; m < rows; m++)
        for (uint64_t j = 0; j < TILE; j += LANES) {
            float *s = score + m * TILE + j, *d = gradient + m * TILE + j;
            vec p = load(s) - lse[m];
            exp2_flush(&p);
            vec ds = p * (load(d) - delta[m]);
            if (masked) {
                // What lies beyond the diagonal was never computed and may be NaN: masked by bits.
                ivec key = lane + (int32_t)j;
                ivec visible = (key >= masked->first[m]) & (key <= masked->last[m]);
                p = (vec)(visible & (ivec)p);
                ds = (vec)(visible & (ivec)ds);
            }
            store(s, p);
            store(d, ds);
        }
}

/// Operands of one query tile of one head, in scratch.
typedef struct query_tile {
    float *query, *d_out;         /// [TILE, padded]; query scaled by scale · log2 e
    float lse[TILE], delta[TILE]; /// lse in powers of two
} query_tile;

static void load_query_tile(query_tile *tile, const forja__attention_plan *plan, float *spare,
                            uint64_t batch, uint64_t head, uint64_t row, uint64_t rows) {
    const forja_attention_args *x = plan->args;
    const uint64_t width = x->head_dim, padded = plan->padded, at = batch * x->query_length + row;
    const float *lse =
        forja__ptr(x->lse, float) + (batch * x->heads + head) * x->query_length + row;
    load_rows(tile->query, padded, x->q, x->dtype, at * x->q_row_stride + head * width,
              x->q_row_stride, rows, width, x->scale * LOG2_E);
    load_rows(tile->d_out, padded, plan->backward->d_out, x->dtype,
              at * x->out_row_stride + head * width, x->out_row_stride, rows, width, 1.0f);
    load_rows(spare, padded, x->out, x->dtype, at * x->out_row_stride + head * width,
              x->out_row_stride, rows, width, 1.0f);
    for (uint64_t m = 0; m < rows; m++) {
        vec sum = {0};
        for (uint64_t d = 0; d < padded; d += LANES)
            sum += load(tile->d_out + m * padded + d) * load(spare + m * padded + d);
        tile->delta[m] = sum_lanes(sum);
        tile->lse[m] = lse[m] * LOG2_E;
    }
}

/// The five products of one query tile and one key tile. `score` and `gradient` are [TILE, TILE]
/// scratch.
static void backward_tile(const query_tile *tile, const float *key, const float *key_t,
                          const float *value_t, float *score, float *gradient, float *dq, float *dk,
                          float *dv, uint64_t rows, uint64_t keys, int64_t first_key,
                          const visibility *seen, uint64_t width, uint64_t padded,
                          bool accumulate_dq) {
    const bool cut = first_key < seen->first_max || first_key + (int64_t)keys - 1 > seen->last_min;
    const int64_t diagonal = first_key - seen->base; // row m sees keys up to m − diagonal
    for (uint64_t m = 0; m < rows; m += PRODUCT_ROWS) {
        int64_t end = (int64_t)m + PRODUCT_ROWS - diagonal;
        end = end > TILE ? TILE : (end + LANES - 1) / LANES * LANES;
        if (end <= 0)
            continue;
        const uint64_t count = least(PRODUCT_ROWS, rows - m);
        product(score + m * TILE, TILE, tile->query + m * padded, padded, 1, key_t, TILE, count,
                (uint64_t)end, width, false);
        product(gradient + m * TILE, TILE, tile->d_out + m * padded, padded, 1, value_t, TILE,
                count, (uint64_t)end, width, false);
    }
    softmax_backward_tile(score, gradient, rows, first_key, cut ? seen : NULL, tile->lse,
                          tile->delta);
    for (uint64_t j = 0; j < keys; j += PRODUCT_ROWS) {
        int64_t begin = (int64_t)j + diagonal;
        begin = begin < 0 ? 0 : begin;
        if (begin >= (int64_t)rows)
            break;
        const uint64_t count = least(PRODUCT_ROWS, keys - j), depth = rows - (uint64_t)begin;
        const uint64_t from = (uint64_t)begin * TILE + j;
        product(dv + j * padded, padded, score + from, 1, TILE,
                tile->d_out + (uint64_t)begin * padded, padded, count, padded, depth, true);
        product(dk + j * padded, padded, gradient + from, 1, TILE,
                tile->query + (uint64_t)begin * padded, padded, count, padded, depth, true);
    }
    for (uint64_t m = 0; m < rows; m += PRODUCT_ROWS) {
        int64_t depth = (int64_t)m + PRODUCT_ROWS - diagonal;
        depth = depth < 0 ? 0 : depth < (int64_t)keys ? depth : (int64_t)keys;
        product(dq + m * padded, padded, gradient + m * TILE, TILE, 1, key, padded,
                least(PRODUCT_ROWS, rows - m), padded, (uint64_t)depth, accumulate_dq);
    }
}

/// One task: the keys of one split of one (batch, group). Splits run in ascending order, so that
/// those which the most queries see come first.
static void attention_backward_task(const forja__attention_plan *plan, uint64_t index,
                                    float *scratch) {
    const forja_attention_args *x = plan->args;
    const forja_attention_backward_args *y = plan->backward;
    const uint64_t groups = (uint64_t)x->batch * x->key_value_heads;
    const uint64_t split = index / groups, batch = index % groups / x->key_value_heads;
    const uint64_t g = index % x->key_value_heads;
    const uint64_t width = x->head_dim, padded = plan->padded, length = x->query_length;
    const uint64_t split_begin = split * plan->split_keys;
    const uint64_t split_end = least(split_begin + plan->split_keys, x->key_length);
    float *slice = plan->shared + forja__attention_slice(plan, plan->splits) * (index % groups) +
                   forja__attention_slice(plan, split);

    const uint64_t chunk = plan->chunk_keys;
    float *key = scratch;                    // [chunk, padded]
    float *key_t = key + chunk * padded;     // [chunk / TILE, padded, TILE]
    float *value_t = key_t + chunk * padded; // as key_t
    float *dk = value_t + chunk * padded;    // [chunk, padded]
    float *dv = dk + chunk * padded;         // [chunk, padded]
    float *score = dv + chunk * padded;      // [TILE rows, TILE keys]
    float *gradient = score + TILE * TILE;   // [TILE rows, TILE keys]
    query_tile tile = {.query = gradient + TILE * TILE};
    tile.d_out = tile.query + TILE * padded;
    float *spare = tile.d_out + TILE * padded; // [TILE, padded]

    for (uint64_t begin = split_begin; begin < split_end; begin += chunk) {
        const uint64_t end = least(begin + chunk, split_end);
        for (uint64_t j = begin; j < end; j += TILE) {
            const uint64_t keys = least(TILE, end - j), at = (batch * x->key_length + j);
            float *natural = key + (j - begin) * padded;
            load_rows(natural, padded, x->k, x->dtype, at * x->k_row_stride + g * width,
                      x->k_row_stride, keys, width, 1.0f);
            load_rows(spare, padded, x->v, x->dtype, at * x->v_row_stride + g * width,
                      x->v_row_stride, keys, width, 1.0f);
            transpose(key_t + (j - begin) * padded, natural, keys, padded);
            transpose(value_t + (j - begin) * padded, spare, keys, padded);
        }
        memset(dk, 0, 2 * chunk * padded * sizeof(float));
        for (uint64_t row = begin; row < length; row += TILE) {
            const uint64_t rows = least(TILE, length - row);
            visibility seen;
            find_visible(&seen, x, batch, row, rows);
            const uint64_t first =
                seen.first_min > (int64_t)begin ? (uint64_t)seen.first_min : begin;
            const uint64_t last = least((uint64_t)seen.last_max + 1, end);
            for (uint64_t r = 0; r < plan->group; r++) {
                float *dq = slice + (r * (length - split_begin) + row - split_begin) * padded;
                bool accumulate = begin > split_begin;
                if (first < last)
                    load_query_tile(&tile, plan, spare, batch, g * plan->group + r, row, rows);
                for (uint64_t j = begin + (first - begin) / TILE * TILE; j < last; j += TILE) {
                    const uint64_t at = (j - begin) * padded;
                    backward_tile(&tile, key + at, key_t + at, value_t + at, score, gradient, dq,
                                  dk + at, dv + at, rows, least(TILE, end - j), (int64_t)j, &seen,
                                  width, padded, accumulate);
                    accumulate = true;
                }
                if (!accumulate)
                    memset(dq, 0, rows * padded * sizeof(float));
            }
        }
        for (uint64_t j = begin; j < end; j++) {
            const uint64_t at = batch * x->key_length + j;
            store_row(y->dk, x->dtype, at * y->dk_row_stride + g * width, dk + (j - begin) * padded,
                      width,
                      LN_2); // Q carries scale · log2 e
            store_row(y->dv, x->dtype, at * y->dv_row_stride + g * width, dv + (j - begin) * padded,
                      width, 1.0f);
        }
    }
}

/// Sums dQ over the splits, in ascending order, for one query tile of one (batch, group).
static void attention_backward_merge(const forja__attention_plan *plan, uint64_t index,
                                     float *scratch) {
    const forja_attention_args *x = plan->args;
    const uint64_t row = index % plan->query_tiles * TILE, group = index / plan->query_tiles;
    const uint64_t batch = group / x->key_value_heads, g = group % x->key_value_heads;
    const uint64_t rows = least(TILE, x->query_length - row), padded = plan->padded;
    const float *slices = plan->shared + forja__attention_slice(plan, plan->splits) * group;
    for (uint64_t r = 0; r < plan->group; r++)
        for (uint64_t m = row; m < row + rows; m++) {
            memset(scratch, 0, padded * sizeof(float));
            for (uint64_t s = 0; s < plan->splits && s * plan->split_keys <= m; s++) {
                const uint64_t begin = s * plan->split_keys;
                const float *from = slices + forja__attention_slice(plan, s) +
                                    (r * (x->query_length - begin) + m - begin) * padded;
                for (uint64_t d = 0; d < padded; d += LANES)
                    store(scratch + d, load(scratch + d) + load(from + d));
            }
            store_row(plan->backward->dq, x->dtype,
                      (batch * x->query_length + m) * plan->backward->dq_row_stride +
                          (g * plan->group + r) * x->head_dim,
                      scratch, x->head_dim, x->scale);
        }
}
