/// The engine's kernels are the files of kernels/, byte for byte, whichever way they were embedded.
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

/// The file's text; the caller frees it.
static char *read_file(const char *directory, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *stream = fopen(path, "rb");
    if (!stream || fseek(stream, 0, SEEK_END) != 0) {
        fprintf(stderr, "%s could not be opened\n", path);
        exit(1);
    }
    const size_t size = (size_t)ftell(stream);
    char *text = calloc(size + 1, 1);
    rewind(stream);
    if (!text || fread(text, 1, size, stream) != size) {
        fprintf(stderr, "%s could not be read\n", path);
        exit(1);
    }
    fclose(stream);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 64;
    }
    // Otherwise the engine would read the files that its text is compared with.
    unsetenv("FORJA_KERNELS");
    int failures = 0;
    char *common = read_file(argv[1], "common.cl"), *ptx = read_file(argv[1], "nv_mma_ptx.cl");
    forja__sha256 all;
    forja__sha256_start(&all);
    forja__sha256_add_text(&all, common);
    forja__sha256_add_text(&all, ptx);
    const forja__opencl_device device = {.identity = "a device"};
    for (int source = 0; source < FORJA__SOURCE_COUNT; source++) {
        const char *name = forja__kernel_source_name((forja__source)source);
        char *file = read_file(argv[1], name), *text = NULL;
        forja__sha256_add_text(&all, name);
        forja__sha256_add_text(&all, file);
        const bool uses_ptx = forja__kernel_source_uses_ptx((forja__source)source);
        const size_t size = strlen(common) + strlen(ptx) + strlen(file) + 128;
        char *expected = malloc(size);
        if (forja__kernel_source_is_ptx((forja__source)source))
            snprintf(expected, size, "%s", file);
        else
            snprintf(expected, size, "#line 1 \"common.cl\"\n%s%s%s\n#line 1 \"%s\"\n%s", common,
                     uses_ptx ? "\n#line 1 \"nv_mma_ptx.cl\"\n" : "", uses_ptx ? ptx : "", name,
                     file);
        if (forja__kernel_source(&text, (forja__source)source) != FORJA_OK ||
            strcmp(text, expected) != 0) {
            fprintf(stderr, "FAILED: the embedded %s is not the file's text\n", name);
            failures++;
        } else {
            uint8_t key[FORJA__SHA256_BYTES];
            char digits[FORJA__SHA256_HEX_BYTES];
            forja__program_key(key, &device, text, "-cl-std=CL1.2");
            forja__sha256_hex(key, digits);
            printf("%s %s\n", digits, name);
        }
        free(text);
        free(expected);
        free(file);
    }
    free(common);
    free(ptx);
    uint8_t digest[FORJA__SHA256_BYTES];
    char digits[FORJA__SHA256_HEX_BYTES];
    forja__sha256_finish(&all, digest);
    forja__sha256_hex(digest, digits);
    if (strcmp(digits, forja_kernels_hash()) != 0) {
        fprintf(stderr, "FAILED: forja_kernels_hash() is %s, the files' is %s\n",
                forja_kernels_hash(), digits);
        failures++;
    }
    printf("%s all kernels\n", digits);
    return failures == 0 ? 0 : 1;
}
