// Describes, opens and closes an OpenCL device.
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../memory_limit.h"

/// The text behind a query, cut to `size`; "unknown" when the driver does not answer.
#define READ_TEXT(function, object, parameter, out, size)                                          \
    do {                                                                                           \
        char text_[2048] = "";                                                                     \
        if (function((object), (parameter), sizeof text_ - 1, text_, NULL) != CL_SUCCESS)          \
            strcpy(text_, "unknown");                                                              \
        const char *start_ = text_ + strspn(text_, " ");                                           \
        snprintf((out), (size), "%.*s", (int)(size) - 1, start_);                                  \
    } while (0)

forja_status forja__opencl_describe(forja_device_info *out, const forja__opencl_entry *entry) {
    const forja__opencl_api *cl = forja__opencl();
    *out = (forja_device_info){0};
    READ_TEXT(cl->clGetDeviceInfo, entry->id, CL_DEVICE_NAME, out->name, sizeof out->name);
    READ_TEXT(cl->clGetPlatformInfo, entry->platform, CL_PLATFORM_NAME, out->platform,
              sizeof out->platform);
    char driver[120], version[120];
    READ_TEXT(cl->clGetDeviceInfo, entry->id, CL_DRIVER_VERSION, driver, sizeof driver);
    READ_TEXT(cl->clGetPlatformInfo, entry->platform, CL_PLATFORM_VERSION, version, sizeof version);
    snprintf(out->driver, sizeof out->driver, "%s, %s", driver, version);

    cl_device_type type = 0;
    cl_ulong memory = 0, allocation = 0, local = 0;
    cl_uint units = 0;
    cl_bool unified = CL_FALSE;
    cl_int code;
    if ((code = cl->clGetDeviceInfo(entry->id, CL_DEVICE_TYPE, sizeof type, &type, NULL)) ||
        (code = cl->clGetDeviceInfo(entry->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory,
                                    NULL)) ||
        (code = cl->clGetDeviceInfo(entry->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof allocation,
                                    &allocation, NULL)) ||
        (code = cl->clGetDeviceInfo(entry->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local,
                                    NULL)) ||
        (code = cl->clGetDeviceInfo(entry->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units,
                                    NULL)))
        return forja__opencl_fail(code, "clGetDeviceInfo", out->name);
    // Deprecated since OpenCL 2.0 and still answered; a driver that does not is a discrete GPU's.
    cl->clGetDeviceInfo(entry->id, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified, NULL);

    if (type & CL_DEVICE_TYPE_GPU)
        out->kind = FORJA_DEVICE_OPENCL_GPU;
    else if (type & CL_DEVICE_TYPE_CPU)
        out->kind = FORJA_DEVICE_OPENCL_CPU;
    else
        out->kind = FORJA_DEVICE_OPENCL_ACCELERATOR;
    out->shares_host_memory = out->kind == FORJA_DEVICE_OPENCL_CPU || unified;
    out->memory_bytes = memory;
    if (out->shares_host_memory && forja__host_memory_bytes() < memory)
        out->memory_bytes = forja__host_memory_bytes();
    out->max_allocation_bytes = allocation < out->memory_bytes ? allocation : out->memory_bytes;
    out->local_memory_bytes = local;
    out->compute_units = units;
    out->thread_count = units;
    return FORJA_OK;
}

/// PoCL keeps a cache of its own, and to give out a binary it first compiles every kernel once
/// more, for any work-group size: several times the build itself, for an entry that saves a tenth
/// of a second.
static bool keeps_binaries(const char *platform_name) {
    const char *setting = getenv("FORJA_PROGRAM_CACHE");
    if (setting && *setting)
        return strcmp(setting, "0") != 0;
    return strcmp(platform_name, "Portable Computing Language") != 0;
}

