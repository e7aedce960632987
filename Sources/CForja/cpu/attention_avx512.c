/// Attention for AVX-512: a register tile of 6 rows by 4 vectors of 16 fills 24 of 32 registers.
#if defined(__x86_64__)

#include <math.h>

#include "attention.h"
#include "vector_math.h"

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx2,fma,f16c,bmi2,avx512f,avx512vl,avx512dq,avx512bw"))),              \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,bmi2,avx512f,avx512vl,avx512dq,avx512bw")
#endif

#define FORJA__LANES 16
#define PRODUCT_ROWS 6
#define PRODUCT_VECTORS 4
#include "attention_product.h"
#include "attention_forward.h"
#include "attention_decode.h"
#include "attention_backward.h"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

const forja__attention_kernels forja__attention_avx512 = {
    attention_forward_task,  attention_decode_task,    attention_decode_merge,
    attention_backward_task, attention_backward_merge,
};

#endif
