/// Attention for any other target: AArch64 (4 rows by 4 vectors of 4 fill 16 of 32 registers) and
/// plain x86-64 (2 vectors: 8 of 16).

#include <math.h>

#define FORJA__LANES 4
#define PRODUCT_ROWS 4
#if defined(__aarch64__)
#define PRODUCT_VECTORS 4
#else
#define PRODUCT_VECTORS 2
#endif
#include "attention_product.h"
#include "attention_forward.h"
#include "attention_decode.h"
#include "attention_backward.h"

const forja__attention_kernels forja__attention_generic = {
    attention_forward_task,  attention_decode_task,    attention_decode_merge,
    attention_backward_task, attention_backward_merge,
};
