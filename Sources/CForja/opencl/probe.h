/// Capabilities told by running a kernel.
#pragma once

#include "device.h"

/// A program whose kernel `probe(__global float *out)` finds four times 1 and replaces out[0] by
/// `expected` where the device has the capability. `name` tells probes of one text with several options apart.
typedef struct forja__probe {
    const char *name, *text, *options;
    float expected;
    uint32_t work_items; /// of the one work-group
} forja__probe;

/// Whether the program builds, runs and gives the number; anything else is a no. Cached on disk.
bool forja__probe_passes(forja_device *device, const forja__probe *probe);
