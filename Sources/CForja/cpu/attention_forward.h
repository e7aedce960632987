/// The forward pass of attention over tiles; included by the file of each instruction set.
///
/// Scores are kept transposed, [keys, rows], so that maxima and sums over the keys of a row run
/// down the vectors and never across lanes. Q is scaled by scale · log2 e, so that exponentials are
/// powers of two.

/// Below every score that a finite model makes, above MASKED: a tile whose keys are all masked for
/// a row leaves exp2(MASKED − NO_MAXIMUM) = 0 behind, never NaN.
#define NO_MAXIMUM (-1e30f)
#define MASKED (-FLT_MAX)

/// scores[keys, rows] becomes exp2(score − maximum); `maximum`, `sum` [TILE] are carried on, and
/// `factor` [TILE] is what earlier tiles shrink by.
static void softmax_tile(float *score, uint64_t keys, int64_t first_key, const visibility *masked,
                         float *maximum, float *sum, float *factor) {
    enum { COLUMNS = 4 };
    for (uint64_t m = 0; m < TILE; m += COLUMNS * LANES) {
        vec high[COLUMNS], total[COLUMNS];
        for (int v = 0; v < COLUMNS; v++)
            high[v] = load(maximum + m + v * LANES);
        if (masked) {
            ivec first[COLUMNS], last[COLUMNS];
            for (int v = 0; v < COLUMNS; v++) {
                memcpy(&first[v], masked->first + m + v * LANES, sizeof(ivec));
                memcpy(&last[v], masked->last + m + v * LANES, sizeof(ivec));
            }
            for (uint64_t j = 0; j < keys; j++) {
                ivec key = (ivec){0} + (int32_t)(first_key + (int64_t)j);
                for (int v = 0; v < COLUMNS; v++) {
                    float *at = score + j * TILE + m + v * LANES;
                    store(at,
                          choose((key >= first[v]) & (key <= last[v]), load(at), splat(MASKED)));
                }
            }
        }
        for (uint64_t j = 0; j < keys; j++)
            for (int v = 0; v < COLUMNS; v++) {
                vec s = load(score + j * TILE + m + v * LANES);
                high[v] = choose(s > high[v], s, high[v]);
            }
        for (int v = 0; v < COLUMNS; v++) {
            vec shrink = load(maximum + m + v * LANES) - high[v];
            exp2_flush(&shrink);
            store(factor + m + v * LANES, shrink);
            store(maximum + m + v * LANES, high[v]);
            total[v] = load(sum + m + v * LANES) * shrink;
        }
        for (uint64_t j = 0; j < keys; j++)
            for (int v = 0; v < COLUMNS; v++) {
                vec p = load(score + j * TILE + m + v * LANES) - high[v];
                exp2_flush(&p);
                total[v] += p;
                store(score + j * TILE + m + v * LANES, p);
            }
        for (int v = 0; v < COLUMNS; v++)
            store(sum + m + v * LANES, total[v]);
    }
}

