// Programs and kernels of a device: built on first use, kept for the device's life.
#include "program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binary_cache.h"
#include "kernel_sources.h"

struct forja__program {
    forja__program *next;
    cl_program program;
    forja__source source;
    char options[];
};

struct forja__kernel {
    forja__kernel *next;
    cl_kernel kernel;
    const forja__program *program; /// source and options
    char name[];
};

/// Part of every cache key; raised when what is stored under a key changes.
static const char key_version[] = "forja kernel cache 1";

void forja__program_key(uint8_t out[FORJA__SHA256_BYTES], const forja__opencl_device *opencl,
                        const char *text, const char *options) {
    forja__sha256 hash;
    forja__sha256_start(&hash);
    forja__sha256_add_text(&hash, key_version);
    forja__sha256_add_text(&hash, opencl->identity);
    forja__sha256_add_text(&hash, options);
    forja__sha256_add_text(&hash, text);
    forja__sha256_finish(&hash, out);
}

/// The compiler's log; the caller frees it. NULL when there is none.
static char *build_log(cl_program program, cl_device_id id) {
    const forja__opencl_api *cl = forja__opencl();
    size_t size = 0;
    if (cl->clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) !=
            CL_SUCCESS ||
        size == 0)
        return NULL;
    char *log = calloc(size + 1, 1);
    if (log &&
        cl->clGetProgramBuildInfo(program, id, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    return log;
}

static void store_binary(cl_program program, const uint8_t key[FORJA__SHA256_BYTES]) {
    const forja__opencl_api *cl = forja__opencl();
    size_t size = 0;
    if (cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) !=
            CL_SUCCESS ||
        size == 0)
        return;
    unsigned char *bytes = malloc(size);
    if (bytes && cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL) ==
                     CL_SUCCESS)
        forja__binary_cache_store(key, bytes, size);
    free(bytes);
}

/// Creates and builds a program from a binary; `*out` is NULL when the driver refuses to create it,
/// and otherwise the caller's, whatever the build gave.
static cl_int build_binary(cl_program *out, const forja__opencl_device *opencl, const void *bytes,
                           size_t size, const char *options) {
    const forja__opencl_api *cl = forja__opencl();
    const unsigned char *binary = bytes;
    cl_int code, binary_code;
    *out = cl->clCreateProgramWithBinary(opencl->context, 1, &opencl->id, &size, &binary,
                                         &binary_code, &code);
    if (code != CL_SUCCESS) {
        *out = NULL;
        return code;
    }
    return binary_code != CL_SUCCESS
               ? binary_code
               : cl->clBuildProgram(*out, 1, &opencl->id, options, NULL, NULL);
}

/// The program from its cached binary; NULL when there is none or the driver refuses it.
static cl_program load_binary(const forja__opencl_device *opencl,
                              const uint8_t key[FORJA__SHA256_BYTES], const char *options) {
    void *bytes;
    size_t size;
    if (!forja__binary_cache_load(&bytes, &size, key))
        return NULL;
    cl_program program;
    const cl_int code = build_binary(&program, opencl, bytes, size, options);
    free(bytes);
    if (code == CL_SUCCESS)
        return program;
    if (program)
        forja__opencl()->clReleaseProgram(program);
    return NULL;
}

cl_int forja__program_build_ptx(cl_program *out, char **out_log, const forja__opencl_device *opencl,
                                const char *text) {
    // The driver keeps a cache of its own. The text's final 0 goes with it.
    *out_log = NULL;
    const cl_int code = build_binary(out, opencl, text, strlen(text) + 1, "");
    if (code != CL_SUCCESS && *out) {
        *out_log = build_log(*out, opencl->id);
        forja__opencl()->clReleaseProgram(*out);
        *out = NULL;
    }
    return code;
}

cl_int forja__program_build(cl_program *out, char **out_log, const forja__opencl_device *opencl,
                            const char *text, const char *options) {
    const forja__opencl_api *cl = forja__opencl();
    uint8_t key[FORJA__SHA256_BYTES];
    forja__program_key(key, opencl, text, options);
    *out_log = NULL;
    *out = opencl->keeps_binaries ? load_binary(opencl, key, options) : NULL;
    if (*out)
        return CL_SUCCESS;
    cl_int code;
    cl_program program = cl->clCreateProgramWithSource(opencl->context, 1, &text, NULL, &code);
    if (code != CL_SUCCESS)
        return code;
    code = cl->clBuildProgram(program, 1, &opencl->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        *out_log = build_log(program, opencl->id);
        cl->clReleaseProgram(program);
        return code;
    }
    if (opencl->keeps_binaries)
        store_binary(program, key);
    *out = program;
    return CL_SUCCESS;
}

