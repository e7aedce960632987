/// A point in a queue's work that another thread can wait for.
#pragma once

#include "forja_status.h"
#include "forja_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Marks the work queued so far and hands it to the device without waiting.
/// @param[out] out  Free with `forja_event_free`, before its queue.
forja_status forja_queue_record(forja_event **out, forja_queue *queue);

/// Waits until the marked work is done. Any thread may call it; the queue may take more work meanwhile.
/// Host operations are done when their call returns, so there is nothing to wait for.
forja_status forja_event_wait(const forja_event *event);

/// NULL is allowed. Does not wait.
void forja_event_free(forja_event *event);

#ifdef __cplusplus
}
#endif
