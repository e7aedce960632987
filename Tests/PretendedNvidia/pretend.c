/// An OpenCL library whose devices say that they are NVIDIA's, of compute capability 9.0, and are not: for
/// .ci/probes.sh, which wants to see every probe asked and none end the program. Everything else is
/// libOpenCL.so.1's own, to which this is linked.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // RTLD_NEXT
#endif
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <string.h>

enum { COMPUTE_CAPABILITY_MAJOR_NV = 0x4000, COMPUTE_CAPABILITY_MINOR_NV = 0x4001 };

cl_int clGetDeviceInfo(cl_device_id device, cl_device_info name, size_t size, void *value,
                       size_t *needed) {
    if (name == COMPUTE_CAPABILITY_MAJOR_NV || name == COMPUTE_CAPABILITY_MINOR_NV) {
        const cl_uint answer = name == COMPUTE_CAPABILITY_MAJOR_NV ? 9 : 0;
        if (value && size >= sizeof answer)
            memcpy(value, &answer, sizeof answer);
        if (needed)
            *needed = sizeof answer;
        return CL_SUCCESS;
    }
    cl_int (*real)(cl_device_id, cl_device_info, size_t, void *, size_t *) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "clGetDeviceInfo");
    return real ? real(device, name, size, value, needed) : CL_INVALID_VALUE;
}
