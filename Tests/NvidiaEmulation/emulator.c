#define _GNU_SOURCE
#include "emulator.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

enum { LANES = 32, MAX_WORK_ITEMS = 512, STACK_BYTES = 64 << 10, MAX_COPIES = 256 };

// ── Work-items ───────────────────────────────────────────────────────────────────────────────────

/// What a work-item waits at.
typedef enum stop {
    STOP_NONE,
    STOP_DONE,
    STOP_BARRIER,
    STOP_COPY,
    STOP_STORE,
    STOP_LOAD_MATRICES,
    STOP_MULTIPLY,
    STOP_EXCHANGE,
    STOP_BALLOT,
    STOP_WARPGROUP_MULTIPLY,
    STOP_WARPGROUP_WAIT,
} stop;

static const char *const stop_names[] = {
    "nothing", "the end",   "a barrier",        "a copy", "a store",          "ldmatrix",
    "mma",     "shfl.sync", "vote.sync.ballot", "wgmma",  "wgmma.wait_group",
};

typedef struct copy {
    uint32_t to, bytes;
    const void *from;
    bool is_committed;
    uint32_t group;
} copy;

typedef struct work_item {
    jmp_buf place;
    ucontext_t start;
    void *stack;
    bool has_started;
    stop stop;
    /// Operands of the operation it waits at.
    uint32_t address, bytes, mask, b[2], values[4];
    const uint32_t *a;
    float *sums;
    uint32_t *out;
    const void *from;
    int flag;
    uint64_t descriptors[2];
    bool is_k_major[2];
    /// Copies not yet waited for.
    copy copies[MAX_COPIES];
    uint32_t copy_count, group_count;
} work_item;

static work_item items[MAX_WORK_ITEMS];
static uint32_t item_count, current, group_id[3], group_counts[3];
static emulated_order order;
static jmp_buf scheduler;
static ucontext_t scheduler_start;
static void (*kernel_body)(const void *);
static const void *kernel_arguments;

[[noreturn]] static void fail(uint32_t item, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "error: group (%u, %u, %u), warp %u, lane %u: ", group_id[0], group_id[1],
            group_id[2], item / LANES, item % LANES);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

/// From a work-item: back to the scheduler, until the operation is done.
static void wait_at(stop stop) {
    items[current].stop = stop;
    if (_setjmp(items[current].place) == 0)
        _longjmp(scheduler, 1);
}

static void run_fiber(void) {
    kernel_body(kernel_arguments);
    wait_at(STOP_DONE);
}

static void resume(uint32_t item) {
    current = item;
    if (_setjmp(scheduler) != 0)
        return;
    if (items[item].has_started)
        _longjmp(items[item].place, 1);
    items[item].has_started = true;
    swapcontext(&scheduler_start, &items[item].start);
}

static void prepare(uint32_t item) {
    work_item *x = &items[item];
    if (!x->stack)
        x->stack = malloc(STACK_BYTES);
    x->has_started = false;
    x->stop = STOP_NONE;
    x->copy_count = x->group_count = 0;
    getcontext(&x->start);
    x->start.uc_stack.ss_sp = x->stack;
    x->start.uc_stack.ss_size = STACK_BYTES;
    x->start.uc_link = NULL;
    makecontext(&x->start, run_fiber, 0);
}

// ── Local memory: who touched which word, and when ───────────────────────────────────────────────

/// Local memory is static here, at most 64 KB in one piece, so the low bits of a word's address are
/// its place in this table.
enum { WORDS = 16384, NOBODY = -1, A_WARP = -2 };

typedef struct word {
    int32_t writer, copier; /// work-items
    int32_t reader;         /// a work-item or A_WARP
    uint32_t written, read; /// epochs; 0 is never
    uint32_t unfinished;    /// reads by wgmma that nobody has waited for
    bool is_fenced;         /// what was written is visible to wgmma
} word;

static word words[WORDS];
static uint32_t epoch;  // counts barriers of a group
static uint32_t lowest; // address written in a group

static void forget_local_memory(void) {
    for (uint32_t i = 0; i < WORDS; i++)
        words[i] = (word){NOBODY, NOBODY, NOBODY, 0, 0, 0, false};
    epoch = 1;
    lowest = UINT32_MAX;
}

