/// Building programs through the binary cache.
#pragma once

#include "../sha256.h"
#include "device.h"

/// What a cached thing depends on: device, driver, platform, options and source.
void forja__program_key(uint8_t out[FORJA__SHA256_BYTES], const forja__opencl_device *opencl,
                        const char *text, const char *options);

/// Builds `text`, or loads its cached binary; the caller releases the program. On failure
/// `*out_log` is the compiler's log (the caller frees it, NULL when there is none), and no message
/// is recorded: a probe's failure is an answer.
cl_int forja__program_build(cl_program *out, char **out_log, const forja__opencl_device *opencl,
                            const char *text, const char *options);

/// As forja__program_build, of PTX: NVIDIA's driver takes it as a program's binary.
cl_int forja__program_build_ptx(cl_program *out, char **out_log, const forja__opencl_device *opencl,
                                const char *text);
