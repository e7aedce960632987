/// libOpenCL.so.1 as a table of typed entry points.
#pragma once

#include "opencl.h"

/// Every OpenCL function the engine calls.
// clang-format off
#define FORJA__OPENCL_ENTRY_POINTS(X)                                                           \
    X(clGetPlatformIDs) X(clGetPlatformInfo) X(clGetDeviceIDs) X(clGetDeviceInfo)               \
    X(clCreateContext) X(clReleaseContext)                                                      \
    X(clCreateCommandQueue) X(clReleaseCommandQueue) X(clFinish) X(clFlush)                     \
    X(clCreateBuffer) X(clReleaseMemObject)                                                     \
    X(clEnqueueReadBuffer) X(clEnqueueWriteBuffer) X(clEnqueueCopyBuffer)                       \
    X(clEnqueueFillBuffer) X(clEnqueueMapBuffer) X(clEnqueueUnmapMemObject)                     \
    X(clEnqueueMarkerWithWaitList) X(clWaitForEvents) X(clReleaseEvent)                         \
    X(clCreateSubDevices) X(clReleaseDevice)                                                    \
    X(clCreateProgramWithSource) X(clCreateProgramWithBinary) X(clBuildProgram)                 \
    X(clGetProgramInfo) X(clGetProgramBuildInfo) X(clReleaseProgram)                            \
    X(clCreateKernel) X(clReleaseKernel) X(clSetKernelArg) X(clEnqueueNDRangeKernel)            \
    X(clGetKernelWorkGroupInfo) /* Benchmarks/probes asks it */                                 \
    X(clGetEventProfilingInfo)
// clang-format on

struct forja__opencl_api {
#define FORJA__ENTRY(name) typeof(&name) name;
    FORJA__OPENCL_ENTRY_POINTS(FORJA__ENTRY)
#undef FORJA__ENTRY
};

/// Why forja__opencl() is NULL; "" when it is not.
const char *forja__opencl_loader_error(void);
