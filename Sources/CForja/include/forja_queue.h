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

/// Operations handed to the device since the queue was created; one may be several kernels.
uint64_t forja_queue_launch_count(const forja_queue *queue);

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
