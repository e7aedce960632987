/// What the tests share: bf16, random numbers, comparison with float64.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint16_t to_bf16(float x);
float from_bf16(uint16_t x);

/// Uniform in [-1, 1), the same sequence for the same seed.
float next_random(uint64_t *seed);

/// Counts the comparison; prints and counts a failure unless |value − expected| ≤ bound. NaN fails.
void expect_near(const char *what, size_t place, double value, double expected, double bound);
/// Counts a failure unless the bytes are the same: of two orders of warps and copies, of two tiles,
/// of padding before and after.
void expect_same(const char *what, const void *a, const void *b, size_t bytes);
extern size_t comparison_count, failure_count;

void test_probe(void);
void test_matmul(void);
void test_attention(void);
