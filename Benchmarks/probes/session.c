// Opens the device under test and wraps the OpenCL calls that the probes share.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../Sources/CForja/opencl/device.h"
#include "probe.h"

enum {
    DEVICE_LIMIT = 64,
    COMPUTE_CAPABILITY_MAJOR_NV = 0x4000, // cl_nv_device_attribute_query
    COMPUTE_CAPABILITY_MINOR_NV = 0x4001,
};

/// As opencl/discovery.c, so that numbers are those of `forja devices`.
static bool is_usable(const forja__opencl_api *cl, cl_device_id id) {
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    cl->clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    cl->clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    return available && compiler;
}

/// Every usable device of every platform that answers.
static size_t list_devices(const forja__opencl_api *cl, cl_device_id out[DEVICE_LIMIT]) {
    cl_platform_id platforms[DEVICE_LIMIT];
    cl_uint platform_count = 0;
    if (cl->clGetPlatformIDs(DEVICE_LIMIT, platforms, &platform_count) != CL_SUCCESS)
        return 0;
    size_t found = 0;
    for (cl_uint i = 0; i < platform_count && i < DEVICE_LIMIT && found < DEVICE_LIMIT; i++) {
        cl_device_id ids[DEVICE_LIMIT];
        cl_uint count = 0;
        if (cl->clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, DEVICE_LIMIT, ids, &count) !=
            CL_SUCCESS)
            continue;
        for (cl_uint k = 0; k < count && k < DEVICE_LIMIT && found < DEVICE_LIMIT; k++)
            if (is_usable(cl, ids[k]))
                out[found++] = ids[k];
    }
    return found;
}

