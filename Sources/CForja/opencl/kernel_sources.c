// The kernel files as text, embedded when the engine is compiled.
#define _GNU_SOURCE
#include "kernel_sources.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../sha256.h"

#if defined FORJA__GENERATED_KERNELS || !defined __has_embed
// Written from the same files by cmake/EmbedKernels.cmake, for compilers without #embed.
#include "forja_generated_kernels.h"
#else

static const char common[] = {
#embed "../../../kernels/common.cl" suffix(, )
    0};

static const char matmul[] = {
#embed "../../../kernels/matmul.cl" suffix(, )
    0};
static const char matmul_cpu[] = {
#embed "../../../kernels/matmul_cpu.cl" suffix(, )
    0};
static const char attention[] = {
#embed "../../../kernels/attention.cl" suffix(, )
    0};
static const char attention_cpu[] = {
#embed "../../../kernels/attention_cpu.cl" suffix(, )
    0};
static const char attention_gpu[] = {
#embed "../../../kernels/attention_gpu.cl" suffix(, )
    0};
static const char log_probability[] = {
#embed "../../../kernels/log_probability.cl" suffix(, )
    0};
static const char embedding[] = {
#embed "../../../kernels/embedding.cl" suffix(, )
    0};
static const char rmsnorm[] = {
#embed "../../../kernels/rmsnorm.cl" suffix(, )
    0};
static const char rope[] = {
#embed "../../../kernels/rope.cl" suffix(, )
    0};
static const char swiglu[] = {
#embed "../../../kernels/swiglu.cl" suffix(, )
    0};
static const char add[] = {
#embed "../../../kernels/add.cl" suffix(, )
    0};
static const char softmax[] = {
#embed "../../../kernels/softmax.cl" suffix(, )
    0};
static const char cast[] = {
#embed "../../../kernels/cast.cl" suffix(, )
    0};
static const char reduce[] = {
#embed "../../../kernels/reduce.cl" suffix(, )
    0};
static const char adamw[] = {
#embed "../../../kernels/adamw.cl" suffix(, )
    0};
static const char cache[] = {
#embed "../../../kernels/cache.cl" suffix(, )
    0};
static const char nv_mma_ptx[] = {
#embed "../../../kernels/nv_mma_ptx.cl" suffix(, )
    0};
static const char nv_mma_probe[] = {
#embed "../../../kernels/nv_mma_probe.cl" suffix(, )
    0};
static const char matmul_nv_mma[] = {
#embed "../../../kernels/matmul_nv_mma.cl" suffix(, )
    0};
static const char attention_nv_mma[] = {
#embed "../../../kernels/attention_nv_mma.cl" suffix(, )
    0};
static const char matmul_nv_wgmma_module[] = {
#embed "../../../kernels/matmul_nv_wgmma_module.ptx" suffix(, )
    0};

#endif

static const struct {
    const char *name, *text;
} sources[FORJA__SOURCE_COUNT] = {
    [FORJA__SOURCE_MATMUL] = {"matmul.cl", matmul},
    [FORJA__SOURCE_MATMUL_CPU] = {"matmul_cpu.cl", matmul_cpu},
    [FORJA__SOURCE_ATTENTION] = {"attention.cl", attention},
    [FORJA__SOURCE_ATTENTION_CPU] = {"attention_cpu.cl", attention_cpu},
    [FORJA__SOURCE_ATTENTION_GPU] = {"attention_gpu.cl", attention_gpu},
    [FORJA__SOURCE_LOG_PROBABILITY] = {"log_probability.cl", log_probability},
    [FORJA__SOURCE_EMBEDDING] = {"embedding.cl", embedding},
    [FORJA__SOURCE_RMSNORM] = {"rmsnorm.cl", rmsnorm},
    [FORJA__SOURCE_ROPE] = {"rope.cl", rope},
    [FORJA__SOURCE_SWIGLU] = {"swiglu.cl", swiglu},
    [FORJA__SOURCE_ADD] = {"add.cl", add},
    [FORJA__SOURCE_SOFTMAX] = {"softmax.cl", softmax},
    [FORJA__SOURCE_CAST] = {"cast.cl", cast},
    [FORJA__SOURCE_REDUCE] = {"reduce.cl", reduce},
    [FORJA__SOURCE_ADAMW] = {"adamw.cl", adamw},
    [FORJA__SOURCE_CACHE] = {"cache.cl", cache},
    [FORJA__SOURCE_NV_MMA_PROBE] = {"nv_mma_probe.cl", nv_mma_probe},
    [FORJA__SOURCE_MATMUL_NV_MMA] = {"matmul_nv_mma.cl", matmul_nv_mma},
    [FORJA__SOURCE_ATTENTION_NV_MMA] = {"attention_nv_mma.cl", attention_nv_mma},
    [FORJA__SOURCE_MATMUL_NV_WGMMA] = {"matmul_nv_wgmma_module.ptx", matmul_nv_wgmma_module},
};

