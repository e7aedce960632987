// Queues and their workspace.
#include <stdlib.h>
#include <string.h>

#include "opencl/device.h"
#include "opencl/profile.h"

forja_status forja_queue_create(forja_queue **out, forja_device *device) {
    if (!out || !device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_queue_create: %s is NULL",
                           out ? "device" : "out");
    *out = NULL;
    forja_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a queue; free memory on the machine");
    queue->device = device;
    if (device->opencl) {
        forja_status status = forja__opencl_queue_create(queue);
        if (status != FORJA_OK) {
            free(queue);
            return status;
        }
    }
    *out = queue;
    return FORJA_OK;
}

void forja_queue_free(forja_queue *queue) {
    if (!queue)
        return;
    if (queue->command_queue)
        forja__opencl_queue_free(queue);
    forja_buffer_free(queue->workspace);
    free(queue);
}

forja_status forja_queue_finish(forja_queue *queue) {
    if (!queue)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_queue_finish: queue is NULL");
    return queue->command_queue ? forja__opencl_queue_finish(queue) : FORJA_OK;
}

// For tests, FORJA_POISON_WORKSPACE=1: a new workspace is NaN throughout, in one write, so that what a
// kernel reads before a kernel wrote it shows in its results.
static forja_status poison_where_asked(forja_queue *queue) {
    const char *asked = getenv("FORJA_POISON_WORKSPACE");
    if (!asked || strcmp(asked, "1") != 0)
        return FORJA_OK;
    const uint64_t size = queue->workspace->size_bytes;
    void *poison = malloc(size);
    if (!poison)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory to poison a workspace; unset FORJA_POISON_WORKSPACE");
    memset(poison, 0xff, size);
    forja_status status = forja_buffer_write(queue, queue->workspace, 0, poison, size);
    free(poison);
    return status;
}

forja_status forja_queue_reserve_workspace(forja_queue *queue, uint64_t size_bytes) {
    if (!queue)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_queue_reserve_workspace: queue is NULL");
    if (size_bytes == 0 || (queue->workspace && queue->workspace->size_bytes >= size_bytes))
        return FORJA_OK;
    // Whole blocks, so that a run of slowly growing requests does not allocate each time.
    const uint64_t block = 64 << 10;
    if (size_bytes <= UINT64_MAX - block)
        size_bytes = (size_bytes + block - 1) / block * block;
    // Freed before the larger one is made, so that the peak is the larger one alone; what was
    // queued may still read it.
    FORJA__TRY(forja_queue_finish(queue));
    forja_buffer_free(queue->workspace);
    queue->workspace = NULL;
    FORJA__TRY(forja_buffer_create(&queue->workspace, queue->device, size_bytes));
    return poison_where_asked(queue);
}

forja_status forja__queue_workspace(forja_buffer **out, forja_queue *queue, uint64_t size_bytes) {
    *out = NULL;
    FORJA__TRY(forja_queue_reserve_workspace(queue, size_bytes));
    *out = queue->workspace;
    return FORJA_OK;
}

void forja_queue_get_counters(forja_queue_counters *out, const forja_queue *queue) {
    if (out)
        *out = queue ? queue->counters : (forja_queue_counters){0};
}

forja_status forja_queue_start_profile(forja_queue *queue) {
    if (!queue)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_queue_start_profile: queue is NULL");
    return queue->command_queue ? forja__opencl_queue_start_profile(queue) : FORJA_OK;
}

uint64_t forja_queue_profiled_count(const forja_queue *queue) {
    return queue && queue->profile ? forja__profile_count(queue->profile) : 0;
}

forja_status forja_queue_read_profile(double *out, forja_queue *queue) {
    if (!queue)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_queue_read_profile: queue is NULL");
    if (forja_queue_profiled_count(queue) == 0)
        return FORJA_OK;
    if (!out)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_queue_read_profile: out is NULL");
    FORJA__TRY(forja_queue_finish(queue));
    return forja__profile_read(out, queue->profile, queue->device->info.name);
}
