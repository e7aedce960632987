// Prints the variants of the NVIDIA kernels for .ci/nvidia.sh, a line each:
//   options   SYMBOL SOURCE KERNEL OPTION...
//   calls     VARIANT lines of C for the tests: a SYMBOL is a kernel compiled with its options
#include <stdio.h>
#include <string.h>

#include "../../Sources/CForja/opencl/nv_mma.h"

static void list_matmul(bool wants_options) {
    static const char *const layouts[] = {"nn", "nt", "tn"};
    for (int i = 0; i < FORJA__MATMUL_NV_MMA_TILE_COUNT; i++)
        for (int layout = 0; layout < 3; layout++)
            for (int is_bf16 = 0; is_bf16 < 2; is_bf16++)
                for (int is_aligned = 1; is_aligned >= 0; is_aligned--) {
                    const forja__matmul_nv_mma_tile *tile = &forja__matmul_nv_mma_tiles[i];
                    char symbol[96], options[FORJA__NV_MMA_OPTION_BYTES];
                    snprintf(symbol, sizeof symbol, "matmul_%s_%s_%s%s", layouts[layout],
                             is_bf16 ? "bf16" : "f32", tile->name, is_aligned ? "" : "_unaligned");
                    forja__matmul_nv_mma_options(
                        options, tile,
                        (forja__matmul_nv_mma_shape){(forja_matmul_layout)layout, is_bf16,
                                                     is_aligned, is_aligned});
                    if (wants_options)
                        printf("%s matmul_nv_mma.cl forja_matmul_nv_mma %s\n", symbol, options);
                    else
                        printf("MATMUL_VARIANT(%s, %d, %d, %d, %d)\n", symbol, i, layout, is_bf16,
                               is_aligned);
                }
}

/// They are parts of one PTX file, so their kernels' names are their own.
static void list_wgmma(bool wants_options) {
    static const char *const layouts[] = {"nn", "nt", "tn"};
    for (int layout = 0; layout < 3; layout++)
        for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
            char symbol[96], options[FORJA__NV_MMA_OPTION_BYTES];
            snprintf(symbol, sizeof symbol, "matmul_nv_wgmma_%s_%s", layouts[layout],
                     is_bf16 ? "bf16" : "f32");
            forja__matmul_nv_mma_options(
                options, &forja__matmul_nv_wgmma_tile,
                (forja__matmul_nv_mma_shape){(forja_matmul_layout)layout, is_bf16, true, true});
            if (wants_options)
                printf("%s matmul_nv_wgmma.cl forja_matmul_nv_wgmma -DMATMUL_WGMMA %s\n", symbol,
                       options);
            else
                printf("MATMUL_VARIANT(%s, -1, %d, %d, 1)\n", symbol, layout, is_bf16);
        }
}

static void list_attention(const forja__attention_nv_mma_tile *tile, int place, const char *part,
                           const char *pass, bool wants_options) {
    static const uint32_t widths[] = {32, 64, 128};
    for (int i = 0; i < 3; i++) {
        if (!forja__attention_nv_mma_tile_fits(tile, widths[i]))
            continue;
        char symbol[96], options[FORJA__NV_MMA_OPTION_BYTES];
        snprintf(symbol, sizeof symbol, "attention_%s_d%u_%s", pass, widths[i], tile->name);
        forja__attention_nv_mma_options(options, tile, part, widths[i]);
        if (wants_options)
            printf("%s attention_nv_mma.cl forja_attention_%s_nv_mma %s\n", symbol, pass, options);
        else
            printf("%s_VARIANT(%s, %d, %u)\n", part, symbol, place, widths[i]);
    }
}

int main(int count, char **arguments) {
    const bool wants_options = count > 1 && strcmp(arguments[1], "options") == 0;
    if (wants_options)
        printf("nv_mma_probe nv_mma_probe.cl probe\n");
    list_matmul(wants_options);
    list_wgmma(wants_options);
    for (int i = 0; i < FORJA__ATTENTION_NV_MMA_FORWARD_TILE_COUNT; i++)
        list_attention(&forja__attention_nv_mma_forward_tiles[i], i, "FORWARD", "forward",
                       wants_options);
    for (int i = 0; i < FORJA__ATTENTION_NV_MMA_BACKWARD_TILE_COUNT; i++) {
        const forja__attention_nv_mma_tile *tile = &forja__attention_nv_mma_backward_tiles[i];
        list_attention(tile, i, "DQ", "dq", wants_options);
        list_attention(tile, i, "DKV", "dkv", wants_options);
    }
    return 0;
}
