/// The matrix units that kernels/fragment_*.cl speak to.
#pragma once

#include "opencl.h"

typedef enum forja__fragment {
    FORJA__FRAGMENT_XMX_16,         /// Intel Xe-HPC, Xe2: sub-groups of 16
    FORJA__FRAGMENT_XMX_8,          /// Intel Xe-HPG: sub-groups of 8
    FORJA__FRAGMENT_AMD_MFMA,       /// gfx90a, gfx94x: waves of 64
    FORJA__FRAGMENT_AMD_WMMA,       /// gfx11: waves of 32
    FORJA__FRAGMENT_AMD_WMMA_GFX12, /// gfx12: waves of 32
    FORJA__FRAGMENT_COUNT,
} forja__fragment;

/// Bit `fragment` for each unit that the device names and that gives right products in
/// kernels/fragment_probe.cl. Asked once, when a device is opened.
uint32_t forja__fragments_probe(forja_device *device);

/// The device has the unit.
bool forja__fragment_is_present(const forja_device *device, forja__fragment fragment);

/// Kernels for the unit run: it is present, or its instructions are emulated. That is for tests:
/// slow, and never a default. FORJA_EMULATE_MATRIX_UNITS=1 takes plain OpenCL C,
/// FORJA_EMULATE_MATRIX_UNITS=subgroups, for XMX on a device with sub-groups, shuffles.
bool forja__fragment_runs(const forja_device *device, forja__fragment fragment);

/// Local memory that emulation takes in a work-group beside the kernel's own; 0 on the unit itself.
uint64_t forja__fragment_scratch_bytes(const forja_device *device, forja__fragment fragment,
                                       uint32_t work_items);

/// Options of the fragment file, those of emulation included where the device lacks the unit; NULL
/// for `device` gives the unit's own. Borrowed.
const char *forja__fragment_options(const forja_device *device, forja__fragment fragment);

/// `xmx`, or the source for AMD.
static inline forja__source forja__fragment_source(forja__fragment fragment, forja__source xmx,
                                                   forja__source amd) {
    return fragment <= FORJA__FRAGMENT_XMX_8 ? xmx : amd;
}
