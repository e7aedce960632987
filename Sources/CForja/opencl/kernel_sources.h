/// The text of the kernel files.
#pragma once

#include "opencl.h"

/// Text of the kernel file behind common.cl, as the compiler gets it; the caller frees it. With
/// FORJA_KERNELS=dir set, files found in `dir` are read instead of the embedded ones, each time.
forja_status forja__kernel_source(char **out, forja__source source);

/// The text is PTX: for NVIDIA's driver a program's binary, and nothing stands before it.
bool forja__kernel_source_is_ptx(forja__source source);

/// "rmsnorm.cl". Borrowed.
const char *forja__kernel_source_name(forja__source source);
