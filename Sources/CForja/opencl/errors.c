// OpenCL codes as the engine's statuses.
#include "device.h"

const char *forja__opencl_code_name(cl_int code) {
#define CASE(name)                                                                                 \
    case name:                                                                                     \
        return #name
    switch (code) {
        CASE(CL_DEVICE_NOT_FOUND);
        CASE(CL_DEVICE_NOT_AVAILABLE);
        CASE(CL_COMPILER_NOT_AVAILABLE);
        CASE(CL_MEM_OBJECT_ALLOCATION_FAILURE);
        CASE(CL_OUT_OF_RESOURCES);
        CASE(CL_OUT_OF_HOST_MEMORY);
        CASE(CL_MEM_COPY_OVERLAP);
        CASE(CL_BUILD_PROGRAM_FAILURE);
        CASE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
        CASE(CL_INVALID_VALUE);
        CASE(CL_INVALID_PLATFORM);
        CASE(CL_INVALID_DEVICE);
        CASE(CL_INVALID_CONTEXT);
        CASE(CL_INVALID_COMMAND_QUEUE);
        CASE(CL_INVALID_MEM_OBJECT);
        CASE(CL_INVALID_BINARY);
        CASE(CL_INVALID_BUILD_OPTIONS);
        CASE(CL_INVALID_PROGRAM);
        CASE(CL_INVALID_PROGRAM_EXECUTABLE);
        CASE(CL_INVALID_KERNEL_NAME);
        CASE(CL_INVALID_KERNEL);
        CASE(CL_INVALID_ARG_INDEX);
        CASE(CL_INVALID_ARG_VALUE);
        CASE(CL_INVALID_ARG_SIZE);
        CASE(CL_INVALID_KERNEL_ARGS);
        CASE(CL_INVALID_WORK_DIMENSION);
        CASE(CL_INVALID_WORK_GROUP_SIZE);
        CASE(CL_INVALID_WORK_ITEM_SIZE);
        CASE(CL_INVALID_GLOBAL_OFFSET);
        CASE(CL_INVALID_OPERATION);
        CASE(CL_INVALID_BUFFER_SIZE);
        CASE(CL_INVALID_GLOBAL_WORK_SIZE);
    case -1001:
        return "CL_PLATFORM_NOT_FOUND_KHR";
    }
#undef CASE
    return "unknown code";
}

forja_status forja__opencl_fail(cl_int code, const char *call, const char *device_name) {
    bool is_memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
    return forja__fail(is_memory ? FORJA_ERROR_OUT_OF_MEMORY : FORJA_ERROR_DEVICE,
                       "%s failed with %s (%d) on %s; %s", call, forja__opencl_code_name(code),
                       (int)code, device_name,
                       is_memory ? "use a smaller batch or model"
                                 : "check the driver with clinfo, or use another device");
}
