/// Attention for AVX2 with fused multiply-add: 6 rows by 2 vectors of 8 fill 12 of 16 registers.
#if defined(__x86_64__)

#include <math.h>

#include "attention.h"
#include "vector_math.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi2")
#endif

#define FORJA__LANES 8
#define PRODUCT_ROWS 6
#define PRODUCT_VECTORS 2
#include "attention_product.h"
#include "attention_forward.h"
#include "attention_decode.h"
#include "attention_backward.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const forja__attention_kernels forja__attention_avx2 = {
    attention_forward_task,  attention_decode_task,    attention_decode_merge,
    attention_backward_task, attention_backward_merge,
};

#endif
