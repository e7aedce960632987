// Host memory to copy through: plain, or pinned by the driver.
#include <stdlib.h>

#include "memory_limit.h"
#include "opencl/device.h"

forja_status forja_staging_create(forja_staging **out, forja_device *device, uint64_t size_bytes) {
    if (!out || !device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_staging_create: %s is NULL",
                           out ? "device" : "out");
    *out = NULL;
    if (size_bytes == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_staging_create: staging holds at least 1 byte; size_bytes is 0");
    FORJA__TRY(forja__staging_reserve(device, size_bytes));
    forja_staging *staging = calloc(1, sizeof *staging);
    forja_status status;
    if (staging) {
        staging->device = device;
        staging->size_bytes = size_bytes;
        status = device->opencl ? forja__opencl_staging_create(staging)
                                : forja__host_allocate(&staging->bytes, device, size_bytes);
    } else {
        status = forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                             "no memory for a description of staging; free memory on the machine");
    }
    if (status != FORJA_OK) {
        forja__staging_release(device, size_bytes);
        free(staging);
        return status;
    }
    *out = staging;
    return FORJA_OK;
}

void forja_staging_free(forja_staging *staging) {
    if (!staging)
        return;
    if (staging->memory)
        forja__opencl_staging_free(staging);
    else
        free(staging->bytes);
    forja__staging_release(staging->device, staging->size_bytes);
    free(staging);
}

uint64_t forja_staging_get_size(const forja_staging *staging) {
    return staging ? staging->size_bytes : 0;
}

void *forja_staging_get_pointer(forja_staging *staging) {
    return staging ? staging->bytes : NULL;
}
