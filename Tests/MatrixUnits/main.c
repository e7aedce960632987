// Lists the programs that the table of variants makes for Intel's and AMD's matrix units, for
// .ci/vendors.sh: a line each of row, kernel file and build options, between tabs.
#include <stdio.h>

#include "../../Sources/CForja/opencl/variants.h"

static void list(const forja__variant *row, const char *what, const char *file,
                 const char *options) {
    printf("%s\t%s:%s %s\t%s_%s.cl\t%s -DALIGNED -DSTORAGE_BF16%s%s\n", row->name, row->name,
           row->config, what, file, row->fragment <= FORJA__FRAGMENT_XMX_8 ? "xmx" : "amd", options,
           row->options, forja__fragment_options(NULL, row->fragment));
}

int main(void) {
    const forja__variant *rows;
    const size_t count = forja__variants(&rows);
    for (size_t i = 0; i < count; i++) {
        const forja__variant *row = &rows[i];
        char width[64];
        if (row->op == FORJA_OP_MATMUL && row->matmul == &forja__opencl_matmul_fragment) {
            list(row, "nn", "matmul", "-DA_K_MAJOR=0 -DB_K_MAJOR=1");
            list(row, "nt", "matmul", "-DA_K_MAJOR=0 -DB_K_MAJOR=0");
            list(row, "tn", "matmul", "-DA_K_MAJOR=1 -DB_K_MAJOR=1");
        } else if (row->op == FORJA_OP_ATTENTION_FORWARD &&
                   row->attention_forward == &forja__opencl_attention_forward_fragment) {
            snprintf(width, sizeof width, "-DATTENTION_FORWARD -DHEAD_DIM=%u", row->tile.k);
            list(row, "forward", "attention", width);
        } else if (row->op == FORJA_OP_ATTENTION_BACKWARD &&
                   row->attention_backward == &forja__opencl_attention_backward_fragment) {
            snprintf(width, sizeof width, "-DATTENTION_BACKWARD -DHEAD_DIM=%u", row->tile.k);
            list(row, "backward", "attention", width);
        }
    }
    return 0;
}
