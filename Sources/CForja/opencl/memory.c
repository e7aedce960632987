// Buffers, command queues and events of an OpenCL device.
#include "device.h"
#include "profile.h"

// CL_MEM_READ_WRITE alone: CPU runtimes then hold the one copy in host memory, and GPUs the one in
// theirs.
forja_status forja__opencl_buffer_create(forja_buffer *buffer) {
    cl_int code;
    buffer->memory =
        forja__opencl()->clCreateBuffer(buffer->device->opencl->context, CL_MEM_READ_WRITE,
                                        (size_t)buffer->size_bytes, NULL, &code);
    if (code != CL_SUCCESS)
        return forja__opencl_fail(code, "clCreateBuffer", buffer->device->info.name);
    return FORJA_OK;
}

void forja__opencl_buffer_free(forja_buffer *buffer) {
    forja__opencl()->clReleaseMemObject(buffer->memory);
}

static forja_status check(cl_int code, const char *call, const forja_queue *queue) {
    return code == CL_SUCCESS ? FORJA_OK : forja__opencl_fail(code, call, queue->device->info.name);
}

forja_status forja__opencl_buffer_write(forja_queue *queue, forja_buffer *buffer, uint64_t offset,
                                        const void *source, uint64_t size) {
    queue->counters.host_syncs++;
    cl_int code = forja__opencl()->clEnqueueWriteBuffer(
        queue->command_queue, buffer->memory, CL_TRUE, offset, size, source, 0, NULL, NULL);
    return check(code, "clEnqueueWriteBuffer", queue);
}

forja_status forja__opencl_buffer_read(forja_queue *queue, void *destination,
                                       const forja_buffer *buffer, uint64_t offset, uint64_t size) {
    queue->counters.host_syncs++;
    cl_int code = forja__opencl()->clEnqueueReadBuffer(
        queue->command_queue, buffer->memory, CL_TRUE, offset, size, destination, 0, NULL, NULL);
    return check(code, "clEnqueueReadBuffer", queue);
}

forja_status forja__opencl_buffer_copy(forja_queue *queue, forja_buffer *destination,
                                       uint64_t destination_offset, const forja_buffer *source,
                                       uint64_t source_offset, uint64_t size) {
    cl_int code = forja__opencl()->clEnqueueCopyBuffer(queue->command_queue, source->memory,
                                                       destination->memory, source_offset,
                                                       destination_offset, size, 0, NULL, NULL);
    return check(code, "clEnqueueCopyBuffer", queue);
}

forja_status forja__opencl_buffer_fill(forja_queue *queue, forja_buffer *buffer, uint64_t offset,
                                       uint64_t size, uint8_t byte) {
    cl_int code = forja__opencl()->clEnqueueFillBuffer(queue->command_queue, buffer->memory, &byte,
                                                       sizeof byte, offset, size, 0, NULL, NULL);
    return check(code, "clEnqueueFillBuffer", queue);
}

// The 1.2 call, deprecated since: 2.x and 3.0 drivers keep it and 1.2 drivers have no other.
static forja_status create_queue(cl_command_queue *out, const forja_device *device,
                                 cl_command_queue_properties properties) {
    cl_int code;
    *out = forja__opencl()->clCreateCommandQueue(device->opencl->context, device->opencl->id,
                                                 properties, &code);
    return code == CL_SUCCESS
               ? FORJA_OK
               : forja__opencl_fail(code, "clCreateCommandQueue", device->info.name);
}

