/// A queue runs operations in the order they are given, on one device, from one thread at a time.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/// @param[out] out  Free with `forja_queue_free`, before its device.
forja_status forja_queue_create(forja_queue **out, forja_device *device);

/// Waits for what was queued, then frees. NULL is allowed.
void forja_queue_free(forja_queue *queue);

/// Waits until everything queued is done. Host operations are done when their call returns.
forja_status forja_queue_finish(forja_queue *queue);

/// Makes the queue's workspace hold at least `size_bytes`. Operations grow it when they must; a caller
/// that reserves the largest `forja_*_workspace_bytes` first sees no allocation later.
forja_status forja_queue_reserve_workspace(forja_queue *queue, uint64_t size_bytes);

/// What a queue has done since it was created. Every number is exact and, for the same calls on the same device
/// and variants, the same each time, so a difference of two readings can be compared with a constant.
typedef struct forja_queue_counters {
    /// Calls of `forja_<operation>` that passed the checks of their arguments; one may be several kernels.
    uint64_t operations;
    /// Kernels: on an OpenCL device those enqueued (clEnqueueNDRangeKernel), on the host the runs of its thread
    /// pool, which small operations do without. Copies and fills are not kernels.
    uint64_t launches;
    /// Times the calling thread waited for the device: `forja_queue_finish`, `forja_buffer_read` and
    /// `forja_buffer_write`, the caller's and the engine's own. 0 on the host, where a call is done when it
    /// returns.
    uint64_t host_syncs;
    /// Bytes that `forja_buffer_write` copied to the device, and `forja_buffer_read` from it.
    uint64_t bytes_to_device, bytes_from_device;
} forja_queue_counters;

/// All zero when `queue` is NULL. Call it from the thread that uses the queue.
void forja_queue_get_counters(forja_queue_counters *out, const forja_queue *queue);

/// Starts to keep what each kernel takes, in the device's own time, and forgets what was kept before. An
/// OpenCL command queue is made anew with profiling on and stays so. On the host nothing is kept: an
/// operation's time is that of its call.
/// @return FORJA_OK; FORJA_ERROR_DEVICE when the driver refuses.
forja_status forja_queue_start_profile(forja_queue *queue);

/// Kernels kept since the profile was started; 0 without one.
uint64_t forja_queue_profiled_count(const forja_queue *queue);

/// Waits, then gives the seconds of each kept kernel, first to last.
/// @param[out] out  Room for `forja_queue_profiled_count` numbers.
/// @return FORJA_OK; FORJA_ERROR_OUT_OF_MEMORY when a kernel could not be kept; FORJA_ERROR_DEVICE.
forja_status forja_queue_read_profile(double *out, forja_queue *queue);

#ifdef __cplusplus
}
#endif
