// The instructions of nv_mma_ptx.cl.
#include "warp.h"

#include <string.h>

// ── Warp-wide operations, for the 32 work-items from `first` ─────────────────────────────────────

static void do_copy(const copy *x) {
    memset(local(x->to), 0, 16);
    if (x->bytes != 0)
        memcpy(local(x->to), x->from, x->bytes);
}

void start_copies(uint32_t first) {
    for (uint32_t i = first; i < first + LANES; i++) {
        work_item *x = &items[i];
        if ((uintptr_t)x->from % 16 != 0)
            fail(i, "copies from %p, which is not on a multiple of 16", x->from);
        if (x->bytes > 16)
            fail(i, "copies %u bytes into a cell", x->bytes);
        if (x->copy_count == MAX_COPIES)
            fail(i, "has %d copies under way", MAX_COPIES);
        check_write(x->address, i);
        note_copy(x->address, i);
        copy *next = &x->copies[x->copy_count++];
        *next = (copy){x->address, x->bytes, x->from, false, 0};
        if (order == EMULATED_FIRST_TO_LAST)
            do_copy(next);
    }
    for (uint32_t i = 0; i < LANES; i += 8)
        check_banks(first + i, "copy");
}

void store_cells(uint32_t first) {
    for (uint32_t i = first; i < first + LANES; i++) {
        check_write(items[i].address, i);
        note_write(items[i].address, i);
        memcpy(local(items[i].address), items[i].values, 16);
    }
}

void load_matrices(uint32_t first) {
    const uint16_t *rows[LANES];
    for (uint32_t i = 0; i < LANES; i++) {
        check_read(items[first + i].address, first + i);
        rows[i] = local(items[first + i].address);
    }
    for (uint32_t i = 0; i < LANES; i += 8)
        check_banks(first + i, "ldmatrix");
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t matrix = 0; matrix < 4; matrix++) {
            uint32_t g = lane / 4, t = lane % 4, m = 8 * matrix;
            bool is_transposed = items[first + lane].flag;
            uint32_t low = is_transposed ? rows[m + 2 * t][g] : rows[m + g][2 * t];
            uint32_t high = is_transposed ? rows[m + 2 * t + 1][g] : rows[m + g][2 * t + 1];
            items[first + lane].out[matrix] = low | high << 16;
        }
}

double widened(uint32_t pair, int upper) {
    uint32_t bits = upper ? pair & 0xffff0000u : pair << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void multiply(uint32_t first) {
    double a[16][16], b[16][8];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        const work_item *x = &items[first + lane];
        uint32_t g = lane / 4, t = lane % 4;
        for (uint32_t e = 0; e < 8; e++) // register e / 2 holds row block e / 2 % 2, k block e / 4
            a[g + 8 * (e / 2 % 2)][2 * t + 8 * (e / 4) + e % 2] = widened(x->a[e / 2], e % 2);
        for (uint32_t e = 0; e < 4; e++)
            b[2 * t + 8 * (e / 2) + e % 2][g] = widened(x->b[e / 2], e % 2);
    }
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t e = 0; e < 4; e++) {
            uint32_t row = lane / 4 + 8 * (e / 2), column = 2 * (lane % 4) + e % 2;
            double sum = items[first + lane].sums[e];
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[k][column];
            items[first + lane].sums[e] = (float)sum;
        }
}

void exchange(uint32_t first) {
    uint32_t values[LANES];
    for (uint32_t lane = 0; lane < LANES; lane++)
        values[lane] = items[first + (lane ^ items[first + lane].mask)].values[0];
    for (uint32_t lane = 0; lane < LANES; lane++)
        items[first + lane].values[1] = values[lane];
}

void ballot(uint32_t first) {
    uint32_t lanes = 0;
    for (uint32_t lane = 0; lane < LANES; lane++)
        lanes |= (uint32_t)(items[first + lane].flag != 0) << lane;
    for (uint32_t lane = 0; lane < LANES; lane++)
        items[first + lane].values[1] = lanes;
}

// ── The functions that nv_mma_ptx.cl calls ───────────────────────────────────────────────────────

void emulated_copy_start(uint32_t to, const void *from, uint32_t bytes) {
    work_item *x = &items[current];
    x->address = to;
    x->from = from;
    x->bytes = bytes;
    wait_at(STOP_COPY);
}

void emulated_copy_commit(void) {
    work_item *x = &items[current];
    for (uint32_t i = 0; i < x->copy_count; i++)
        if (!x->copies[i].is_committed) {
            x->copies[i].is_committed = true;
            x->copies[i].group = x->group_count;
        }
    x->group_count++;
}

void emulated_copy_wait(uint32_t groups_left) {
    work_item *x = &items[current];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->copy_count; i++) {
        copy *c = &x->copies[i];
        if (!c->is_committed || c->group + groups_left >= x->group_count) {
            x->copies[kept++] = *c;
            continue;
        }
        if (order == EMULATED_LAST_TO_FIRST)
            do_copy(c);
        note_write(c->to, current);
    }
    x->copy_count = kept;
}

void emulated_store_cell(uint32_t to, uint32_t x, uint32_t y, uint32_t z, uint32_t w) {
    items[current].address = to;
    memcpy(items[current].values, (uint32_t[]){x, y, z, w}, 16);
    wait_at(STOP_STORE);
}

void emulated_load_matrices(uint32_t *out, uint32_t cell, int is_transposed) {
    items[current].out = out;
    items[current].address = cell;
    items[current].flag = is_transposed;
    wait_at(STOP_LOAD_MATRICES);
}

void emulated_multiply(float *sums, const uint32_t *a, uint32_t b_low, uint32_t b_high) {
    items[current].sums = sums;
    items[current].a = a;
    items[current].b[0] = b_low;
    items[current].b[1] = b_high;
    wait_at(STOP_MULTIPLY);
}

uint32_t emulated_exchange(uint32_t x, uint32_t mask) {
    items[current].values[0] = x;
    items[current].mask = mask;
    wait_at(STOP_EXCHANGE);
    return items[current].values[1];
}

uint32_t emulated_ballot(int predicate) {
    items[current].flag = predicate;
    wait_at(STOP_BALLOT);
    return items[current].values[1];
}
