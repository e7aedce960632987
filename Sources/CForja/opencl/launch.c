// Sets a kernel's arguments and enqueues it.
#include <stdio.h>

#include "device.h"
#include "profile.h"

const void *forja__span_memory(const forja_span *span) {
    static const cl_mem absent = NULL;
    return span->buffer ? (const void *)&span->buffer->memory : (const void *)&absent;
}

static forja_status fail_launch(cl_int code, const char *call, const forja_queue *queue) {
    return forja__opencl_fail(code, call, queue->device->info.name);
}

static forja_status launch(forja_queue *queue, cl_kernel kernel, const char *kernel_name,
                           const forja__arg *args, size_t arg_count, uint32_t dimensions,
                           const size_t *global, const size_t *local) {
    const forja__opencl_api *cl = forja__opencl();
    char call[192];
    for (size_t i = 0; i < arg_count; i++) {
        cl_int code = cl->clSetKernelArg(kernel, (cl_uint)i, args[i].size, args[i].value);
        if (code != CL_SUCCESS) {
            snprintf(call, sizeof call, "clSetKernelArg %zu (%zu bytes) of %s", i, args[i].size,
                     kernel_name);
            return fail_launch(code, call, queue);
        }
    }
    cl_event event = NULL;
    cl_int code = cl->clEnqueueNDRangeKernel(queue->command_queue, kernel, dimensions, NULL, global,
                                             local, 0, NULL, queue->profile ? &event : NULL);
    if (code != CL_SUCCESS) {
        size_t items = 1;
        for (uint32_t i = 0; i < dimensions; i++)
            items *= global[i];
        snprintf(call, sizeof call, "clEnqueueNDRangeKernel of %s (%zu work-items, %s)",
                 kernel_name, items, local ? "work-group given" : "work-group free");
        return fail_launch(code, call, queue);
    }
    queue->counters.launches++;
    if (queue->profile)
        forja__profile_keep(queue->profile, event);
    return FORJA_OK;
}

forja_status forja__kernel_launch(forja_queue *queue, cl_kernel kernel, const char *kernel_name,
                                  const forja__arg *args, size_t arg_count, uint32_t dimensions,
                                  const size_t *global, const size_t *local) {
    pthread_mutex_t *lock = &queue->device->opencl->launch_lock;
    pthread_mutex_lock(lock);
    forja_status status =
        launch(queue, kernel, kernel_name, args, arg_count, dimensions, global, local);
    pthread_mutex_unlock(lock);
    return status;
}
