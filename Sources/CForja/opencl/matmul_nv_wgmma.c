// Launches the kernels of kernels/matmul_nv_wgmma_module.ptx, and probes them.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "matmul.h"
#include "nv_mma.h"

/// bf16 operands; offsets, row and batch strides of A and B that are multiples of 8 elements, those
/// of C even.
static bool runs(const forja_device *device, const forja__variant *row,
                 const forja_matmul_args *args) {
    (void)row;
    return args->input_dtype == FORJA_DTYPE_BF16 &&
           forja__starts_on(8, args->a, args->lda, args->a_stride) &&
           forja__starts_on(8, args->b, args->ldb, args->b_stride) &&
           forja__starts_on(2, args->c, args->ldc, args->c_stride) &&
           forja__opencl_has_nv_wgmma(device);
}

/// No default anywhere until a measurement says where it is faster than nv_mma.
static bool suits(const forja_device *device, const forja__variant *row,
                  const forja_matmul_args *args) {
    (void)device, (void)row, (void)args;
    return false;
}

static forja_status launch(forja_queue *queue, const forja__variant *row,
                           const forja_matmul_args *args) {
    (void)row; // there is one tile
    static const char *const layouts[] = {
        [FORJA_MATMUL_NN] = "nn", [FORJA_MATMUL_NT] = "nt", [FORJA_MATMUL_TN] = "tn"};
    const forja__matmul_nv_mma_tile *tile = &forja__matmul_nv_wgmma_tile;
    char name[64];
    snprintf(name, sizeof name, "forja_matmul_nv_wgmma_%s_%s", layouts[args->layout],
             args->output_dtype == FORJA_DTYPE_BF16 ? "bf16" : "f32");
    cl_kernel kernel;
    FORJA__TRY(forja__kernel_get(&kernel, queue->device, FORJA__SOURCE_MATMUL_NV_WGMMA, "", name));
    const cl_int accumulate = args->accumulate;
    const size_t local[2] = {forja__matmul_nv_mma_work_items(tile), 1};
    const size_t blocks =
        forja__ceil_div(args->m, tile->block_m) * forja__ceil_div(args->n, tile->block_n);
    const size_t global[2] = {blocks * local[0], args->batch_count};
    return FORJA__LAUNCH(
        queue, kernel, name, 2, global, local, FORJA__ARG_SPAN(args->a), FORJA__ARG(args->lda),
        FORJA__ARG(args->a_stride), FORJA__ARG_SPAN(args->b), FORJA__ARG(args->ldb),
        FORJA__ARG(args->b_stride), FORJA__ARG_SPAN(args->c), FORJA__ARG(args->ldc),
        FORJA__ARG(args->c_stride), FORJA__ARG(args->m), FORJA__ARG(args->n), FORJA__ARG(args->k),
        FORJA__ARG(args->alpha), FORJA__ARG(accumulate));
}

const forja__matmul_family forja__opencl_matmul_nv_wgmma = {
    .runs = runs, .suits = suits, .launch = launch};

// ── Probe ────────────────────────────────────────────────────────────────────────────────────────
//
// Integers from -2 to 2, whose sums of 40 products are exact in bf16 (at most 160). The sizes are
// ragged and need two rounds.

enum { M = 72, N = 136, K = 40 };

static int integer_at(uint32_t place) {
    return (int)(place * 2654435761u >> 16) % 5 - 2;
}