forja_status forja__opencl_device_open_unprobed(forja_device *device,
                                                const forja__opencl_entry *entry) {
    const forja__opencl_api *cl = forja__opencl();
    forja__opencl_device *opencl = calloc(1, sizeof *opencl);
    if (!opencl)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a device's description; free memory on the machine");
    opencl->platform = entry->platform;
    opencl->id = entry->id;
    snprintf(opencl->identity, sizeof opencl->identity, "%s\n%s\n%s\n", device->info.name,
             device->info.driver, device->info.platform);
    size_t work_group = 1;
    cl->clGetDeviceInfo(entry->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof work_group, &work_group,
                        NULL);
    opencl->max_work_group = work_group;
    cl_uint width = 0;
    cl->clGetDeviceInfo(entry->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof width, &width, NULL);
    opencl->vector_width = width >= 16 ? 16 : width >= 8 ? 8 : 4;
    opencl->keeps_binaries = keeps_binaries(device->info.platform);

    // One context per device: a shared one reserves memory on every device it names.
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                          (cl_context_properties)entry->platform, 0};
    cl_int code;
    opencl->context = cl->clCreateContext(properties, 1, &opencl->id, NULL, NULL, &code);
    if (code != CL_SUCCESS) {
        free(opencl);
        return forja__opencl_fail(code, "clCreateContext", device->info.name);
    }
    pthread_mutex_init(&opencl->program_lock, NULL);
    pthread_mutex_init(&opencl->launch_lock, NULL);
    device->opencl = opencl;
    return FORJA_OK;
}

forja_status forja__opencl_device_open(forja_device *device, const forja__opencl_entry *entry) {
    FORJA__TRY(forja__opencl_device_open_unprobed(device, entry));
    forja__opencl_probe(device);
    return FORJA_OK;
}

void forja__opencl_device_close(forja_device *device) {
    forja__opencl_device *opencl = device->opencl;
    if (!opencl)
        return;
    forja__programs_free(opencl);
    // Buffers that are still alive keep the context alive; the driver counts references.
    forja__opencl()->clReleaseContext(opencl->context);
    pthread_mutex_destroy(&opencl->program_lock);
    pthread_mutex_destroy(&opencl->launch_lock);
    if (opencl->is_sub_device)
        forja__opencl_sub_device_free(opencl->id);
    free(opencl->tuned);
    free(opencl);
    device->opencl = NULL;
}

forja_status forja__opencl_sub_device(forja__opencl_entry *out, const forja__opencl_entry *entry,
                                      uint32_t part, uint32_t part_count) {
    const forja__opencl_api *cl = forja__opencl();
    forja_device_info info;
    FORJA__TRY(forja__opencl_describe(&info, entry));
    const uint32_t units = info.compute_units / part_count;
    if (units == 0)
        return forja__fail(FORJA_ERROR_UNAVAILABLE,
                           "%s has %u compute units, too few for %u sub-devices; use fewer",
                           info.name, info.compute_units, part_count);
    const cl_device_partition_property properties[] = {CL_DEVICE_PARTITION_EQUALLY, units, 0};
    const cl_uint capacity = info.compute_units / units;
    cl_device_id *ids = calloc(capacity, sizeof *ids);
    if (!ids)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a list of devices; free memory on the machine");
    cl_uint count = 0;
    const cl_int code = cl->clCreateSubDevices(entry->id, properties, capacity, ids, &count);
    if (code != CL_SUCCESS || count <= part) {
        free(ids);
        return forja__fail(FORJA_ERROR_UNAVAILABLE,
                           "%s cannot be split into %u sub-devices: clCreateSubDevices says %s "
                           "(%d); let the ranks share it",
                           info.name, part_count, forja__opencl_code_name(code), (int)code);
    }
    for (cl_uint i = 0; i < count; i++)
        if (i != part)
            cl->clReleaseDevice(ids[i]);
    *out = (forja__opencl_entry){entry->platform, ids[part]};
    free(ids);
    return FORJA_OK;
}

void forja__opencl_sub_device_free(cl_device_id id) {
    forja__opencl()->clReleaseDevice(id);
}

bool forja__opencl_is_cpu(const forja_device *device) {
    return device->info.kind == FORJA_DEVICE_OPENCL_CPU &&
           strcmp(device->info.platform, "rusticl") != 0;
}

uint64_t forja__opencl_max_work_group(const forja_device *device) {
    return device->opencl->max_work_group;
}

uint32_t forja__opencl_vector_width(const forja_device *device) {
    return device->opencl->vector_width;
}
