/// Host memory to copy through: from and to a device, and from it to others.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Allocates `size_bytes` bytes (at least 1) of host memory that `forja_buffer_read` and `forja_buffer_write`
/// of `device` copy fastest: pinned where the device has memory of its own, so that its copy engine reaches
/// them without the driver copying first; plain aligned memory on the host device. Contents undefined.
///
/// The bytes are the caller's until `forja_staging_free`, on any thread. They count as the host's memory:
/// with `forja_device_allocated_bytes` where the device shares it.
///
/// @param[out] out  Free with `forja_staging_free`, before its device.
/// @return FORJA_OK; FORJA_ERROR_OUT_OF_MEMORY naming the size, what is in use and the limit;
///         FORJA_ERROR_DEVICE when the driver refuses.
forja_status forja_staging_create(forja_staging **out, forja_device *device, uint64_t size_bytes);

/// NULL is allowed. The caller has finished every copy from and to the bytes.
void forja_staging_free(forja_staging *staging);

/// 0 and NULL for NULL. The pointer is borrowed.
uint64_t forja_staging_get_size(const forja_staging *staging);
void *forja_staging_get_pointer(forja_staging *staging);

#ifdef __cplusplus
}
#endif