// OpenCL 1.2 has no call for pinned memory. What drivers document for it is a buffer of
// CL_MEM_ALLOC_HOST_PTR that stays mapped: its pointer is host memory which their copies know as pinned.
// Mapping and unmapping need a queue, and only those two do.
forja_status forja__opencl_staging_create(forja_staging *staging) {
    const forja__opencl_api *cl = forja__opencl();
    const forja_device *device = staging->device;
    cl_command_queue queue;
    FORJA__TRY(create_queue(&queue, device, 0));
    const char *call = "clCreateBuffer";
    cl_int code;
    cl_mem memory = cl->clCreateBuffer(device->opencl->context,
                                       CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR,
                                       (size_t)staging->size_bytes, NULL, &code);
    if (code == CL_SUCCESS) {
        call = "clEnqueueMapBuffer";
        staging->bytes =
            cl->clEnqueueMapBuffer(queue, memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                   (size_t)staging->size_bytes, 0, NULL, NULL, &code);
        if (code != CL_SUCCESS)
            cl->clReleaseMemObject(memory);
    }
    cl->clReleaseCommandQueue(queue);
    if (code != CL_SUCCESS)
        return forja__opencl_fail(code, call, device->info.name);
    staging->memory = memory;
    return FORJA_OK;
}

void forja__opencl_staging_free(forja_staging *staging) {
    const forja__opencl_api *cl = forja__opencl();
    cl_command_queue queue;
    // Without a queue the driver unmaps when the buffer goes.
    if (create_queue(&queue, staging->device, 0) == FORJA_OK) {
        cl->clEnqueueUnmapMemObject(queue, staging->memory, staging->bytes, 0, NULL, NULL);
        cl->clFinish(queue);
        cl->clReleaseCommandQueue(queue);
    }
    cl->clReleaseMemObject(staging->memory);
}

forja_status forja__opencl_queue_create(forja_queue *queue) {
    cl_command_queue made;
    FORJA__TRY(create_queue(&made, queue->device, 0));
    queue->command_queue = made;
    return FORJA_OK;
}

forja_status forja__opencl_queue_start_profile(forja_queue *queue) {
    if (queue->profile) {
        forja__profile_forget(queue->profile);
        return FORJA_OK;
    }
    cl_command_queue made;
    FORJA__TRY(forja__opencl_queue_finish(queue));
    FORJA__TRY(create_queue(&made, queue->device, CL_QUEUE_PROFILING_ENABLE));
    queue->profile = forja__profile_create();
    if (!queue->profile) {
        forja__opencl()->clReleaseCommandQueue(made);
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a queue's profile; free memory on the machine");
    }
    forja__opencl()->clReleaseCommandQueue(queue->command_queue);
    queue->command_queue = made;
    return FORJA_OK;
}

void forja__opencl_queue_free(forja_queue *queue) {
    forja__opencl()->clFinish(queue->command_queue);
    forja__profile_free(queue->profile);
    forja__opencl()->clReleaseCommandQueue(queue->command_queue);
}

forja_status forja__opencl_queue_finish(forja_queue *queue) {
    queue->counters.host_syncs++;
    return check(forja__opencl()->clFinish(queue->command_queue), "clFinish", queue);
}

forja_status forja__opencl_event_record(forja_event *event, forja_queue *queue) {
    cl_event marker;
    FORJA__TRY(check(
        forja__opencl()->clEnqueueMarkerWithWaitList(queue->command_queue, 0, NULL, &marker),
        "clEnqueueMarkerWithWaitList", queue));
    // Without a flush a driver may hold the work back until somebody waits in this queue.
    const cl_int code = forja__opencl()->clFlush(queue->command_queue);
    if (code != CL_SUCCESS) {
        forja__opencl()->clReleaseEvent(marker);
        return check(code, "clFlush", queue);
    }
    event->opencl_event = marker;
    return FORJA_OK;
}

forja_status forja__opencl_event_wait(const forja_event *event) {
    const cl_event marker = event->opencl_event;
    cl_int code = forja__opencl()->clWaitForEvents(1, &marker);
    return code == CL_SUCCESS
               ? FORJA_OK
               : forja__opencl_fail(code, "clWaitForEvents", event->device->info.name);
}

void forja__opencl_event_free(forja_event *event) {
    forja__opencl()->clReleaseEvent(event->opencl_event);
}
