/// What the files of the emulator share: work-items, what they wait at, and the record of local
/// memory.
#pragma once

#include "emulator.h"

#include <setjmp.h>
#include <stdbool.h>
#include <ucontext.h>

enum { LANES = 32, MAX_WORK_ITEMS = 512, MAX_COPIES = 256 };

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

extern work_item items[MAX_WORK_ITEMS];
extern uint32_t current; /// the work-item that runs
extern emulated_order order;

/// Names group, warp and lane of `item`, says what happened, and ends the program.
[[noreturn, gnu::format(printf, 2, 3)]] void fail(uint32_t item, const char *format, ...);
/// From a work-item: back to the scheduler, until the operation has been done for its warp.
void wait_at(stop stop);

/// ── instructions.c and warpgroup.c: an operation for the 32 work-items from `first`
/// ───────────────

void start_copies(uint32_t first);
void store_cells(uint32_t first);
void load_matrices(uint32_t first);
void multiply(uint32_t first);
void exchange(uint32_t first);
void ballot(uint32_t first);
void start_product(uint32_t first);
void finish_products(uint32_t first);
/// Fails where a warp has products that it did not wait for.
void check_products(uint32_t warp);
/// The lower or upper bf16 of a register.
double widened(uint32_t pair, int upper);

/// ── local_memory.c: who touched which word, and when
/// ──────────────────────────────────────────────

enum { NOBODY = -1, A_WARP = -2 };

typedef struct word {
    int32_t writer, copier; /// work-items
    int32_t reader;         /// a work-item or A_WARP
    uint32_t written, read; /// epochs; 0 is never
    uint32_t unfinished;    /// reads by wgmma that nobody has waited for
    bool is_fenced;         /// what was written is visible to wgmma
} word;

extern uint32_t epoch;  /// counts the barriers of a group, from 1
extern uint32_t lowest; /// address written in a group

void forget_local_memory(void);
/// The record of the word at `address`; those of a cell follow each other.
word *word_at(uint32_t address);
void *local(uint32_t address);
/// A cell is about to be written, or a copy into it to be started.
void check_write(uint32_t address, uint32_t item);
void note_copy(uint32_t address, uint32_t item);
void note_write(uint32_t address, uint32_t item);
/// A warp reads the cell that `item` names.
void check_read(uint32_t address, uint32_t item);
/// The 8 cells that lanes first … first + 7 name must lie on different banks.
void check_banks(uint32_t first, const char *operation);
/// What a work-item wrote becomes visible to wgmma.
void fence_writes(uint32_t item);
