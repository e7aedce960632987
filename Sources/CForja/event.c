// Events: points in a queue's work.
#include <stdlib.h>

#include "opencl/device.h"

forja_status forja_queue_record(forja_event **out, forja_queue *queue) {
    if (!out || !queue)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_queue_record: %s is NULL",
                           out ? "queue" : "out");
    *out = NULL;
    forja_event *event = calloc(1, sizeof *event);
    if (!event)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for an event; free memory on the machine");
    event->device = queue->device;
    if (queue->command_queue) {
        forja_status status = forja__opencl_event_record(event, queue);
        if (status != FORJA_OK) {
            free(event);
            return status;
        }
    }
    *out = event;
    return FORJA_OK;
}

forja_status forja_event_wait(const forja_event *event) {
    if (!event)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "forja_event_wait: event is NULL");
    return event->opencl_event ? forja__opencl_event_wait(event) : FORJA_OK;
}

void forja_event_free(forja_event *event) {
    if (!event)
        return;
    if (event->opencl_event)
        forja__opencl_event_free(event);
    free(event);
}
