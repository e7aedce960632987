// Memory limits. The drivers of CPU devices and Linux itself give memory on first touch, so a
// request that is too large succeeds and the process is killed later; it is refused here instead,
// by count.
#include "memory_limit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Reads `file`'s number into `limit` when it is a smaller one; "max" and absent files say nothing.
static void take_limit(const char *file, uint64_t *limit) {
    FILE *stream = fopen(file, "re");
    if (!stream)
        return;
    unsigned long long value;
    if (fscanf(stream, "%llu", &value) == 1 && value < *limit)
        *limit = value;
    fclose(stream);
}

/// The least limit on the way from the process's cgroup up to the root. Inside a container the path
/// that /proc shows may not exist below the mount; its ancestors then hold the container's limit.
static void take_cgroup_limits(const char *root, char *path, const char *name, uint64_t *limit) {
    char file[4352];
    for (;;) {
        snprintf(file, sizeof file, "%s%s/%s", root, path, name);
        take_limit(file, limit);
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

static uint64_t cgroup_limit(void) {
    uint64_t limit = UINT64_MAX;
    FILE *stream = fopen("/proc/self/cgroup", "re");
    if (!stream)
        return limit;
    char line[4224];
    while (fgets(line, sizeof line, stream)) {
        line[strcspn(line, "\n")] = '\0';
        // hierarchy:controllers:path, where version 2 is "0::path".
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        controllers++;
        *path++ = '\0';
        if (*controllers == '\0') {
            take_cgroup_limits("/sys/fs/cgroup", path, "memory.max", &limit);
            continue;
        }
        for (char *rest = controllers, *name; (name = strsep(&rest, ","));)
            if (strcmp(name, "memory") == 0)
                take_cgroup_limits("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", &limit);
    }
    fclose(stream);
    return limit;
}

/// Bytes, or a number with suffix K, M or G (powers of 1024).
static bool parse_size(const char *text, uint64_t *out) {
    if (!isdigit((unsigned char)text[0]))
        return false;
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    unsigned shift = 0;
    switch (toupper((unsigned char)*end)) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    }
    if (shift != 0)
        end++;
    if (*end != '\0' || number == 0 || number > UINT64_MAX >> shift)
        return false;
    *out = number << shift;
    return true;
}

static const char *configured_limit(void) {
    const char *text = getenv("FORJA_MEMORY_LIMIT");
    return text && *text ? text : NULL;
}

forja_status forja__memory_limit_validate(void) {
    const char *text = configured_limit();
    uint64_t size;
    if (text && !parse_size(text, &size))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "FORJA_MEMORY_LIMIT is \"%s\", which is not a size; write bytes, or a "
                           "whole number with K, M or G such as 4G",
                           text);
    return FORJA_OK;
}

/// Memory limit from FORJA_MEMORY_LIMIT and the cgroup (v2 and v1); UINT64_MAX when there is none.
static uint64_t host_memory_limit(void) {
    uint64_t limit = cgroup_limit(), configured;
    const char *text = configured_limit();
    if (text && parse_size(text, &configured) && configured < limit)
        limit = configured;
    return limit;
}

uint64_t forja__host_memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = host_memory_limit();
    if (pages <= 0 || page_bytes <= 0)
        return limit;
    uint64_t total = (uint64_t)pages * (uint64_t)page_bytes;
    return total < limit ? total : limit;
}

static _Atomic uint64_t host_allocated_bytes;

static _Atomic uint64_t *counter_of(forja_device *device) {
    return device->info.shares_host_memory ? &host_allocated_bytes : &device->allocated_bytes;
}

static forja_status refuse(const forja_device *device, uint64_t size_bytes, uint64_t used) {
    const double gib = 1024.0 * 1024.0 * 1024.0;
    const char *remedy =
        device->info.shares_host_memory
            ? "use a smaller batch or model, or raise FORJA_MEMORY_LIMIT or the cgroup's limit"
            : "use a smaller batch or model, or a device with more memory";
    if (size_bytes > device->info.max_allocation_bytes)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "a buffer of %llu bytes (%.2f GiB) is larger than the largest that %s "
                           "allocates, %llu bytes (%.2f GiB), with %llu bytes in use; %s",
                           (unsigned long long)size_bytes, (double)size_bytes / gib,
                           device->info.name, (unsigned long long)device->info.max_allocation_bytes,
                           (double)device->info.max_allocation_bytes / gib,
                           (unsigned long long)used, remedy);
    return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                       "a buffer of %llu bytes (%.2f GiB) does not fit on %s: %llu bytes are in "
                       "use and the limit is %llu bytes (%.2f GiB); %s",
                       (unsigned long long)size_bytes, (double)size_bytes / gib, device->info.name,
                       (unsigned long long)used, (unsigned long long)device->info.memory_bytes,
                       (double)device->info.memory_bytes / gib, remedy);
}

forja_status forja__memory_reserve(forja_device *device, uint64_t size_bytes) {
    _Atomic uint64_t *counter = counter_of(device);
    uint64_t used = atomic_load(counter);
    do {
        if (size_bytes > device->info.max_allocation_bytes || used > device->info.memory_bytes ||
            size_bytes > device->info.memory_bytes - used)
            return refuse(device, size_bytes, used);
    } while (!atomic_compare_exchange_weak(counter, &used, used + size_bytes));

    uint64_t now = counter == &device->allocated_bytes
                       ? used + size_bytes
                       : atomic_fetch_add(&device->allocated_bytes, size_bytes) + size_bytes;
    uint64_t peak = atomic_load(&device->peak_allocated_bytes);
    while (now > peak && !atomic_compare_exchange_weak(&device->peak_allocated_bytes, &peak, now))
        ;
    return FORJA_OK;
}

void forja__memory_release(forja_device *device, uint64_t size_bytes) {
    atomic_fetch_sub(&device->allocated_bytes, size_bytes);
    if (device->info.shares_host_memory)
        atomic_fetch_sub(&host_allocated_bytes, size_bytes);
}

forja_status forja__staging_reserve(forja_device *device, uint64_t size_bytes) {
    if (device->info.shares_host_memory)
        return forja__memory_reserve(device, size_bytes);
    const uint64_t limit = forja__host_memory_bytes();
    uint64_t used = atomic_load(&host_allocated_bytes);
    do {
        if (used > limit || size_bytes > limit - used)
            return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                               "%llu bytes to stage copies of %s do not fit in the host's memory: "
                               "%llu bytes are in use and the limit is %llu; use a smaller batch "
                               "or model, or raise FORJA_MEMORY_LIMIT or the cgroup's limit",
                               (unsigned long long)size_bytes, device->info.name,
                               (unsigned long long)used, (unsigned long long)limit);
    } while (!atomic_compare_exchange_weak(&host_allocated_bytes, &used, used + size_bytes));
    return FORJA_OK;
}

void forja__staging_release(forja_device *device, uint64_t size_bytes) {
    if (device->info.shares_host_memory)
        forja__memory_release(device, size_bytes);
    else
        atomic_fetch_sub(&host_allocated_bytes, size_bytes);
}
