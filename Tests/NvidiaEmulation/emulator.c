// Work-items as fibers, warps, groups; OpenCL's functions; guarded memory.
#define _GNU_SOURCE
#include "warp.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// ── Work-items ───────────────────────────────────────────────────────────────────────────────────

static const char *const stop_names[] = {
    "nothing", "the end",   "a barrier",        "a copy", "a store",          "ldmatrix",
    "mma",     "shfl.sync", "vote.sync.ballot", "wgmma",  "wgmma.wait_group",
};

enum { STACK_BYTES = 64 << 10 };

work_item items[MAX_WORK_ITEMS];
uint32_t current;
emulated_order order;
static uint32_t item_count, group_id[3], group_counts[3];
static jmp_buf scheduler;
static ucontext_t scheduler_start;
static void (*kernel_body)(const void *);
static const void *kernel_arguments;

void fail(uint32_t item, const char *format, ...) {
    va_list list;
    va_start(list, format);
    fprintf(stderr, "error: group (%u, %u, %u), warp %u, lane %u: ", group_id[0], group_id[1],
            group_id[2], item / LANES, item % LANES);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}

void wait_at(stop stop) {
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
    for (uint32_t i = 0; i < item_count; i += LANES)
        check_products(i / LANES);
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
