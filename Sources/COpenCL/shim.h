// Headers only: libOpenCL.so.1 is opened at run time, so that a machine without a loader, a
// driver or a device still starts.
#pragma once
#define CL_TARGET_OPENCL_VERSION 300
#include <CL/cl.h>
#include <CL/cl_ext.h>
