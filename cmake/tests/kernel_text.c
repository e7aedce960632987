/// The engine's kernels are the files of kernels/, line for line, whichever way they were embedded.
///
///     kernel_text DIRECTORY
///
/// Prints the hash over all kernels and the cache key of each program on a device that does not
/// exist, for comparing two builds. Exits 0 when every text is the file's.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CForja/opencl/device.h"
#include "../../Sources/CForja/opencl/kernel_sources.h"
#include "../../Sources/CForja/opencl/program.h"

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 64;
    }
    int failures = 0;
    const forja__opencl_device device = {.identity = "a device"};
    for (int source = 0; source < FORJA__SOURCE_COUNT; source++) {
        const char *name = forja__kernel_source_name((forja__source)source);
        char *text = NULL, *file = NULL;
        unsetenv("FORJA_KERNELS");
        forja_status status = forja__kernel_source(&text, (forja__source)source);
        setenv("FORJA_KERNELS", argv[1], 1); // the same, from the files
        if (status == FORJA_OK)
            status = forja__kernel_source(&file, (forja__source)source);
        if (status != FORJA_OK || strcmp(text, file) != 0) {
            fprintf(stderr, "FAILED: the embedded %s is not the file's text %s\n", name,
                    status == FORJA_OK ? "" : forja_last_error());
            failures++;
        } else {
            uint8_t key[FORJA__SHA256_BYTES];
            char digits[FORJA__SHA256_HEX_BYTES];
            forja__program_key(key, &device, text, "-cl-std=CL1.2");
            forja__sha256_hex(key, digits);
            printf("%s %s\n", digits, name);
        }
        free(text);
        free(file);
    }
    const char *digits = forja_kernels_hash();
    printf("%s all kernels\n", digits);
    return failures == 0 ? 0 : 1;
}
