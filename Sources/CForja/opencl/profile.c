// A growing list of events.
#include "profile.h"

#include <stdlib.h>

#include "device.h"

struct forja__profile {
    cl_event *events;
    size_t count, capacity;
    bool lost_some;
};

forja__profile *forja__profile_create(void) { return calloc(1, sizeof(forja__profile)); }

void forja__profile_free(forja__profile *profile) {
    if (!profile)
        return;
    forja__profile_forget(profile);
    free(profile->events);
    free(profile);
}

void forja__profile_keep(forja__profile *profile, cl_event event) {
    if (profile->count == profile->capacity) {
        const size_t capacity = profile->capacity ? 2 * profile->capacity : 1024;
        cl_event *events = realloc(profile->events, capacity * sizeof *events);
        if (!events) {
            forja__opencl()->clReleaseEvent(event);
            profile->lost_some = true;
            return;
        }
        profile->events = events;
        profile->capacity = capacity;
    }
    profile->events[profile->count++] = event;
}

void forja__profile_forget(forja__profile *profile) {
    for (size_t i = 0; i < profile->count; i++)
        forja__opencl()->clReleaseEvent(profile->events[i]);
    profile->count = 0;
    profile->lost_some = false;
}

uint64_t forja__profile_count(const forja__profile *profile) { return profile->count; }

forja_status forja__profile_read(double *out, const forja__profile *profile,
                                 const char *device_name) {
    if (profile->lost_some)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a profile of more than %zu kernels; profile fewer steps",
                           profile->count);
    const forja__opencl_api *cl = forja__opencl();
    for (size_t i = 0; i < profile->count; i++) {
        cl_ulong start, end;
        cl_int code = cl->clGetEventProfilingInfo(profile->events[i], CL_PROFILING_COMMAND_START,
                                                  sizeof start, &start, NULL);
        if (code == CL_SUCCESS)
            code = cl->clGetEventProfilingInfo(profile->events[i], CL_PROFILING_COMMAND_END,
                                               sizeof end, &end, NULL);
        if (code != CL_SUCCESS)
            return forja__opencl_fail(code, "clGetEventProfilingInfo", device_name);
        out[i] = end > start ? (double)(end - start) * 1e-9 : 0;
    }
    return FORJA_OK;
}
