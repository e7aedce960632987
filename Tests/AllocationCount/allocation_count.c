#ifndef _GNU_SOURCE
#define _GNU_SOURCE // dl_iterate_phdr, dladdr
#endif

#include "allocation_count.h"

#if defined(__linux__) && defined(__GLIBC__)

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unwind.h>

// glibc's own entry points, which malloc and its family are names of.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

// ── Libraries that were there from the start ─────────────────────────────────────────────────────

enum { LIBRARY_LIMIT = 256, STACK_LIMIT = 48 };

static struct range {
    uintptr_t start, end;
} libraries[LIBRARY_LIMIT];
static size_t library_count;

static int add_library(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    struct range range = {UINTPTR_MAX, 0};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        const uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        const uintptr_t end = start + info->dlpi_phdr[i].p_memsz;
        range.start = start < range.start ? start : range.start;
        range.end = end > range.end ? end : range.end;
    }
    if (library_count < LIBRARY_LIMIT)
        libraries[library_count++] = range;
    return 0;
}

// Runs before main, and so before anything opens a library.
__attribute__((constructor)) static void list_libraries(void) {
    dl_iterate_phdr(add_library, NULL);
}

static bool was_there(uintptr_t address) {
    for (size_t i = 0; i < library_count; i++)
        if (address >= libraries[i].start && address < libraries[i].end)
            return true;
    return false;
}

// ── Counting ─────────────────────────────────────────────────────────────────────────────────────

static _Thread_local bool is_counting;
static _Thread_local allocation_count counts;
static _Thread_local struct stack {
    uintptr_t frames[STACK_LIMIT];
    size_t count;
} first;

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *argument) {
    struct stack *stack = argument;
    const uintptr_t address = _Unwind_GetIP(context);
    if (stack->count == STACK_LIMIT || address == 0) // 0: the stack's outer end
        return _URC_END_OF_STACK;
    stack->frames[stack->count++] = address;
    return _URC_NO_REASON;
}

// Kept out of line, so that the stack's first frames are this function and malloc.
__attribute__((noinline)) static void count(size_t size) {
    is_counting = false; // whatever the unwinder allocates
    struct stack stack = {.count = 0};
    _Unwind_Backtrace(add_frame, &stack);
    bool is_drivers = false;
    for (size_t i = 0; i < stack.count; i++)
        is_drivers = is_drivers || !was_there(stack.frames[i]);
    if (is_drivers) {
        counts.driver++;
    } else {
        if (counts.own == 0)
            first = stack;
        counts.own++;
        counts.own_bytes += size;
    }
    is_counting = true;
}

bool allocation_count_is_available(void) { return library_count < LIBRARY_LIMIT; }

void allocation_count_start(void) {
    counts = (allocation_count){0};
    first.count = 0;
    is_counting = true;
}

allocation_count allocation_count_stop(void) {
    is_counting = false;
    return counts;
}

void allocation_count_describe(void) {
    for (size_t i = 2; i < first.count; i++) {
        Dl_info info = {0};
        const bool is_known = dladdr((void *)first.frames[i], &info) != 0;
        fprintf(stderr, "  %s  %s + 0x%zx\n", is_known && info.dli_sname ? info.dli_sname : "?",
                is_known ? info.dli_fname : "?",
                is_known ? first.frames[i] - (uintptr_t)info.dli_fbase : first.frames[i]);
    }
}

// ── The family ───────────────────────────────────────────────────────────────────────────────────

void *malloc(size_t size) {
    if (is_counting)
        count(size);
    return __libc_malloc(size);
}

void *calloc(size_t count_of, size_t size) {
    if (is_counting)
        count(count_of * size);
    return __libc_calloc(count_of, size);
}

void *realloc(void *old, size_t size) {
    if (is_counting)
        count(size);
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
    if (is_counting)
        count(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    if (is_counting)
        count(size);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
        return EINVAL;
    if (is_counting)
        count(size);
    void *bytes = __libc_memalign(alignment, size);
    if (!bytes)
        return ENOMEM;
    *out = bytes;
    return 0;
}

#else

bool allocation_count_is_available(void) { return false; }
void allocation_count_start(void) {}
allocation_count allocation_count_stop(void) { return (allocation_count){0}; }
void allocation_count_describe(void) {}

#endif