/// The override directory; NULL without one.
static const char *override_directory(void) {
    const char *directory = getenv("FORJA_KERNELS");
    return directory && *directory ? directory : NULL;
}

/// Text of `directory`/`name`, or of `embedded` where the directory has no such file.
static forja_status read_text(char **out, const char *name, const char *embedded) {
    const char *directory = override_directory();
    char path[4096];
    FILE *stream = NULL;
    if (directory) {
        snprintf(path, sizeof path, "%s/%s", directory, name);
        stream = fopen(path, "re");
        if (!stream && errno != ENOENT)
            return forja__fail(FORJA_ERROR_UNAVAILABLE,
                               "%s could not be opened: %s; correct or unset FORJA_KERNELS", path,
                               strerror(errno));
    }
    if (!stream) {
        *out = strdup(embedded);
        return *out ? FORJA_OK
                    : forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                                  "no memory for the text of %s; free memory on the machine", name);
    }
    size_t size = 0, length;
    *out = NULL;
    FILE *text = open_memstream(out, &size);
    char block[4096];
    while (text && (length = fread(block, 1, sizeof block, stream)) > 0)
        fwrite(block, 1, length, text);
    const bool is_read = text && !ferror(stream);
    fclose(stream);
    if (text && fclose(text) == 0 && is_read)
        return FORJA_OK;
    free(*out);
    return forja__fail(FORJA_ERROR_UNAVAILABLE,
                       "%s could not be read; correct or unset FORJA_KERNELS", path);
}

bool forja__kernel_source_uses_ptx(forja__source source) {
    return source == FORJA__SOURCE_NV_MMA_PROBE || source == FORJA__SOURCE_MATMUL_NV_MMA ||
           source == FORJA__SOURCE_ATTENTION_NV_MMA;
}

bool forja__kernel_source_is_ptx(forja__source source) {
    return source == FORJA__SOURCE_MATMUL_NV_WGMMA;
}

forja_status forja__kernel_source(char **out, forja__source source) {
    const char *name = sources[source].name;
    if (forja__kernel_source_is_ptx(source))
        return read_text(out, name, sources[source].text);
    char *prefix = NULL, *ptx = NULL, *text = NULL;
    forja_status status = read_text(&prefix, "common.cl", common);
    if (status == FORJA_OK && forja__kernel_source_uses_ptx(source))
        status = read_text(&ptx, "nv_mma_ptx.cl", nv_mma_ptx);
    if (status == FORJA_OK)
        status = read_text(&text, name, sources[source].text);
    if (status == FORJA_OK) {
        // The compiler's log then counts lines as the files do.
        if (asprintf(out, "#line 1 \"common.cl\"\n%s%s%s\n#line 1 \"%s\"\n%s", prefix,
                     ptx ? "\n#line 1 \"nv_mma_ptx.cl\"\n" : "", ptx ? ptx : "", name, text) < 0) {
            *out = NULL; // a failed asprintf leaves it undefined
            status = forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                                 "no memory for the text of %s; free memory on the machine", name);
        }
    }
    free(prefix);
    free(ptx);
    free(text);
    return status;
}

const char *forja__kernel_source_name(forja__source source) {
    return sources[source].name;
}

static char kernels_hash[FORJA__SHA256_HEX_BYTES];

static void hash_kernels(void) {
    forja__sha256 hash;
    forja__sha256_start(&hash);
    forja__sha256_add_text(&hash, common);
    forja__sha256_add_text(&hash, nv_mma_ptx);
    for (int i = 0; i < FORJA__SOURCE_COUNT; i++) {
        forja__sha256_add_text(&hash, sources[i].name);
        forja__sha256_add_text(&hash, sources[i].text);
    }
    uint8_t digest[FORJA__SHA256_BYTES];
    forja__sha256_finish(&hash, digest);
    forja__sha256_hex(digest, kernels_hash);
}

const char *forja_kernels_hash(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, hash_kernels);
    return kernels_hash;
}
