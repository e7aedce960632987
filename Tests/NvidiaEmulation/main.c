// Runs the NVIDIA kernels on the host (emulator.h) and compares what they compute with float64.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "emulator.h"
#include "support.h"

size_t comparison_count, failure_count;

uint16_t to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

float from_bf16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float next_random(uint64_t *seed) {
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*seed >> 32) * 0x1p-31f;
}

void expect_near(const char *what, size_t place, double value, double expected, double bound) {
    comparison_count++;
    if (fabs(value - expected) <= bound)
        return;
    if (failure_count++ < 20)
        fprintf(stderr, "error: %s [%zu]: %.9g, expected %.9g within %.3g\n", what, place, value,
                expected, bound);
}

void expect_same(const char *what, const void *a, const void *b, size_t bytes) {
    comparison_count++;
    if (memcmp(a, b, bytes) != 0 && failure_count++ < 20)
        fprintf(stderr, "error: %s: bytes differ that must not\n", what);
}

void K_nv_mma_probe(float *out);
static void run_probe(const void *out) {
    K_nv_mma_probe(*(float *const *)out);
}

/// The probe that decides whether a device has the units says yes to ours.
void test_probe(void) {
    float *out = guarded_alloc(16);
    for (int order = 0; order < 2; order++) {
        for (int i = 0; i < 4; i++)
            out[i] = 1;
        emulate(run_probe, &out, (uint32_t[]){1, 1, 1}, 32, (emulated_order)order);
        expect_near("nv_mma_probe", 0, out[0], 2, 0);
    }
    guarded_free(out, 16);
}

int main(void) {
    test_probe();
    test_matmul();
    test_attention();
    printf("%zu comparisons, %zu failures\n", comparison_count, failure_count);
    return failure_count != 0;
}
