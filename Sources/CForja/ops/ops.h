/// What the public operations share.
#pragma once

#include "../internal.h"

/// `queue` and `args` are not NULL.
forja_status forja__check_call(const forja_queue *queue, const void *args, const char *operation);

/// `stride` elements between rows that are `width` elements wide: rows do not overlap.
forja_status forja__check_stride(uint64_t stride, uint64_t width, const char *operation,
                                 const char *name);

/// Neither NaN nor infinite.
forja_status forja__check_finite(float value, const char *operation, const char *name);

/// What `forja_matmul` refuses; `*out_is_empty`: there is nothing to compute.
forja_status forja__check_matmul(bool *out_is_empty, const forja_queue *queue,
                                 const forja_matmul_args *args);

/// Counts the operation and calls the twin for the queue's device. OpenCL's launches are counted where they are
/// enqueued. The host's are the pool's runs, started by this thread alone: one thread uses a queue at a time.
#define FORJA__DISPATCH(name, queue, args)                                                         \
    ((queue)->counters.operations++,                                                               \
     forja__is_host(queue) ? (forja__host_call_start(queue),                                       \
                              forja__host_call_end((queue), forja__cpu_##name((queue), (args))))   \
                           : forja__opencl_##name((queue), (args)))

static inline void forja__host_call_start(forja_queue *queue) {
    queue->pool_runs_before = forja__pool_runs_of_thread();
}

static inline forja_status forja__host_call_end(forja_queue *queue, forja_status status) {
    queue->counters.launches += forja__pool_runs_of_thread() - queue->pool_runs_before;
    return status;
}

/// The twin's workspace for `device`.
#define FORJA__DISPATCH_WORKSPACE(name, device, args)                                              \
    ((device)->info.kind == FORJA_DEVICE_HOST                                                      \
         ? forja__cpu_##name##_workspace_bytes((device), (args))                                   \
         : forja__opencl_##name##_workspace_bytes((device), (args)))
