/// What the launchers of matrix products share.
#pragma once

#include "variants.h"

/// "-D" options of the operands' types, with a leading space; "" for f32.
const char *forja__matmul_storage_options(const forja_matmul_args *args);

/// Room for a kernel's "-D" options.
enum { FORJA__OPTIONS_SIZE = 192 };

static inline uint64_t forja__ceil_div(uint64_t a, uint64_t b) { return a / b + (a % b != 0); }