static bool is_gpu(const forja__opencl_api *cl, cl_device_id device) {
    cl_device_type type = 0;
    cl->clGetDeviceInfo(device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return (type & CL_DEVICE_TYPE_GPU) != 0;
}

bool session_open(session *out, int number, char *why, size_t why_size) {
    *out = (session){.cl = forja__opencl()};
    if (!out->cl) {
        snprintf(why, why_size, "%s", forja__opencl_loader_error());
        return false;
    }
    cl_device_id devices[DEVICE_LIMIT];
    const size_t count = list_devices(out->cl, devices);
    if (count == 0 || number >= (int)count) {
        snprintf(why, why_size, "%zu OpenCL devices, device %d was asked for", count,
                 number < 0 ? 0 : number);
        return false;
    }
    size_t chosen = number < 0 ? 0 : (size_t)number;
    for (size_t i = 0; number < 0 && i < count; i++)
        if (is_gpu(out->cl, devices[i])) {
            chosen = i;
            break;
        }
    out->device = devices[chosen];
    cl_int code;
    out->context = out->cl->clCreateContext(NULL, 1, &out->device, NULL, NULL, &code);
    if (code == CL_SUCCESS)
        out->queue = out->cl->clCreateCommandQueue(out->context, out->device, 0, &code);
    if (code != CL_SUCCESS) {
        snprintf(why, why_size, "the device cannot be opened: %s", code_text(code));
        return false;
    }
    const cl_uint major = device_count(out, COMPUTE_CAPABILITY_MAJOR_NV);
    out->compute_capability = 10 * major + device_count(out, COMPUTE_CAPABILITY_MINOR_NV);
    return true;
}

void device_text(const session *s, cl_device_info name, char *out, size_t size) {
    size_t needed = 0;
    out[0] = '\0';
    if (s->cl->clGetDeviceInfo(s->device, name, 0, NULL, &needed) != CL_SUCCESS || needed == 0)
        return;
    char *text = calloc(needed + 1, 1);
    if (text && s->cl->clGetDeviceInfo(s->device, name, needed, text, NULL) == CL_SUCCESS)
        snprintf(out, size, "%s", text);
    free(text);
}

cl_ulong device_number(const session *s, cl_device_info name) {
    cl_ulong value = 0;
    s->cl->clGetDeviceInfo(s->device, name, sizeof value, &value, NULL);
    return value;
}

cl_uint device_count(const session *s, cl_device_info name) {
    cl_uint value = 0;
    s->cl->clGetDeviceInfo(s->device, name, sizeof value, &value, NULL);
    return value;
}

void say(answer *a, verdict verdict, const char *format, ...) {
    a->verdict = verdict;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(a->seen, sizeof a->seen, format, arguments);
    va_end(arguments);
    for (char *c = a->seen; *c; c++)
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
}

const char *code_text(cl_int code) {
    static char texts[4][64];
    static unsigned next;
    char *text = texts[next++ % 4];
    snprintf(text, sizeof texts[0], "%s (%d)",
             code == CL_SUCCESS ? "CL_SUCCESS" : forja__opencl_code_name(code), (int)code);
    return text;
}

char *program_log(const session *s, cl_program program) {
    size_t size = 0;
    s->cl->clGetProgramBuildInfo(program, s->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(size + 1, 1);
    if (log && size > 0)
        s->cl->clGetProgramBuildInfo(program, s->device, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    return log;
}

/// Builds what was created; takes `program`.
static cl_program build(answer *a, const session *s, const char *what, cl_program program,
                        const char *options) {
    const cl_int code = s->cl->clBuildProgram(program, 1, &s->device, options, NULL, NULL);
    if (code == CL_SUCCESS)
        return program;
    char *log = program_log(s, program);
    const char *text = log ? log : "";
    snprintf(a->detail, sizeof a->detail, "%s", text);
    text += strspn(text, " \n\r\t");
    say(a, FAILED, "%s: clBuildProgram gives %s%s%.*s", what, code_text(code), *text ? ": " : "",
        (int)strcspn(text, "\n"), text);
    free(log);
    s->cl->clReleaseProgram(program);
    return NULL;
}

cl_program build_source(answer *a, const session *s, const char *what, const char *text,
                        const char *options) {
    cl_int code;
    cl_program program = s->cl->clCreateProgramWithSource(s->context, 1, &text, NULL, &code);
    if (code == CL_SUCCESS)
        return build(a, s, what, program, options);
    say(a, FAILED, "%s: clCreateProgramWithSource gives %s", what, code_text(code));
    return NULL;
}

cl_program build_binary(answer *a, const session *s, const char *what, const void *bytes,
                        size_t size) {
    const unsigned char *binary = bytes;
    cl_int code, binary_code = CL_SUCCESS;
    cl_program program = s->cl->clCreateProgramWithBinary(s->context, 1, &s->device, &size, &binary,
                                                          &binary_code, &code);
    if (code == CL_SUCCESS)
        return build(a, s, what, program, "");
    say(a, FAILED, "%s: clCreateProgramWithBinary gives %s, for the binary %s", what,
        code_text(code), code_text(binary_code));
    return NULL;
}

char *program_binary(const session *s, cl_program program, size_t *size) {
    *size = 0;
    if (s->cl->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *size, size, NULL) !=
            CL_SUCCESS ||
        *size == 0)
        return NULL;
    char *bytes = calloc(*size + 1, 1);
    if (bytes && s->cl->clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes,
                                         NULL) != CL_SUCCESS) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

cl_int run_kernel(const session *s, cl_program program, const char *name, const argument *arguments,
                  size_t count, size_t items, const char **call) {
    cl_int code;
    *call = "clCreateKernel";
    cl_kernel kernel = s->cl->clCreateKernel(program, name, &code);
    if (code != CL_SUCCESS)
        return code;
    *call = "clSetKernelArg";
    for (size_t i = 0; i < count && code == CL_SUCCESS; i++)
        code = s->cl->clSetKernelArg(kernel, (cl_uint)i, arguments[i].size, arguments[i].value);
    if (code == CL_SUCCESS) {
        *call = "clEnqueueNDRangeKernel";
        code = s->cl->clEnqueueNDRangeKernel(s->queue, kernel, 1, NULL, &items, &items, 0, NULL,
                                             NULL);
    }
    if (code == CL_SUCCESS) {
        *call = "clFinish";
        code = s->cl->clFinish(s->queue);
    }
    s->cl->clReleaseKernel(kernel);
    return code;
}

cl_mem buffer_with(const session *s, const void *bytes, size_t size) {
    cl_int code;
    cl_mem memory = s->cl->clCreateBuffer(s->context, CL_MEM_READ_WRITE, size, NULL, &code);
    if (code != CL_SUCCESS)
        return NULL;
    s->cl->clEnqueueWriteBuffer(s->queue, memory, CL_TRUE, 0, size, bytes, 0, NULL, NULL);
    return memory;
}

bool buffer_read(const session *s, cl_mem memory, void *bytes, size_t size) {
    return memory && s->cl->clEnqueueReadBuffer(s->queue, memory, CL_TRUE, 0, size, bytes, 0, NULL,
                                                NULL) == CL_SUCCESS;
}
