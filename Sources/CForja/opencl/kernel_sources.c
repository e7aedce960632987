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
static const char matmul_output[] = {
#embed "../../../kernels/matmul_output.cl" suffix(, )
    0};
static const char matmul_pack_panel[] = {
#embed "../../../kernels/matmul_pack_panel.cl" suffix(, )
    0};
static const char matmul_fragment[] = {
#embed "../../../kernels/matmul_fragment.cl" suffix(, )
    0};
static const char matmul_xmx[] = {
#embed "../../../kernels/matmul_xmx.cl" suffix(, )
    0};
static const char matmul_amd[] = {
#embed "../../../kernels/matmul_amd.cl" suffix(, )
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
static const char attention_fragment[] = {
#embed "../../../kernels/attention_fragment.cl" suffix(, )
    0};
static const char attention_xmx[] = {
#embed "../../../kernels/attention_xmx.cl" suffix(, )
    0};
static const char attention_amd[] = {
#embed "../../../kernels/attention_amd.cl" suffix(, )
    0};
static const char fragment[] = {
#embed "../../../kernels/fragment.cl" suffix(, )
    0};
static const char fragment_emulated[] = {
#embed "../../../kernels/fragment_emulated.cl" suffix(, )
    0};
static const char fragment_xmx[] = {
#embed "../../../kernels/fragment_xmx.cl" suffix(, )
    0};
static const char fragment_amd[] = {
#embed "../../../kernels/fragment_amd.cl" suffix(, )
    0};
static const char fragment_probe[] = {
#embed "../../../kernels/fragment_probe.cl" suffix(, )
    0};
static const char probe_xmx[] = {
#embed "../../../kernels/probe_xmx.cl" suffix(, )
    0};
static const char probe_amd[] = {
#embed "../../../kernels/probe_amd.cl" suffix(, )
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
static const char peak[] = {
#embed "../../../kernels/peak.cl" suffix(, )
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

typedef struct file {
    const char *name, *text;
} file;

/// Every file of kernels/ that programs are made of.
static const file files[] = {
    {"common.cl", common},
    {"matmul.cl", matmul},
    {"matmul_cpu.cl", matmul_cpu},
    {"matmul_output.cl", matmul_output},
    {"matmul_pack_panel.cl", matmul_pack_panel},
    {"matmul_fragment.cl", matmul_fragment},
    {"matmul_xmx.cl", matmul_xmx},
    {"matmul_amd.cl", matmul_amd},
    {"attention.cl", attention},
    {"attention_cpu.cl", attention_cpu},
    {"attention_gpu.cl", attention_gpu},
    {"attention_fragment.cl", attention_fragment},
    {"attention_xmx.cl", attention_xmx},
    {"attention_amd.cl", attention_amd},
    {"fragment.cl", fragment},
    {"fragment_emulated.cl", fragment_emulated},
    {"fragment_xmx.cl", fragment_xmx},
    {"fragment_amd.cl", fragment_amd},
    {"fragment_probe.cl", fragment_probe},
    {"probe_xmx.cl", probe_xmx},
    {"probe_amd.cl", probe_amd},
    {"log_probability.cl", log_probability},
    {"embedding.cl", embedding},
    {"rmsnorm.cl", rmsnorm},
    {"rope.cl", rope},
    {"swiglu.cl", swiglu},
    {"add.cl", add},
    {"softmax.cl", softmax},
    {"cast.cl", cast},
    {"reduce.cl", reduce},
    {"adamw.cl", adamw},
    {"cache.cl", cache},
    {"peak.cl", peak},
    {"nv_mma_ptx.cl", nv_mma_ptx},
    {"nv_mma_probe.cl", nv_mma_probe},
    {"matmul_nv_mma.cl", matmul_nv_mma},
    {"attention_nv_mma.cl", attention_nv_mma},
    {"matmul_nv_wgmma_module.ptx", matmul_nv_wgmma_module},
};
enum { FILE_COUNT = sizeof files / sizeof *files };

/// The file that a source starts with.
static const char *const names[FORJA__SOURCE_COUNT] = {
    [FORJA__SOURCE_MATMUL] = "matmul.cl",
    [FORJA__SOURCE_MATMUL_CPU] = "matmul_cpu.cl",
    [FORJA__SOURCE_MATMUL_XMX] = "matmul_xmx.cl",
    [FORJA__SOURCE_MATMUL_AMD] = "matmul_amd.cl",
    [FORJA__SOURCE_ATTENTION] = "attention.cl",
    [FORJA__SOURCE_ATTENTION_CPU] = "attention_cpu.cl",
    [FORJA__SOURCE_ATTENTION_GPU] = "attention_gpu.cl",
    [FORJA__SOURCE_ATTENTION_XMX] = "attention_xmx.cl",
    [FORJA__SOURCE_ATTENTION_AMD] = "attention_amd.cl",
    [FORJA__SOURCE_PROBE_XMX] = "probe_xmx.cl",
    [FORJA__SOURCE_PROBE_AMD] = "probe_amd.cl",
    [FORJA__SOURCE_LOG_PROBABILITY] = "log_probability.cl",
    [FORJA__SOURCE_EMBEDDING] = "embedding.cl",
    [FORJA__SOURCE_RMSNORM] = "rmsnorm.cl",
    [FORJA__SOURCE_ROPE] = "rope.cl",
    [FORJA__SOURCE_SWIGLU] = "swiglu.cl",
    [FORJA__SOURCE_ADD] = "add.cl",
    [FORJA__SOURCE_SOFTMAX] = "softmax.cl",
    [FORJA__SOURCE_CAST] = "cast.cl",
    [FORJA__SOURCE_REDUCE] = "reduce.cl",
    [FORJA__SOURCE_ADAMW] = "adamw.cl",
    [FORJA__SOURCE_CACHE] = "cache.cl",
    [FORJA__SOURCE_PEAK] = "peak.cl",
    [FORJA__SOURCE_NV_MMA_PROBE] = "nv_mma_probe.cl",
    [FORJA__SOURCE_MATMUL_NV_MMA] = "matmul_nv_mma.cl",
    [FORJA__SOURCE_ATTENTION_NV_MMA] = "attention_nv_mma.cl",
    [FORJA__SOURCE_MATMUL_NV_WGMMA] = "matmul_nv_wgmma_module.ptx",
};

/// The override directory; NULL without one.
static const char *override_directory(void) {
    const char *directory = getenv("FORJA_KERNELS");
    return directory && *directory ? directory : NULL;
}

static forja_status fail_memory(const char *name) {
    return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                       "no memory for the text of %s; free memory on the machine", name);
}

/// Text of `name` from the override directory, or where that has no such file the embedded one.
static forja_status read_text(char **out, const char *name) {
    const char *directory = override_directory();
    char path[4096];
    FILE *stream = NULL;
    *out = NULL;
    if (directory) {
        snprintf(path, sizeof path, "%s/%s", directory, name);
        stream = fopen(path, "re");
        if (!stream && errno != ENOENT)
            return forja__fail(FORJA_ERROR_UNAVAILABLE,
                               "%s could not be opened: %s; correct or unset FORJA_KERNELS", path,
                               strerror(errno));
    }
    if (!stream) {
        for (int i = 0; i < FILE_COUNT; i++)
            if (strcmp(files[i].name, name) == 0) {
                *out = strdup(files[i].text);
                return *out ? FORJA_OK : fail_memory(name);
            }
        return forja__fail(FORJA_ERROR_COMPILE,
                           "a kernel file includes %s, which is none; correct the name", name);
    }
    size_t size = 0, length;
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

/// Writes the file to `out` with the files that its lines `#include "name.cl"` name in their place:
/// drivers compile a string and see no folder. #line keeps the compiler's log counting lines as
/// the files do.
static forja_status write_file(FILE *out, const char *name, int depth) {
    if (depth > 4)
        return forja__fail(FORJA_ERROR_COMPILE,
                           "%s is included more than 4 deep; take the circle out of the kernels",
                           name);
    char *text;
    FORJA__TRY(read_text(&text, name));
    fprintf(out, "#line 1 \"%s\"\n", name);
    forja_status status = FORJA_OK;
    int number = 1;
    for (char *line = text; *line && status == FORJA_OK; number++) {
        char *end = line + strcspn(line, "\n");
        char included[64];
        if (sscanf(line, "#include \"%63[^\"\n]\"", included) == 1) {
            status = write_file(out, included, depth + 1);
            fprintf(out, "#line %d \"%s\"\n", number + 1, name);
        } else {
            fprintf(out, "%.*s\n", (int)(end - line), line);
        }
        line = *end ? end + 1 : end;
    }
    free(text);
    return status;
}

bool forja__kernel_source_is_ptx(forja__source source) {
    return source == FORJA__SOURCE_MATMUL_NV_WGMMA;
}

forja_status forja__kernel_source(char **out, forja__source source) {
    const char *name = names[source];
    if (forja__kernel_source_is_ptx(source))
        return read_text(out, name);
    size_t size = 0;
    *out = NULL;
    FILE *stream = open_memstream(out, &size);
    if (!stream)
        return fail_memory(name);
    forja_status status = write_file(stream, "common.cl", 0);
    if (status == FORJA_OK)
        status = write_file(stream, name, 0);
    const bool is_whole = !ferror(stream);
    if ((fclose(stream) != 0 || !is_whole) && status == FORJA_OK)
        status = fail_memory(name);
    if (status != FORJA_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

const char *forja__kernel_source_name(forja__source source) {
    return names[source];
}

static char kernels_hash[FORJA__SHA256_HEX_BYTES];

static void hash_kernels(void) {
    forja__sha256 hash;
    forja__sha256_start(&hash);
    for (int i = 0; i < FILE_COUNT; i++) {
        forja__sha256_add_text(&hash, files[i].name);
        forja__sha256_add_text(&hash, files[i].text);
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
