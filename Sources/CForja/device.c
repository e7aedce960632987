// Opens and closes devices; describes the host CPU.
#define _GNU_SOURCE
#include <cblas.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "memory_limit.h"
#include "opencl/device.h"

enum { MAX_THREADS = 1024 };

/// "model name" of the first core; the architecture where the kernel names no model (AArch64).
static void read_cpu_name(char *out, size_t size) {
    struct utsname machine;
    snprintf(out, size, "%s CPU", uname(&machine) == 0 ? machine.machine : "host");
    FILE *stream = fopen("/proc/cpuinfo", "re");
    if (!stream)
        return;
    char line[512];
    while (fgets(line, sizeof line, stream)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        colon[1 + strcspn(colon + 1, "\n")] = '\0';
        snprintf(out, size, "%s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    fclose(stream);
}

static char blas_description[256];

static void describe_blas(void) {
    snprintf(blas_description, sizeof blas_description, "%s (core %s)", openblas_get_config(),
             openblas_get_corename());
}

const char *forja_blas_description(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, describe_blas);
    return blas_description;
}

static forja_status check_thread_count(uint32_t thread_count) {
    if (thread_count > MAX_THREADS)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "thread count %u is above %d; use 0 for all cores", thread_count,
                           MAX_THREADS);
    return FORJA_OK;
}

static forja_status device_allocate(forja_device **out) {
    *out = calloc(1, sizeof **out);
    return *out ? FORJA_OK
                : forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                              "no memory for a device's description; free memory on the machine");
}

forja_status forja_device_open_host(forja_device **out, uint32_t thread_count) {
    if (!out)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_device_open_host: out is NULL; pass where to put the device");
    *out = NULL;
    FORJA__TRY(check_thread_count(thread_count));
    FORJA__TRY(forja__memory_limit_validate());
    forja_device *device;
    FORJA__TRY(device_allocate(&device));
    forja_status status = forja__pool_create(&device->pool, thread_count);
    if (status != FORJA_OK) {
        free(device);
        return status;
    }
    // The pool owns the cores: OpenBLAS's own threads would spin against it.
    openblas_set_num_threads(1);

    forja_device_info *info = &device->info;
    info->kind = FORJA_DEVICE_HOST;
    read_cpu_name(info->name, sizeof info->name);
    strcpy(info->platform, "host");
    snprintf(info->driver, sizeof info->driver, "%s", forja_blas_description());
    info->memory_bytes = forja__host_memory_bytes();
    info->max_allocation_bytes = info->memory_bytes;
    info->compute_units = forja__affinity_core_count();
    info->thread_count = forja__pool_thread_count(device->pool);
    info->shares_host_memory = true;
    info->has_fp64 = true;
    *out = device;
    return FORJA_OK;
}

forja_status forja_device_open_opencl(forja_device **out, size_t index) {
    if (!out)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_device_open_opencl: out is NULL; pass where to put the device");
    *out = NULL;
    FORJA__TRY(forja__memory_limit_validate());
    forja_device_info info;
    FORJA__TRY(forja_opencl_device_query(&info, index));
    const forja__opencl_entry *entries;
    forja__opencl_discover(&entries);
    forja_device *device;
    FORJA__TRY(device_allocate(&device));
    device->info = info;
    forja_status status = forja__opencl_device_open(device, &entries[index]);
    if (status != FORJA_OK) {
        free(device);
        return status;
    }
    *out = device;
    return FORJA_OK;
}

forja_status forja_device_open_opencl_part(forja_device **out, size_t index, uint32_t part,
                                           uint32_t part_count) {
    if (!out || part_count == 0 || part >= part_count)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_device_open_opencl_part: %s; pass where to put the device and a "
                           "part below part_count",
                           out ? "part is not below part_count" : "out is NULL");
    *out = NULL;
    FORJA__TRY(forja__memory_limit_validate());
    const forja__opencl_entry *entries;
    forja_device_info whole;
    FORJA__TRY(forja_opencl_device_query(&whole, index));
    forja__opencl_discover(&entries);
    forja__opencl_entry entry;
    FORJA__TRY(forja__opencl_sub_device(&entry, &entries[index], part, part_count));
    forja_device *device;
    forja_status status = device_allocate(&device);
    if (status == FORJA_OK) {
        status = forja__opencl_describe(&device->info, &entry);
        if (status == FORJA_OK)
            status = forja__opencl_device_open(device, &entry);
        if (status != FORJA_OK)
            free(device);
    }
    if (status != FORJA_OK) {
        forja__opencl_sub_device_free(entry.id);
        return status;
    }
    device->opencl->is_sub_device = true;
    *out = device;
    return FORJA_OK;
}

void forja_device_free(forja_device *device) {
    if (!device)
        return;
    forja__opencl_device_close(device);
    if (device->pool)
        forja__pool_free(device->pool);
    free(device);
}

forja_status forja_device_get_info(forja_device_info *out, const forja_device *device) {
    if (!out || !device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_device_get_info: %s is NULL; pass both", out ? "device" : "out");
    *out = device->info;
    return FORJA_OK;
}

uint64_t forja_device_allocated_bytes(const forja_device *device) {
    return device ? atomic_load(&device->allocated_bytes) : 0;
}

uint64_t forja_device_peak_allocated_bytes(const forja_device *device) {
    return device ? atomic_load(&device->peak_allocated_bytes) : 0;
}

uint64_t forja_device_kernel_count(const forja_device *device) {
    return device && device->opencl ? atomic_load(&device->opencl->kernel_count) : 0;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

forja_status forja_host_measure_peak(double *out_flops_per_second, uint32_t thread_count) {
    enum { N = 1536, REPEATS = 6 };
    if (!out_flops_per_second)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_host_measure_peak: out_flops_per_second is NULL; pass a double");
    FORJA__TRY(check_thread_count(thread_count));
    const size_t count = (size_t)N * N;
    float *a = aligned_alloc(64, 3 * count * sizeof *a);
    if (!a)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for three %d x %d matrices; free memory on the machine", N,
                           N);
    float *b = a + count, *c = b + count;
    // Small whole numbers, so that no product is a subnormal, which some cores compute slowly.
    for (size_t i = 0; i < count; i++) {
        a[i] = (float)(i % 7) - 3.0f;
        b[i] = (float)(i % 5) - 2.0f;
        c[i] = 0.0f;
    }
    const int threads_before = openblas_get_num_threads();
    openblas_set_num_threads((int)(thread_count ? thread_count : forja__affinity_core_count()));
    double best = 0.0;
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        double start = seconds_now();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, N, N, N, 1.0f, a, N, b, N, 0.0f, c,
                    N);
        double flops_per_second = 2.0 * N * N * N / (seconds_now() - start);
        if (flops_per_second > best)
            best = flops_per_second;
    }
    openblas_set_num_threads(threads_before);
    free(a);
    *out_flops_per_second = best;
    return FORJA_OK;
}