static word *word_at(uint32_t address, uint32_t item) {
    if (address % 16 != 0)
        fail(item, "local address %#x is not on a multiple of 16", address);
    return &words[address / 4 % WORDS];
}

/// A cell is about to be written, or a copy into it to be started.
static void check_write(uint32_t address, uint32_t item) {
    word *w = word_at(address, item);
    for (int i = 0; i < 4; i++, w++) {
        if (w->copier != NOBODY)
            fail(item, "writes %#x, into which work-item %d is still copying", address, w->copier);
        if (w->written == epoch && w->writer != (int32_t)item)
            fail(item, "writes %#x, which work-item %d wrote since the last barrier", address,
                 w->writer);
        if (w->unfinished != 0)
            fail(item, "writes %#x, which wgmma may still read", address);
        if (w->read == epoch && w->reader != (int32_t)item)
            fail(item, "writes %#x, which was read since the last barrier", address);
    }
}

static void note_write(uint32_t address, uint32_t item) {
    word *w = word_at(address, item);
    if (address < lowest)
        lowest = address;
    for (int i = 0; i < 4; i++, w++) {
        w->copier = NOBODY;
        w->is_fenced = false;
        w->writer = (int32_t)item;
        w->written = epoch;
    }
}

/// A warp reads the cell that `item` names.
static void check_read(uint32_t address, uint32_t item) {
    word *w = word_at(address, item);
    for (int i = 0; i < 4; i++, w++) {
        if (w->copier != NOBODY)
            fail(item, "reads %#x, into which work-item %d is still copying", address, w->copier);
        if (w->written == 0)
            fail(item, "reads %#x, which nobody wrote", address);
        if (w->written == epoch)
            fail(item, "reads %#x, which work-item %d wrote since the last barrier", address,
                 w->writer);
        w->read = epoch;
        w->reader = A_WARP;
    }
}

static void *local(uint32_t address) {
    return (void *)(uintptr_t)address;
}

/// The 8 cells that lanes first … first + 7 name must lie on different banks.
static void check_banks(uint32_t first, const char *operation) {
    uint32_t seen = 0;
    for (uint32_t lane = first; lane < first + 8; lane++) {
        uint32_t banks = 1u << (items[lane].address / 16 % 8);
        if (seen & banks)
            fail(lane, "%s: shares banks with another of 8 lanes", operation);
        seen |= banks;
    }
}

// ── Warp-wide operations, for the 32 work-items from `first` ─────────────────────────────────────

static void do_copy(const copy *x) {
    memset(local(x->to), 0, 16);
    if (x->bytes != 0)
        memcpy(local(x->to), x->from, x->bytes);
}

static void start_copies(uint32_t first) {
    for (uint32_t i = first; i < first + LANES; i++) {
        work_item *x = &items[i];
        if ((uintptr_t)x->from % 16 != 0)
            fail(i, "copies from %p, which is not on a multiple of 16", x->from);
        if (x->bytes > 16)
            fail(i, "copies %u bytes into a cell", x->bytes);
        if (x->copy_count == MAX_COPIES)
            fail(i, "has %d copies under way", MAX_COPIES);
        check_write(x->address, i);
        word *w = word_at(x->address, i);
        for (int k = 0; k < 4; k++)
            w[k].copier = (int32_t)i;
        copy *next = &x->copies[x->copy_count++];
        *next = (copy){x->address, x->bytes, x->from, false, 0};
        if (order == EMULATED_FIRST_TO_LAST)
            do_copy(next);
    }
    for (uint32_t i = 0; i < LANES; i += 8)
        check_banks(first + i, "copy");
}

static void store_cells(uint32_t first) {
    for (uint32_t i = first; i < first + LANES; i++) {
        check_write(items[i].address, i);
        note_write(items[i].address, i);
        memcpy(local(items[i].address), items[i].values, 16);
    }
}

