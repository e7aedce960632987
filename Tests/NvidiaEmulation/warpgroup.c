// The instructions of matmul_nv_wgmma.cl. A warp computes its 16 of a warpgroup's 64 rows; the
// operands may be read from local memory at any time until a wait.
#include "warp.h"

#include <string.h>

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
                word *w = word_at(address);
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

void start_product(uint32_t first) {
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

void finish_products(uint32_t first) {
    const uint32_t warp = first / LANES;
    for (uint32_t i = 0; i < product_counts[warp]; i++) {
        if (order == EMULATED_LAST_TO_FIRST)
            do_product(&products[warp][i], warp);
        mark_operands(&products[warp][i], warp, -1);
    }
    product_counts[warp] = 0;
}

void check_products(uint32_t warp) {
    if (product_counts[warp] != 0)
        fail(warp * LANES, "ends with %u products of wgmma under way", product_counts[warp]);
}

// ── The functions that matmul_nv_wgmma.cl calls ──────────────────────────────────────────────────

void emulated_proxy_fence(void) {
    fence_writes(current);
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
