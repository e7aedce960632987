/// Device memory.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Allocates `size_bytes` bytes (at least 1), 64-byte aligned, contents undefined.
/// @param[out] out  Free with `forja_buffer_free`, before its device.
/// @return FORJA_OK; FORJA_ERROR_OUT_OF_MEMORY naming the size, what is in use and the limit.
forja_status forja_buffer_create(forja_buffer **out, forja_device *device, uint64_t size_bytes);

/// NULL is allowed. The caller has finished every queue that uses the buffer.
void forja_buffer_free(forja_buffer *buffer);

uint64_t forja_buffer_get_size(const forja_buffer *buffer);

/// The buffer's bytes on the host device; NULL on an OpenCL device. Borrowed.
void *forja_buffer_get_host_pointer(forja_buffer *buffer);

/// Copies host memory into `buffer` from `offset_bytes` on; returns when `source` may be reused.
/// @return FORJA_ERROR_OUT_OF_RANGE, with nothing copied, when the range passes the end.
forja_status forja_buffer_write(forja_queue *queue, forja_buffer *buffer, uint64_t offset_bytes,
                                const void *source, uint64_t size_bytes);

/// Copies `buffer` into host memory after everything queued before; returns when it is there.
forja_status forja_buffer_read(forja_queue *queue, void *destination, const forja_buffer *buffer,
                               uint64_t offset_bytes, uint64_t size_bytes);

/// Copies between buffers of one device; ranges may not overlap. Queued, in order.
forja_status forja_buffer_copy(forja_queue *queue, forja_buffer *destination,
                               uint64_t destination_offset_bytes, const forja_buffer *source,
                               uint64_t source_offset_bytes, uint64_t size_bytes);

/// Sets every byte of the range to `byte`. Queued, in order.
forja_status forja_buffer_fill(forja_queue *queue, forja_buffer *buffer, uint64_t offset_bytes,
                               uint64_t size_bytes, uint8_t byte);

#ifdef __cplusplus
}
#endif
