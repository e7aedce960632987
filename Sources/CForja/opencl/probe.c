// Capability probes: each compiles a small kernel, runs it and looks at the number.
#include <stdlib.h>
#include <string.h>

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
    "fp16",
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

static const probe fp64 = {"fp64",
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
    "subgroups",
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

/// Whether FORJA_SKIP_PROBES lists the name.
static bool is_skipped(const char *name) {
    const char *list = getenv("FORJA_SKIP_PROBES");
    const size_t length = strlen(name);
    for (const char *word = list; word && *word; word += strcspn(word, ",")) {
        word += *word == ',';
        if (strcspn(word, ",") == length && strncmp(word, name, length) == 0)
            return true;
    }
    return false;
}

/// `program` runs on `trial`. A failure after the build may be one of this moment: no memory, a
/// device that others keep busy.
static forja__answer run(const forja__opencl_device *trial, cl_program program,
                         const probe *probe) {
    const forja__opencl_api *cl = forja__opencl();
    cl_int code;
    cl_kernel kernel = cl->clCreateKernel(program, "probe", &code);
    if (code != CL_SUCCESS)
        return FORJA__UNKNOWN;
    float value[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    cl_command_queue queue = cl->clCreateCommandQueue(trial->context, trial->id, 0, &code);
    cl_mem memory =
        cl->clCreateBuffer(trial->context, CL_MEM_READ_WRITE, sizeof value, NULL, &code);
    const size_t items = probe->work_items;
    const bool is_done =
        queue && memory &&
        cl->clEnqueueWriteBuffer(queue, memory, CL_TRUE, 0, sizeof value, value, 0, NULL, NULL) ==
            CL_SUCCESS &&
        cl->clSetKernelArg(kernel, 0, sizeof memory, &memory) == CL_SUCCESS &&
        cl->clEnqueueNDRangeKernel(queue, kernel, 1, NULL, &items, &items, 0, NULL, NULL) ==
            CL_SUCCESS &&
        cl->clEnqueueReadBuffer(queue, memory, CL_TRUE, 0, sizeof value, value, 0, NULL, NULL) ==
            CL_SUCCESS;
    if (memory)
        cl->clReleaseMemObject(memory);
    if (queue)
        cl->clReleaseCommandQueue(queue);
    cl->clReleaseKernel(kernel);
    return !is_done ? FORJA__UNKNOWN : value[0] == probe->expected ? FORJA__YES : FORJA__NO;
}

/// `device` once more, in a context of its own; to be closed by forja__opencl_device_close.
static forja_status open_trial(forja_device *out, const forja_device *device) {
    *out = (forja_device){.info = device->info};
    return forja__opencl_device_open_unprobed(
        out, &(forja__opencl_entry){device->opencl->platform, device->opencl->id});
}

static forja__answer build_and_run(const forja_device *device, const probe *probe) {
    forja_device trial;
    if (open_trial(&trial, device) != FORJA_OK)
        return FORJA__UNKNOWN;
    cl_program program;
    char *log;
    forja__answer answer = FORJA__UNKNOWN;
    const cl_int code =
        forja__program_build(&program, &log, trial.opencl, probe->text, probe->options);
    if (code == CL_SUCCESS) {
        answer = run(trial.opencl, program, probe);
        forja__opencl()->clReleaseProgram(program);
    } else if (code == CL_BUILD_PROGRAM_FAILURE) {
        answer = FORJA__NO;
    }
    free(log);
    forja__opencl_device_close(&trial);
    return answer;
}

/// The answer under `key` in the cache: a failing compile would be repeated at every start otherwise.
static forja__answer load(const uint8_t key[FORJA__SHA256_BYTES]) {
    void *bytes;
    size_t size;
    if (!forja__binary_cache_load(&bytes, &size, key))
        return FORJA__UNKNOWN;
    const uint8_t byte = size == 1 ? *(const uint8_t *)bytes : FORJA__UNKNOWN;
    free(bytes);
    return byte == FORJA__YES || byte == FORJA__NO ? (forja__answer)byte : FORJA__UNKNOWN;
}

static void store(const uint8_t key[FORJA__SHA256_BYTES], forja__answer answer) {
    if (answer != FORJA__UNKNOWN)
        forja__binary_cache_store(key, &(uint8_t){(uint8_t)answer}, 1);
}

bool forja__probe_passes(const forja_device *device, const probe *probe) {
    if (is_skipped(probe->name))
        return false;
    uint8_t key[FORJA__SHA256_BYTES];
    forja__program_key(key, device->opencl, probe->text, probe->name);
    forja__answer answer = load(key);
    if (answer == FORJA__UNKNOWN) {
        answer = build_and_run(device, probe);
        store(key, answer);
    }
    return answer == FORJA__YES;
}

/// The instructions of nv_mma_ptx.cl, by one warp.
static bool passes_nv_mma(const forja_device *device) {
    char *text;
    if (compute_capability(device) < 80 ||
        forja__kernel_source(&text, FORJA__SOURCE_NV_MMA_PROBE) != FORJA_OK)
        return false;
    const probe nv_mma = {"nv_mma", text, "-cl-std=CL1.2", 2.0f, 32};
    const bool answer = forja__probe_passes(device, &nv_mma);
    free(text);
    return answer;
}

/// The module's text is compiled as a whole and its six kernels are run.
static forja__answer ask_nv_wgmma(const forja_device *device) {
    char *text;
    if (is_skipped("nv_wgmma") ||
        forja__kernel_source(&text, FORJA__SOURCE_MATMUL_NV_WGMMA) != FORJA_OK)
        return FORJA__NO;
    uint8_t key[FORJA__SHA256_BYTES];
    forja__program_key(key, device->opencl, text, "nv_wgmma");
    free(text);
    forja__answer answer = load(key);
    forja_device trial;
    if (answer == FORJA__UNKNOWN && open_trial(&trial, device) == FORJA_OK) {
        answer = forja__matmul_nv_wgmma_probe(&trial);
        forja__opencl_device_close(&trial);
        store(key, answer);
    }
    return answer == FORJA__YES ? FORJA__YES : FORJA__NO;
}

bool forja__opencl_has_nv_wgmma(const forja_device *device) {
    if (!device->opencl->may_have_nv_wgmma)
        return false;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (device->opencl->nv_wgmma == FORJA__UNKNOWN)
        device->opencl->nv_wgmma = ask_nv_wgmma(device);
    const bool answer = device->opencl->nv_wgmma == FORJA__YES;
    pthread_mutex_unlock(&lock);
    return answer;
}

void forja__opencl_probe(forja_device *device) {
    device->info.has_fp16 = forja__probe_passes(device, &fp16);
    device->info.has_fp64 = forja__probe_passes(device, &fp64);
    device->info.has_subgroups = forja__probe_passes(device, &subgroups);
    device->opencl->matrix_units = forja__fragments_probe(device);
    device->opencl->has_nv_mma = passes_nv_mma(device);
    // Newer architectures do not have wgmma: 9.0 and no other.
    device->opencl->may_have_nv_wgmma =
        device->opencl->has_nv_mma && compute_capability(device) == 90;
}
