// Device memory: the host's own, or the driver's.
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "memory_limit.h"
#include "opencl/device.h"

// Large host buffers start on a huge page's boundary, so that the kernel can back them with huge
// pages: products walk matrices by columns and would otherwise miss the TLB on every row.
enum { HOST_ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

forja_status forja__host_allocate(void **out, const forja_device *device, uint64_t size_bytes) {
    const bool is_large = size_bytes >= 2 * HUGE_PAGE;
    const uint64_t alignment = is_large ? HUGE_PAGE : HOST_ALIGNMENT;
    const uint64_t mask = HOST_ALIGNMENT - 1;
    const uint64_t rounded = (size_bytes + mask) & ~mask;
    if (posix_memalign(out, alignment, rounded) != 0) {
        *out = NULL;
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "the system refuses %llu bytes with %llu in use on %s; use a smaller "
                           "batch or model",
                           (unsigned long long)size_bytes,
                           (unsigned long long)atomic_load(&device->allocated_bytes),
                           device->info.name);
    }
    if (is_large)
        madvise(*out, rounded & ~(uint64_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
    return FORJA_OK;
}

forja_status forja_buffer_create(forja_buffer **out, forja_device *device, uint64_t size_bytes) {
    if (!out || !device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_buffer_create: %s is NULL",
                           out ? "device" : "out");
    *out = NULL;
    if (size_bytes == 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_buffer_create: a buffer holds at least 1 byte; size_bytes is 0");
    FORJA__TRY(forja__memory_reserve(device, size_bytes));
    forja_buffer *buffer = calloc(1, sizeof *buffer);
    forja_status status;
    if (buffer) {
        buffer->device = device;
        buffer->size_bytes = size_bytes;
        status = device->opencl ? forja__opencl_buffer_create(buffer)
                                : forja__host_allocate(&buffer->host, device, size_bytes);
    } else {
        status = forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                             "no memory for a buffer's description; free memory on the machine");
    }
    if (status != FORJA_OK) {
        forja__memory_release(device, size_bytes);
        free(buffer);
        return status;
    }
    *out = buffer;
    return FORJA_OK;
}

void forja_buffer_free(forja_buffer *buffer) {
    if (!buffer)
        return;
    if (buffer->memory)
        forja__opencl_buffer_free(buffer);
    free(buffer->host);
    forja__memory_release(buffer->device, buffer->size_bytes);
    free(buffer);
}

uint64_t forja_buffer_get_size(const forja_buffer *buffer) {
    return buffer ? buffer->size_bytes : 0;
}

void *forja_buffer_get_host_pointer(forja_buffer *buffer) {
    return buffer ? buffer->host : NULL;
}

/// `buffer` belongs to the queue's device and holds the range.
static forja_status check_range(const forja_queue *queue, const forja_buffer *buffer,
                                uint64_t offset_bytes, uint64_t size_bytes, const char *call,
                                const char *name) {
    if (!queue || !buffer)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is NULL", call,
                           queue ? name : "queue");
    if (buffer->device != queue->device)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: %s belongs to another device than the queue (%s); make both on one "
                           "device",
                           call, name, queue->device->info.name);
    if (offset_bytes > buffer->size_bytes || size_bytes > buffer->size_bytes - offset_bytes)
        return forja__fail(FORJA_ERROR_OUT_OF_RANGE,
                           "%s: %llu bytes from %llu on pass the end of %s, which holds %llu; "
                           "shorten the range",
                           call, (unsigned long long)size_bytes, (unsigned long long)offset_bytes,
                           name, (unsigned long long)buffer->size_bytes);
    return FORJA_OK;
}

static forja_status check_host(const void *pointer, uint64_t size_bytes, const char *call,
                               const char *name) {
    if (!pointer && size_bytes > 0)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is NULL", call, name);
    return FORJA_OK;
}

forja_status forja_buffer_write(forja_queue *queue, forja_buffer *buffer, uint64_t offset_bytes,
                                const void *source, uint64_t size_bytes) {
    FORJA__TRY(
        check_range(queue, buffer, offset_bytes, size_bytes, "forja_buffer_write", "buffer"));
    FORJA__TRY(check_host(source, size_bytes, "forja_buffer_write", "source"));
    if (size_bytes == 0)
        return FORJA_OK;
    queue->counters.bytes_to_device += size_bytes;
    if (!forja__is_host(queue))
        return forja__opencl_buffer_write(queue, buffer, offset_bytes, source, size_bytes);
    memcpy((char *)buffer->host + offset_bytes, source, size_bytes);
    return FORJA_OK;
}

forja_status forja_buffer_read(forja_queue *queue, void *destination, const forja_buffer *buffer,
                               uint64_t offset_bytes, uint64_t size_bytes) {
    FORJA__TRY(check_range(queue, buffer, offset_bytes, size_bytes, "forja_buffer_read", "buffer"));
    FORJA__TRY(check_host(destination, size_bytes, "forja_buffer_read", "destination"));
    if (size_bytes == 0)
        return FORJA_OK;
    queue->counters.bytes_from_device += size_bytes;
    if (!forja__is_host(queue))
        return forja__opencl_buffer_read(queue, destination, buffer, offset_bytes, size_bytes);
    memcpy(destination, (const char *)buffer->host + offset_bytes, size_bytes);
    return FORJA_OK;
}

forja_status forja_buffer_copy(forja_queue *queue, forja_buffer *destination,
                               uint64_t destination_offset_bytes, const forja_buffer *source,
                               uint64_t source_offset_bytes, uint64_t size_bytes) {
    FORJA__TRY(check_range(queue, destination, destination_offset_bytes, size_bytes,
                           "forja_buffer_copy", "destination"));
    FORJA__TRY(
        check_range(queue, source, source_offset_bytes, size_bytes, "forja_buffer_copy", "source"));
    if (destination == source && destination_offset_bytes < source_offset_bytes + size_bytes &&
        source_offset_bytes < destination_offset_bytes + size_bytes)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_buffer_copy: %llu bytes from %llu to %llu overlap; copy through "
                           "another buffer",
                           (unsigned long long)size_bytes, (unsigned long long)source_offset_bytes,
                           (unsigned long long)destination_offset_bytes);
    if (size_bytes == 0)
        return FORJA_OK;
    if (!forja__is_host(queue))
        return forja__opencl_buffer_copy(queue, destination, destination_offset_bytes, source,
                                         source_offset_bytes, size_bytes);
    memcpy((char *)destination->host + destination_offset_bytes,
           (const char *)source->host + source_offset_bytes, size_bytes);
    return FORJA_OK;
}

forja_status forja_buffer_fill(forja_queue *queue, forja_buffer *buffer, uint64_t offset_bytes,
                               uint64_t size_bytes, uint8_t byte) {
    FORJA__TRY(check_range(queue, buffer, offset_bytes, size_bytes, "forja_buffer_fill", "buffer"));
    if (size_bytes == 0)
        return FORJA_OK;
    if (!forja__is_host(queue))
        return forja__opencl_buffer_fill(queue, buffer, offset_bytes, size_bytes, byte);
    memset((char *)buffer->host + offset_bytes, byte, size_bytes);
    return FORJA_OK;
}
