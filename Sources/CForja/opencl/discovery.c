// Finds the devices of every platform, once per process.
#include <stdio.h>
#include <stdlib.h>

#include "device.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static forja__opencl_entry *entries;
static size_t entry_count;
static char status[512];

static bool is_usable(const forja__opencl_api *cl, cl_device_id id) {
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    return cl->clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL) ==
               CL_SUCCESS &&
           cl->clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler,
                               NULL) == CL_SUCCESS &&
           available && compiler;
}

/// Appends the platform's usable devices and returns how many there are; -1 when it cannot be
/// asked.
static int take_platform(const forja__opencl_api *cl, cl_platform_id platform) {
    cl_uint count = 0;
    cl_int code = cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 0, NULL, &count);
    if (code == CL_DEVICE_NOT_FOUND || (code == CL_SUCCESS && count == 0))
        return 0;
    if (code != CL_SUCCESS)
        return -1;
    cl_device_id *ids = calloc(count, sizeof *ids);
    forja__opencl_entry *grown = realloc(entries, (entry_count + count) * sizeof *entries);
    if (grown)
        entries = grown;
    if (!ids || !grown ||
        cl->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, count, ids, NULL) != CL_SUCCESS) {
        free(ids);
        return -1;
    }
    int taken = 0;
    for (cl_uint i = 0; i < count; i++)
        if (is_usable(cl, ids[i])) {
            entries[entry_count++] = (forja__opencl_entry){platform, ids[i]};
            taken++;
        }
    free(ids);
    return taken;
}

static void discover(void) {
    const forja__opencl_api *cl = forja__opencl();
    if (!cl) {
        snprintf(status, sizeof status, "%s", forja__opencl_loader_error());
        return;
    }
    cl_uint count = 0;
    cl_int code = cl->clGetPlatformIDs(0, NULL, &count);
    if (code != CL_SUCCESS || count == 0) {
        snprintf(status, sizeof status,
                 "no OpenCL platform: clGetPlatformIDs says %s (%d), %u platforms; install a "
                 "driver and its .icd file",
                 code == CL_SUCCESS ? "CL_SUCCESS" : forja__opencl_code_name(code), (int)code,
                 (unsigned)count);
        return;
    }
    cl_platform_id *platforms = calloc(count, sizeof(cl_platform_id));
    if (!platforms || cl->clGetPlatformIDs(count, platforms, NULL) != CL_SUCCESS)
        count = 0;
    unsigned used = 0, broken = 0;
    for (cl_uint i = 0; i < count; i++) {
        int taken = take_platform(cl, platforms[i]);
        used += taken > 0;
        broken += taken < 0;
    }
    free(platforms);
    int length = snprintf(status, sizeof status, "%zu device%s on %u platform%s", entry_count,
                          entry_count == 1 ? "" : "s", used, used == 1 ? "" : "s");
    if (entry_count == 0)
        length = snprintf(status, sizeof status,
                          "no usable OpenCL device on %u platform%s; check the driver with clinfo",
                          (unsigned)count, count == 1 ? "" : "s");
    if (broken > 0 && length > 0 && (size_t)length < sizeof status)
        snprintf(status + length, sizeof status - (size_t)length,
                 " (%u platform%s skipped: the driver refuses to list its devices)", broken,
                 broken == 1 ? "" : "s");
}

size_t forja__opencl_discover(const forja__opencl_entry **out) {
    pthread_once(&once, discover);
    *out = entries;
    return entry_count;
}

size_t forja_opencl_device_count(void) {
    const forja__opencl_entry *found;
    return forja__opencl_discover(&found);
}

const char *forja_opencl_status(void) {
    pthread_once(&once, discover);
    return status;
}

forja_status forja_opencl_device_query(forja_device_info *out, size_t index) {
    if (!out)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_opencl_device_query: out is NULL; pass a forja_device_info");
    const forja__opencl_entry *found;
    size_t count = forja__opencl_discover(&found);
    if (index >= count)
        return forja__fail(FORJA_ERROR_OUT_OF_RANGE,
                           "there is no OpenCL device %zu (%s); choose an index below %zu or use "
                           "the host CPU",
                           index, status, count);
    return forja__opencl_describe(out, &found[index]);
}
