/// How much memory the host may give, and the count of what its devices hold.
#pragma once

#include "internal.h"

/// The least of the machine's memory, the cgroup limit and FORJA_MEMORY_LIMIT.
uint64_t forja__host_memory_bytes(void);

/// FORJA_ERROR_INVALID_ARGUMENT when FORJA_MEMORY_LIMIT is set and is not a size.
forja_status forja__memory_limit_validate(void);

/// Counts `size_bytes` into `device`, or refuses with FORJA_ERROR_OUT_OF_MEMORY. Devices that share
/// the host's memory are counted together: two of them hold one machine's memory.
forja_status forja__memory_reserve(forja_device *device, uint64_t size_bytes);
void forja__memory_release(forja_device *device, uint64_t size_bytes);

/// As above for host memory that belongs to `device`: where the device has memory of its own, it is
/// counted with what all devices hold of the host's, against the host's limit.
forja_status forja__staging_reserve(forja_device *device, uint64_t size_bytes);
void forja__staging_release(forja_device *device, uint64_t size_bytes);
