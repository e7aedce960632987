// A record of every word of local memory: finds races, reads of nothing, and bank conflicts.
#include "warp.h"

/// Local memory is static here, at most 64 KB in one piece, so the low bits of a word's address are
/// its place in this table.
enum { WORDS = 16384 };

static word words[WORDS];
uint32_t epoch, lowest;

void forget_local_memory(void) {
    for (uint32_t i = 0; i < WORDS; i++)
        words[i] = (word){NOBODY, NOBODY, NOBODY, 0, 0, 0, false};
    epoch = 1;
    lowest = UINT32_MAX;
}

word *word_at(uint32_t address) {
    return &words[address / 4 % WORDS];
}

static word *cell_at(uint32_t address, uint32_t item) {
    if (address % 16 != 0)
        fail(item, "local address %#x is not on a multiple of 16", address);
    return word_at(address);
}

void check_write(uint32_t address, uint32_t item) {
    word *w = cell_at(address, item);
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

void note_copy(uint32_t address, uint32_t item) {
    word *w = cell_at(address, item);
    for (int i = 0; i < 4; i++)
        w[i].copier = (int32_t)item;
}

void note_write(uint32_t address, uint32_t item) {
    word *w = cell_at(address, item);
    if (address < lowest)
        lowest = address;
    for (int i = 0; i < 4; i++, w++) {
        w->copier = NOBODY;
        w->is_fenced = false;
        w->writer = (int32_t)item;
        w->written = epoch;
    }
}

void check_read(uint32_t address, uint32_t item) {
    word *w = cell_at(address, item);
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

void *local(uint32_t address) {
    return (void *)(uintptr_t)address;
}

void check_banks(uint32_t first, const char *operation) {
    uint32_t seen = 0;
    for (uint32_t lane = first; lane < first + 8; lane++) {
        uint32_t banks = 1u << (items[lane].address / 16 % 8);
        if (seen & banks)
            fail(lane, "%s: shares banks with another of 8 lanes", operation);
        seen |= banks;
    }
}

void fence_writes(uint32_t item) {
    for (uint32_t i = 0; i < WORDS; i++)
        if (words[i].writer == (int32_t)item)
            words[i].is_fenced = true;
}