/// One task: the query tile of `task_heads` heads that share a key-value head. Late tiles, which
/// see the most keys, come first.
static void attention_forward_task(const forja__attention_plan *plan, uint64_t index,
                                   float *scratch) {
    const forja_attention_args *x = plan->args;
    const uint64_t part = index % plan->head_tasks;
    const uint64_t g = index / plan->head_tasks % x->key_value_heads;
    const uint64_t batch = index / plan->head_tasks / x->key_value_heads % x->batch;
    const uint64_t tile =
        plan->query_tiles - 1 - index / plan->head_tasks / x->key_value_heads / x->batch;
    const uint64_t head = g * plan->group + part * plan->task_heads;
    const uint64_t heads = least(plan->task_heads, (g + 1) * plan->group - head);
    const uint64_t width = x->head_dim, padded = plan->padded;
    const uint64_t row = tile * TILE, rows = least(TILE, x->query_length - row);

    float *query = scratch;                     // [heads, padded, TILE]
    float *out = query + heads * padded * TILE; // [heads, TILE, padded]
    float *key = out + heads * TILE * padded;   // [TILE, padded]
    float *value = key + TILE * padded;         // [TILE, padded]
    float *score = value + TILE * padded;       // [TILE keys, TILE rows]
    float *maximum = score + TILE * TILE;       // [heads, TILE]
    float *sum = maximum + heads * TILE;        // [heads, TILE]
    float *factor = sum + heads * TILE;         // [TILE]

    visibility seen;
    find_visible(&seen, x, batch, row, rows);
    for (uint64_t h = 0; h < heads; h++) {
        load_rows(key, padded, x->q, x->dtype,
                  (batch * x->query_length + row) * x->q_row_stride + (head + h) * width,
                  x->q_row_stride, rows, width, x->scale * LOG2_E);
        transpose(query + h * padded * TILE, key, rows, padded);
        for (uint64_t m = 0; m < TILE; m++) {
            maximum[h * TILE + m] = NO_MAXIMUM;
            sum[h * TILE + m] = 0.0f;
        }
    }
    memset(out, 0, heads * TILE * padded * sizeof(float));

    for (int64_t j0 = seen.first_min / TILE * TILE; j0 <= seen.last_max; j0 += TILE) {
        const uint64_t keys = least(TILE, (uint64_t)(seen.last_max + 1 - j0));
        const uint64_t at = batch * x->key_length + (uint64_t)j0;
        load_rows(key, padded, x->k, x->dtype, at * x->k_row_stride + g * width, x->k_row_stride,
                  keys, width, 1.0f);
        load_rows(value, padded, x->v, x->dtype, at * x->v_row_stride + g * width, x->v_row_stride,
                  keys, width, 1.0f);
        const bool cut = j0 < seen.first_max || j0 + (int64_t)keys - 1 > seen.last_min;
        const int64_t diagonal = j0 - seen.base; // key j is hidden from rows before j + diagonal
        for (uint64_t h = 0; h < heads; h++) {
            for (uint64_t j = 0; j < keys; j += PRODUCT_ROWS) {
                int64_t begin = (int64_t)j + diagonal;
                begin = begin < 0 ? 0 : begin / LANES * LANES;
                if (begin < TILE)
                    product(score + j * TILE + begin, TILE, key + j * padded, padded, 1,
                            query + h * padded * TILE + begin, TILE, least(PRODUCT_ROWS, keys - j),
                            TILE - (uint64_t)begin, width, false);
            }
            softmax_tile(score, keys, j0, cut ? &seen : NULL, maximum + h * TILE, sum + h * TILE,
                         factor);
            float *rows_out = out + h * TILE * padded;
            for (uint64_t m = 0; m < rows; m++)
                if (factor[m] != 1.0f)
                    for (uint64_t d = 0; d < padded; d += LANES)
                        store(rows_out + m * padded + d,
                              load(rows_out + m * padded + d) * factor[m]);
            for (uint64_t m = 0; m < rows; m += PRODUCT_ROWS) {
                int64_t depth = (int64_t)m + PRODUCT_ROWS - diagonal;
                depth = depth < (int64_t)keys ? depth : (int64_t)keys;
                if (depth > 0)
                    product(rows_out + m * padded, padded, score + m, 1, TILE, value, padded,
                            least(PRODUCT_ROWS, rows - m), padded, (uint64_t)depth, true);
            }
        }
    }

    float *lse = forja__ptr(x->lse, float);
    for (uint64_t h = 0; h < heads; h++)
        for (uint64_t m = 0; m < rows; m++) {
            const float total = sum[h * TILE + m];
            store_row(x->out, x->dtype,
                      (batch * x->query_length + row + m) * x->out_row_stride + (head + h) * width,
                      out + (h * TILE + m) * padded, width, total == 0.0f ? 0.0f : 1.0f / total);
            lse[(batch * x->heads + head + h) * x->query_length + row + m] =
                (maximum[h * TILE + m] + log2f(total)) * LN_2;
        }
}