static forja_status fail_memory(void) {
    return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                       "no memory for a program's description; free memory on the machine");
}

/// Held: program_lock.
static forja_status program_get(const forja__program **out, forja_device *device,
                                forja__source source, const char *options) {
    forja__opencl_device *opencl = device->opencl;
    for (forja__program *program = opencl->programs; program; program = program->next)
        if (program->source == source && strcmp(program->options, options) == 0) {
            *out = program;
            return FORJA_OK;
        }
    static const char standard[] = "-cl-std=CL1.2 ";
    const size_t size = strlen(options) + 1;
    forja__program *program = malloc(sizeof *program + size);
    char *all_options = malloc(sizeof standard + size);
    char *text = NULL;
    forja_status status = program && all_options ? FORJA_OK : fail_memory();
    if (status == FORJA_OK)
        status = forja__kernel_source(&text, source);
    if (status == FORJA_OK) {
        program->source = source;
        memcpy(program->options, options, size);
        memcpy(all_options, standard, sizeof standard);
        strcat(all_options, options);
        char *log;
        cl_int code = forja__kernel_source_is_ptx(source)
                          ? forja__program_build_ptx(&program->program, &log, opencl, text)
                          : forja__program_build(&program->program, &log, opencl, text, all_options);
        if (code != CL_SUCCESS)
            status = forja__fail(
                FORJA_ERROR_COMPILE,
                "%s does not compile with \"%s\" on %s: %s (%d); the log says:\n%s",
                forja__kernel_source_name(source), all_options, device->info.name,
                forja__opencl_code_name(code), (int)code, log && *log ? log : "(nothing)");
        free(log);
    }
    free(text);
    free(all_options);
    if (status != FORJA_OK) {
        free(program);
        return status;
    }
    program->next = opencl->programs;
    opencl->programs = program;
    *out = program;
    return FORJA_OK;
}

/// FNV-1a (Fowler, Noll and Vo) over what names a kernel.
static uint32_t bucket_of(forja__source source, const char *options, const char *name) {
    uint32_t hash = 2166136261u ^ (uint32_t)source;
    for (; *options; options++)
        hash = (hash ^ (unsigned char)*options) * 16777619u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    return hash % FORJA__KERNEL_BUCKETS;
}

/// Held: program_lock.
static forja_status kernel_get(cl_kernel *out, forja_device *device, forja__source source,
                               const char *options, const char *name) {
    forja__kernel **bucket = &device->opencl->kernels[bucket_of(source, options, name)];
    for (forja__kernel *kernel = *bucket; kernel; kernel = kernel->next)
        if (kernel->program->source == source && strcmp(kernel->name, name) == 0 &&
            strcmp(kernel->program->options, options) == 0) {
            *out = kernel->kernel;
            return FORJA_OK;
        }
    const forja__program *program;
    FORJA__TRY(program_get(&program, device, source, options));
    const size_t size = strlen(name) + 1;
    forja__kernel *kernel = malloc(sizeof *kernel + size);
    if (!kernel)
        return fail_memory();
    cl_int code;
    kernel->kernel = forja__opencl()->clCreateKernel(program->program, name, &code);
    if (code != CL_SUCCESS) {
        free(kernel);
        char call[160];
        snprintf(call, sizeof call, "clCreateKernel of %s in %s", name,
                 forja__kernel_source_name(source));
        return forja__opencl_fail(code, call, device->info.name);
    }
    kernel->program = program;
    memcpy(kernel->name, name, size);
    kernel->next = *bucket;
    *bucket = kernel;
    atomic_fetch_add(&device->opencl->kernel_count, 1);
    *out = kernel->kernel;
    return FORJA_OK;
}

forja_status forja__kernel_get(cl_kernel *out, forja_device *device, forja__source source,
                               const char *options, const char *kernel_name) {
    pthread_mutex_t *lock = &device->opencl->program_lock;
    pthread_mutex_lock(lock);
    forja_status status = kernel_get(out, device, source, options, kernel_name);
    pthread_mutex_unlock(lock);
    return status;
}

void forja__programs_free(forja__opencl_device *opencl) {
    const forja__opencl_api *cl = forja__opencl();
    for (int i = 0; i < FORJA__KERNEL_BUCKETS; i++)
        for (forja__kernel *kernel = opencl->kernels[i], *next; kernel; kernel = next) {
            next = kernel->next;
            cl->clReleaseKernel(kernel->kernel);
            free(kernel);
        }
    for (forja__program *program = opencl->programs, *next; program; program = next) {
        next = program->next;
        cl->clReleaseProgram(program->program);
        free(program);
    }
}