static void load_matrices(uint32_t first) {
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

static double widened(uint32_t pair, int upper) {
    uint32_t bits = upper ? pair & 0xffff0000u : pair << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void multiply(uint32_t first) {
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

static void exchange(uint32_t first) {
    uint32_t values[LANES];
    for (uint32_t lane = 0; lane < LANES; lane++)
        values[lane] = items[first + (lane ^ items[first + lane].mask)].values[0];
    for (uint32_t lane = 0; lane < LANES; lane++)
        items[first + lane].values[1] = values[lane];
}

static void ballot(uint32_t first) {
    uint32_t lanes = 0;
    for (uint32_t lane = 0; lane < LANES; lane++)
        lanes |= (uint32_t)(items[first + lane].flag != 0) << lane;
    for (uint32_t lane = 0; lane < LANES; lane++)
        items[first + lane].values[1] = lanes;
}

// ── wgmma: the warp's 16 of 64 rows; the operands are read from local memory at any time until a
// wait ─

enum { MAX_PRODUCTS = 8, WARPGROUP_N = 128 };

typedef struct product {
    uint64_t descriptors[2]; /// of A and B
    bool is_k_major[2];
} product;

static product products[MAX_WORK_ITEMS / LANES][MAX_PRODUCTS]; // not waited for, of each warp
static uint32_t product_counts[MAX_WORK_ITEMS / LANES];

/// Where the element at (line, k) of an operand lies: "Matrix descriptor" and "Strides" in the PTX
/// ISA's section on wgmma. Swizzles 1 (lines of 128 bytes) and 2 (64 bytes) permute cells by XOR.
static uint32_t element_address(uint64_t descriptor, bool is_k_major, uint32_t line, uint32_t k) {
    const uint32_t start = (uint32_t)(descriptor & 0x3fff) << 4;
    const uint32_t leading = (uint32_t)(descriptor >> 16 & 0x3fff) << 4;
    const uint32_t stride = (uint32_t)(descriptor >> 32 & 0x3fff) << 4;
    const uint32_t swizzle = (uint32_t)(descriptor >> 62), line_bytes = swizzle == 1 ? 128 : 64;
    // Descriptors hold 18 bits of an address.
    uint32_t address = (lowest & ~0x3ffffu) | start;
    if (address < lowest)
        address += 0x40000;
    address += is_k_major
                   ? line / 64 * leading + k / 8 * stride + k % 8 * line_bytes + line % 64 * 2
                   : line / 8 * stride + line % 8 * line_bytes + k * 2;
    return address ^ (address >> 3 & (line_bytes - 16));
}

/// An element of A (operand 0, row of the warp's 16) or of B (operand 1).
static uint32_t operand_address(const product *x, uint32_t warp, int operand, uint32_t line,
                                uint32_t k) {
    return element_address(x->descriptors[operand], x->is_k_major[operand],
                           operand == 0 ? warp % 4 * 16 + line : line, k);
}

static double operand_value(const product *x, uint32_t warp, int operand, uint32_t line,
                            uint32_t k) {
    return widened(*(const uint16_t *)local(operand_address(x, warp, operand, line, k)), 0);
}

/// Marks what the product reads, or, when it is done, no longer reads.
static void mark_operands(const product *x, uint32_t warp, int change) {
    for (int operand = 0; operand < 2; operand++)
        for (uint32_t line = 0; line < (operand == 0 ? 16 : WARPGROUP_N); line++)
            for (uint32_t k = 0; k < 16; k++) {
                const uint32_t address = operand_address(x, warp, operand, line, k);
                word *w = &words[address / 4 % WORDS];
                if (change > 0 && w->copier != NOBODY)
                    fail(warp * LANES, "wgmma reads %#x, which is still being copied", address);
                if (change > 0 && (w->written == 0 || w->written == epoch))
                    fail(warp * LANES, "wgmma reads %#x, not written before a barrier", address);
                if (change > 0 && !w->is_fenced)
                    fail(warp * LANES, "wgmma reads %#x, which no fence.proxy.async made visible",
                         address);
                w->unfinished += (uint32_t)change;
            }
}

static void do_product(const product *x, uint32_t warp) {
    static double a[16][16], b[WARPGROUP_N][16];
    for (uint32_t k = 0; k < 16; k++) {
        for (uint32_t row = 0; row < 16; row++)
            a[row][k] = operand_value(x, warp, 0, row, k);
        for (uint32_t column = 0; column < WARPGROUP_N; column++)
            b[column][k] = operand_value(x, warp, 1, column, k);
    }
    for (uint32_t lane = 0; lane < LANES; lane++)
        for (uint32_t i = 0; i < WARPGROUP_N / 2; i++) {
            const uint32_t row = lane / 4 + i / 2 % 2 * 8;
            const uint32_t column = i / 4 * 8 + lane % 4 * 2 + i % 2;
            float *sums = items[warp * LANES + lane].sums;
            double sum = sums[i];
            for (int k = 0; k < 16; k++)
                sum += a[row][k] * b[column][k];
            sums[i] = (float)sum;
        }
}

static void start_product(uint32_t first) {
    const work_item *x = &items[first];
    const uint32_t warp = first / LANES;
    for (uint32_t i = first; i < first + LANES; i++)
        if (memcmp(items[i].descriptors, x->descriptors, sizeof x->descriptors) != 0)
            fail(i, "wgmma: other descriptors than lane 0");
    if (product_counts[warp] == MAX_PRODUCTS)
        fail(first, "has %d products under way", MAX_PRODUCTS);
    product *next = &products[warp][product_counts[warp]++];
    memcpy(next->descriptors, x->descriptors, sizeof next->descriptors);
    memcpy(next->is_k_major, x->is_k_major, sizeof next->is_k_major);
    mark_operands(next, warp, 1);
    if (order == EMULATED_FIRST_TO_LAST)
        do_product(next, warp);
}

static void finish_products(uint32_t first) {
    const uint32_t warp = first / LANES;
    for (uint32_t i = 0; i < product_counts[warp]; i++) {
        if (order == EMULATED_LAST_TO_FIRST)
            do_product(&products[warp][i], warp);
        mark_operands(&products[warp][i], warp, -1);
    }
    product_counts[warp] = 0;
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

void emulated_proxy_fence(void) {
    for (uint32_t i = 0; i < WORDS; i++)
        if (words[i].writer == (int32_t)current)
            words[i].is_fenced = true;
}

void emulated_warpgroup_multiply(float *sums, uint64_t a, uint64_t b, int a_k_major,
                                 int b_k_major) {
    work_item *x = &items[current];
    x->sums = sums;
    x->descriptors[0] = a;
    x->descriptors[1] = b;
    x->is_k_major[0] = a_k_major;
    x->is_k_major[1] = b_k_major;
    wait_at(STOP_WARPGROUP_MULTIPLY);
}

void emulated_warpgroup_commit(void) {
    // Every wait is for all groups.
}

void emulated_warpgroup_wait(uint32_t groups_left) {
    if (groups_left != 0)
        fail(current, "waits for all but %u groups of wgmma; only 0 is emulated", groups_left);
    wait_at(STOP_WARPGROUP_WAIT);
}

// ── OpenCL's own functions, by the names that clang gives them ───────────────────────────────────

#define BUILTIN(name) __asm__(name)
size_t builtin_local_id(uint32_t dimension) BUILTIN("_Z12get_local_idj");
size_t builtin_local_id(uint32_t dimension) {
    return dimension == 0 ? current : 0;
}
size_t builtin_group_id(uint32_t dimension) BUILTIN("_Z12get_group_idj");
size_t builtin_group_id(uint32_t dimension) {
    return group_id[dimension];
}
size_t builtin_num_groups(uint32_t dimension) BUILTIN("_Z14get_num_groupsj");
size_t builtin_num_groups(uint32_t dimension) {
    return group_counts[dimension];
}
void builtin_barrier(uint32_t flags) BUILTIN("_Z7barrierj");
void builtin_barrier(uint32_t flags) {
    (void)flags;
    wait_at(STOP_BARRIER);
}
float builtin_fma(float a, float b, float c) BUILTIN("_Z3fmafff");
float builtin_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}
float builtin_exp2(float x) BUILTIN("_Z4exp2f");
float builtin_exp2(float x) {
    return exp2f(x);
}
float builtin_fmax(float x, float y) BUILTIN("_Z4fmaxff");
float builtin_fmax(float x, float y) {
    return fmaxf(x, y);
}
uint32_t builtin_clz(uint32_t x) BUILTIN("_Z3clzj");
uint32_t builtin_clz(uint32_t x) {
    return x ? (uint32_t)__builtin_clz(x) : 32;
}
float builtin_log2(float x) BUILTIN("_Z4log2f");
float builtin_log2(float x) {
    return log2f(x);
}
#define DEFINE_MIN_MAX(type, letter)                                                               \
    type builtin_min_##letter(type a, type b) BUILTIN("_Z3min" #letter #letter);                   \
    type builtin_min_##letter(type a, type b) {                                                    \
        return a < b ? a : b;                                                                      \
    }                                                                                              \
    type builtin_max_##letter(type a, type b) BUILTIN("_Z3max" #letter #letter);                   \
    type builtin_max_##letter(type a, type b) {                                                    \
        return a > b ? a : b;                                                                      \
    }
DEFINE_MIN_MAX(int32_t, i)
DEFINE_MIN_MAX(uint32_t, j)
DEFINE_MIN_MAX(int64_t, l)
DEFINE_MIN_MAX(uint64_t, m)
int32_t builtin_clamp(int32_t x, int32_t low, int32_t high) BUILTIN("_Z5clampiii");
int32_t builtin_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

// ── Groups ───────────────────────────────────────────────────────────────────────────────────────

static void do_operation(stop stop, uint32_t first) {
    switch (stop) {
    case STOP_COPY:
        start_copies(first);
        return;
    case STOP_STORE:
        store_cells(first);
        return;
    case STOP_LOAD_MATRICES:
        load_matrices(first);
        return;
    case STOP_MULTIPLY:
        multiply(first);
        return;
    case STOP_EXCHANGE:
        exchange(first);
        return;
    case STOP_BALLOT:
        ballot(first);
        return;
    case STOP_WARPGROUP_MULTIPLY:
        start_product(first);
        return;
    case STOP_WARPGROUP_WAIT:
        finish_products(first);
        return;
    default:
        return;
    }
}

/// Runs a warp to its next barrier or its end, and says which.
static stop run_warp(uint32_t first) {
    for (;;) {
        for (uint32_t i = 0; i < LANES; i++)
            resume(first + (order == EMULATED_FIRST_TO_LAST ? i : LANES - 1 - i));
        stop stop = items[first].stop;
        for (uint32_t i = first; i < first + LANES; i++)
            if (items[i].stop != stop)
                fail(i, "is at %s, lane 0 at %s", stop_names[items[i].stop], stop_names[stop]);
        if (stop == STOP_DONE || stop == STOP_BARRIER)
            return stop;
        do_operation(stop, first);
    }
}

static void run_group(void) {
    forget_local_memory();
    for (uint32_t i = 0; i < item_count; i++)
        prepare(i);
    for (;;) {
        stop all = STOP_NONE;
        for (uint32_t i = 0; i < item_count; i += LANES) {
            uint32_t first = order == EMULATED_FIRST_TO_LAST ? i : item_count - LANES - i;
            stop stop = run_warp(first);
            if (all != STOP_NONE && stop != all)
                fail(first, "is at %s, other warps at %s", stop_names[stop], stop_names[all]);
            all = stop;
        }
        if (all == STOP_DONE)
            break;
        epoch++;
    }
    for (uint32_t i = 0; i < item_count; i++)
        for (uint32_t k = 0; k < items[i].copy_count; k++)
            fail(i, "ends with a copy into %#x under way", items[i].copies[k].to);
}

void emulate(void (*kernel)(const void *), const void *arguments, const uint32_t groups[3],
             uint32_t work_items, emulated_order run_order) {
    kernel_body = kernel;
    kernel_arguments = arguments;
    item_count = work_items;
    order = run_order;
    memcpy(group_counts, groups, sizeof group_counts);
    if (work_items % LANES != 0 || work_items > MAX_WORK_ITEMS) {
        fprintf(stderr, "error: %u work-items; use a multiple of 32 up to %d\n", work_items,
                MAX_WORK_ITEMS);
        exit(1);
    }
    for (group_id[2] = 0; group_id[2] < groups[2]; group_id[2]++)
        for (group_id[1] = 0; group_id[1] < groups[1]; group_id[1]++)
            for (group_id[0] = 0; group_id[0] < groups[0]; group_id[0]++)
                run_group();
}

// ── Guarded memory ───────────────────────────────────────────────────────────────────────────────

static size_t guarded_bytes(size_t bytes, size_t *page) {
    *page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + *page - 1) / *page * *page;
}

void *guarded_alloc(size_t bytes) {
    size_t page, size = guarded_bytes(bytes, &page);
    char *start =
        mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED || mprotect(start + size, page, PROT_NONE) != 0) {
        perror("guarded_alloc");
        exit(1);
    }
    return start + (size - bytes) / 16 * 16;
}

void guarded_free(void *memory, size_t bytes) {
    size_t page, size = guarded_bytes(bytes, &page);
    munmap((char *)memory - (size - bytes) / 16 * 16, size + page);
}
