// Capability probes: each compiles a small kernel, runs it and looks at the number.
#include <stdlib.h>

#include "binary_cache.h"
#include "fragment.h"
#include "kernel_sources.h"
#include "nv_mma.h"
#include "probe.h"
#include "program.h"

typedef forja__probe probe;

// A probe compiles everywhere: where the compiler itself knows nothing of a capability the kernel
// only gives the wrong number, because some drivers print the errors of a failed build. The
// exception is half on NVIDIA, which its compiler takes while leaving cl_khr_fp16, which the pragma
// needs, undefined.
static const probe fp16 = {
    "fp16 probe",
    "#if defined(__NV_CL_C_VERSION) && !defined(cl_khr_fp16)\n"
    "#define cl_khr_fp16\n"
    "#endif\n"
    "#ifdef cl_khr_fp16\n"
    "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n"
    "__kernel void probe(__global float *out) {\n"
    "    half x = (half)out[0] + (half)0.0009765625f;\n" // 1 + 2^-10: the last bit of a half
    "    out[0] = (float)(x * x);\n"                     // 1 + 2^-9 + 2^-20 rounds to 1 + 2^-9
    "}\n"
    "#else\n"
    "__kernel void probe(__global float *out) { out[0] = 0.0f; }\n"
    "#endif\n",
    "-cl-std=CL1.2", 1.001953125f, 1};

static const probe fp64 = {"fp64 probe",
                           "#ifdef cl_khr_fp64\n"
                           "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
                           "__kernel void probe(__global float *out) {\n"
                           "    double x = (double)out[0] + 1e-12;\n" // lost in a float
                           "    out[0] = (x - 1.0) * 1e12 > 0.5 ? 2.0f : 3.0f;\n"
                           "}\n"
                           "#else\n"
                           "__kernel void probe(__global float *out) { out[0] = 0.0f; }\n"
                           "#endif\n",
                           "-cl-std=CL1.2", 2.0f, 1};

static const probe subgroups = {
    "sub-group probe",
    "#if defined(cl_khr_subgroups) || defined(cl_intel_subgroups) || "
    "defined(__opencl_c_subgroups)\n"
    "#ifdef cl_khr_subgroups\n"
    "#pragma OPENCL EXTENSION cl_khr_subgroups : enable\n"
    "#endif\n"
    "__kernel void probe(__global float *out) {\n"
    "    float sum = sub_group_reduce_add(out[0]);\n"
    "    if (get_sub_group_id() == 0 && get_sub_group_local_id() == 0)\n"
    "        out[0] = sum == (float)get_sub_group_size() ? 2.0f : 3.0f;\n"
    "}\n"
    "#else\n"
    "__kernel void probe(__global float *out) { out[0] = 0.0f; }\n"
    "#endif\n",
    "-cl-std=CL2.0", 2.0f, 1};

/// 90 for 9.0, from cl_nv_device_attribute_query; 0 where the driver is another maker's.
static cl_uint compute_capability(const forja_device *device) {
    enum { COMPUTE_CAPABILITY_MAJOR_NV = 0x4000, COMPUTE_CAPABILITY_MINOR_NV = 0x4001 };
    const forja__opencl_api *cl = forja__opencl();
    cl_uint major = 0, minor = 0;
    if (cl->clGetDeviceInfo(device->opencl->id, COMPUTE_CAPABILITY_MAJOR_NV, sizeof major, &major,
                            NULL) != CL_SUCCESS ||
        cl->clGetDeviceInfo(device->opencl->id, COMPUTE_CAPABILITY_MINOR_NV, sizeof minor, &minor,
                            NULL) != CL_SUCCESS)
        return 0;
    return 10 * major + minor;
}

typedef enum answer {
    NO,
    YES,
    UNKNOWN, // the probe could not be tried: asked again at the next start
} answer;

static answer run(forja_device *device, cl_program program, const probe *probe) {
    const forja__opencl_api *cl = forja__opencl();
    const forja__opencl_device *opencl = device->opencl;
    cl_int code;
    cl_kernel kernel = cl->clCreateKernel(program, "probe", &code);
    if (code != CL_SUCCESS)
        return NO;
    float value[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    cl_command_queue queue = cl->clCreateCommandQueue(opencl->context, opencl->id, 0, &code);
    cl_mem memory =
        cl->clCreateBuffer(opencl->context, CL_MEM_READ_WRITE, sizeof value, NULL, &code);
    const size_t items = probe->work_items;
    bool is_ready = queue && memory &&
                    cl->clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, sizeof value, value, 0,
                                             NULL, NULL) == CL_SUCCESS &&
                    cl->clSetKernelArg(kernel, 0, sizeof memory, &memory) == CL_SUCCESS;
    bool is_done = is_ready &&
                   cl->clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, &items, 0, NULL,
                                              NULL) == CL_SUCCESS &&
                   cl->clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, sizeof value, value, 0, NULL,
                                           NULL) == CL_SUCCESS;
    if (memory)
        cl->clReleaseMemObject(memory);
    if (queue)
        cl->clReleaseCommandQueue(queue);
    cl->clReleaseKernel(kernel);
    return !is_ready ? UNKNOWN : is_done && value[0] == probe->expected ? YES : NO;
}

/// The answer is cached like a binary: a failing compile would be repeated at every start
/// otherwise.
bool forja__probe_passes(forja_device *device, const probe *probe) {
    uint8_t key[FORJA__SHA256_BYTES];
    forja__program_key(key, device->opencl, probe->text, probe->name);
    void *bytes;
    size_t size;
    if (forja__binary_cache_load(&bytes, &size, key)) {
        const bool is_yes = size == 1 && *(const uint8_t *)bytes == YES;
        free(bytes);
        return is_yes;
    }
    cl_program program;
    char *log;
    answer answer = UNKNOWN;
    const cl_int code =
        forja__program_build(&program, &log, device->opencl, probe->text, probe->options);
    if (code == CL_SUCCESS) {
        answer = run(device, program, probe);
        forja__opencl()->clReleaseProgram(program);
    } else if (code == CL_BUILD_PROGRAM_FAILURE) {
        answer = NO;
    }
    free(log);
    if (answer != UNKNOWN)
        forja__binary_cache_store(key, &(uint8_t){answer}, 1);
    return answer == YES;
}

/// The instructions of nv_mma_ptx.cl, by one warp.
static bool passes_nv_mma(forja_device *device) {
    char *text;
    if (compute_capability(device) < 80 ||
        forja__kernel_source(&text, FORJA__SOURCE_NV_MMA_PROBE) != FORJA_OK)
        return false;
    const probe nv_mma = {"NVIDIA mma probe", text, "-cl-std=CL1.2", 2.0f, 32};
    const bool answer = forja__probe_passes(device, &nv_mma);
    free(text);
    return answer;
}

void forja__opencl_probe(forja_device *device) {
    device->info.has_fp16 = forja__probe_passes(device, &fp16);
    device->info.has_fp64 = forja__probe_passes(device, &fp64);
    device->info.has_subgroups = forja__probe_passes(device, &subgroups);
    device->opencl->matrix_units = forja__fragments_probe(device);
    device->opencl->has_nv_mma = passes_nv_mma(device);
    // Newer architectures do not have wgmma: 9.0 and no other.
    device->opencl->has_nv_wgmma = device->opencl->has_nv_mma && compute_capability(device) == 90 &&
                                   forja__matmul_nv_wgmma_probe(device);
}