static uint16_t bf16_of(int integer) {
    const float value = (float)integer;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/// op(A)[m,k] and op(B)[k,n] by their places in the buffers.
static uint32_t a_place(forja_matmul_layout layout, uint32_t m, uint32_t k) {
    return layout == FORJA_MATMUL_TN ? k * M + m : m * K + k;
}
static uint32_t b_place(forja_matmul_layout layout, uint32_t n, uint32_t k) {
    return layout == FORJA_MATMUL_NT ? n * K + k : k * N + n;
}

typedef struct trial {
    forja_queue *queue;
    forja_buffer *a, *b, *c;
    uint16_t left[M * K], right[K * N];
    union {
        float f32[M * N];
        uint16_t bf16[M * N];
    } result;
} trial;

static forja_status multiply(trial *t, forja_matmul_layout layout, forja_dtype output_dtype) {
    const forja_matmul_args args = {
        .layout = layout,
        .input_dtype = FORJA_DTYPE_BF16,
        .output_dtype = output_dtype,
        .a = {t->a, 0},
        .b = {t->b, 0},
        .c = {t->c, 0},
        .m = M,
        .n = N,
        .k = K,
        .lda = layout == FORJA_MATMUL_TN ? M : K,
        .ldb = layout == FORJA_MATMUL_NT ? K : N,
        .ldc = N,
        .batch_count = 1,
        .alpha = 1.0f,
    };
    FORJA__TRY(forja_buffer_fill(t->queue, t->c, 0, sizeof t->result, 0xff));
    FORJA__TRY(launch(t->queue, NULL, &args));
    return forja_buffer_read(t->queue, &t->result, t->c, 0,
                             (uint64_t)M * N * forja_dtype_size(output_dtype));
}

static bool is_right(const trial *t, forja_matmul_layout layout, forja_dtype output_dtype) {
    for (uint32_t m = 0; m < M; m++)
        for (uint32_t n = 0; n < N; n++) {
            int sum = 0;
            for (uint32_t k = 0; k < K; k++)
                sum +=
                    integer_at(a_place(layout, m, k)) * integer_at(M * K + b_place(layout, n, k));
            // The sign of a zero is the hardware's.
            const bool same = output_dtype == FORJA_DTYPE_F32
                                  ? t->result.f32[m * N + n] == (float)sum
                                  : (t->result.bf16[m * N + n] == bf16_of(sum) ||
                                     (sum == 0 && t->result.bf16[m * N + n] == 0x8000));
            if (!same)
                return false;
        }
    return true;
}

static forja__answer ask(trial *t, forja_device *device) {
    for (uint32_t i = 0; i < M * K; i++)
        t->left[i] = bf16_of(integer_at(i));
    for (uint32_t i = 0; i < K * N; i++)
        t->right[i] = bf16_of(integer_at(M * K + i));
    if (forja_queue_create(&t->queue, device) != FORJA_OK ||
        forja_buffer_create(&t->a, device, sizeof t->left) != FORJA_OK ||
        forja_buffer_create(&t->b, device, sizeof t->right) != FORJA_OK ||
        forja_buffer_create(&t->c, device, sizeof t->result) != FORJA_OK ||
        forja_buffer_write(t->queue, t->a, 0, t->left, sizeof t->left) != FORJA_OK ||
        forja_buffer_write(t->queue, t->b, 0, t->right, sizeof t->right) != FORJA_OK)
        return FORJA__UNKNOWN;
    static const forja_matmul_layout layouts[] = {FORJA_MATMUL_NN, FORJA_MATMUL_NT,
                                                  FORJA_MATMUL_TN};
    static const forja_dtype outputs[] = {FORJA_DTYPE_F32, FORJA_DTYPE_BF16};
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            if (multiply(t, layouts[i], outputs[k]) != FORJA_OK)
                return FORJA__UNKNOWN;
            else if (!is_right(t, layouts[i], outputs[k]))
                return FORJA__NO;
    return FORJA__YES;
}

forja__answer forja__matmul_nv_wgmma_probe(forja_device *device) {
    trial *t = calloc(1, sizeof *t);
    const forja__answer answer = t ? ask(t, device) : FORJA__UNKNOWN;
    if (t) {
        forja_buffer_free(t->a);
        forja_buffer_free(t->b);
        forja_buffer_free(t->c);
        forja_queue_free(t->queue);
    }
    free(t);
    return answer;
}
