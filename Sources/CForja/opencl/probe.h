/// Capabilities told by running a kernel, each in a context of its own that is thrown away: a fault of
/// the kernel ends that context and not the engine's.
///
/// FORJA_SKIP_PROBES, a list such as "nv_mma,fp16", leaves probes out; what they ask for counts as absent.
/// The names: fp16, fp64, subgroups, nv_mma, nv_wgmma, xmx, xmx8, amd_mfma, amd_wmma, amd_wmma12.
#pragma once

#include "device.h"

/// A program whose kernel `probe(__global float *out)` finds four times 1 and replaces out[0] by
/// `expected` where the device has the capability. `name` is that of FORJA_SKIP_PROBES.
typedef struct forja__probe {
    const char *name, *text, *options;
    float expected;
    uint32_t work_items; /// of the one work-group
} forja__probe;

/// Whether the program builds, runs and gives the number. That, a wrong number and a program that does
/// not compile are kept on disk; what else goes wrong is a no that is asked again at the next start.
bool forja__probe_passes(const forja_device *device, const forja__probe *probe);
