// Which matrix units a device has.
#include "fragment.h"

#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "kernel_sources.h"
#include "probe.h"

/// Sums of a tile, and what a compiler for Intel's GPUs hoists out of its loops, take more than the
/// 128 registers that a thread has by default.
#define LARGE_REGISTER_FILE " -cl-intel-256-GRF-per-thread"

static const struct {
    const char *name, *options, *emulated_options, *subgroup_options;
    uint32_t lanes;
} fragments[FORJA__FRAGMENT_COUNT] = {
#define FRAGMENT(name, options, more, lanes)                                                       \
    {name, options more, options " -DFRAGMENT_EMULATED",                                           \
     options " -DFRAGMENT_EMULATED_BY_SUBGROUPS", lanes}
    [FORJA__FRAGMENT_XMX_16] =
        FRAGMENT("xmx", " -DFRAGMENT_LANES=16", LARGE_REGISTER_FILE, 16),
    [FORJA__FRAGMENT_XMX_8] =
        FRAGMENT("xmx8", " -DFRAGMENT_LANES=8", LARGE_REGISTER_FILE, 8),
    [FORJA__FRAGMENT_AMD_MFMA] = FRAGMENT("amd_mfma", " -DFRAGMENT_AMD_MFMA", "", 64),
    [FORJA__FRAGMENT_AMD_WMMA] = FRAGMENT("amd_wmma", " -DFRAGMENT_AMD_WMMA", "", 32),
    [FORJA__FRAGMENT_AMD_WMMA_GFX12] =
        FRAGMENT("amd_wmma12", " -DFRAGMENT_AMD_WMMA_GFX12", "", 32),
#undef FRAGMENT
};

/// The extension needs the least of the device's sub-group sizes; 0 where the device lists none.
static size_t least_subgroup(cl_device_id id) {
    enum { SUB_GROUP_SIZES_INTEL = 0x4108 }; // of cl_intel_required_subgroup_size
    size_t sizes[16], bytes = 0, least = 0;
    if (forja__opencl()->clGetDeviceInfo(id, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) !=
        CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        if (least == 0 || sizes[i] < least)
            least = sizes[i];
    return least;
}

static bool has_extension(cl_device_id id, const char *name) {
    const forja__opencl_api *cl = forja__opencl();
    size_t size = 0;
    if (cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS)
        return false;
    char *list = calloc(size + 1, 1);
    bool is_there = false;
    if (list && cl->clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, list, NULL) == CL_SUCCESS)
        for (char *word, *rest = list; (word = strtok_r(rest, " ", &rest));)
            is_there |= strcmp(word, name) == 0;
    free(list);
    return is_there;
}

/// What the device says of itself; whether it is so is the probe's to tell. AMD's name devices
/// after their architecture: "gfx90a:sramecc+:xnack-".
static bool is_named(const forja_device *device, forja__fragment fragment) {
    const char *name = device->info.name;
    cl_device_id id = device->opencl->id;
    switch (fragment) {
    case FORJA__FRAGMENT_XMX_16:
    case FORJA__FRAGMENT_XMX_8:
        return has_extension(id, "cl_intel_subgroup_matrix_multiply_accumulate") &&
               least_subgroup(id) == fragments[fragment].lanes;
    case FORJA__FRAGMENT_AMD_MFMA:
        return strncmp(name, "gfx90a", 6) == 0 || strncmp(name, "gfx94", 5) == 0 ||
               strncmp(name, "gfx95", 5) == 0;
    case FORJA__FRAGMENT_AMD_WMMA:
        return strncmp(name, "gfx11", 5) == 0;
    case FORJA__FRAGMENT_AMD_WMMA_GFX12:
        return strncmp(name, "gfx12", 5) == 0;
    case FORJA__FRAGMENT_COUNT:
        break;
    }
    return false;
}

uint32_t forja__fragments_probe(forja_device *device) {
    uint32_t present = 0;
    for (forja__fragment i = 0; i < FORJA__FRAGMENT_COUNT; i++) {
        char *text;
        if (!is_named(device, i) ||
            forja__kernel_source(&text, forja__fragment_source(i, FORJA__SOURCE_PROBE_XMX,
                                                               FORJA__SOURCE_PROBE_AMD)) !=
                FORJA_OK)
            continue;
        char options[96] = "-cl-std=CL1.2";
        strcat(options, fragments[i].options);
        const forja__probe probe = {fragments[i].name, text, options, 2.0f, fragments[i].lanes};
        if (forja__probe_passes(device, &probe))
            present |= 1u << i;
        free(text);
    }
    return present;
}

bool forja__fragment_is_present(const forja_device *device, forja__fragment fragment) {
    return device->opencl->matrix_units >> fragment & 1;
}

/// How instructions are emulated, as FORJA_EMULATE_MATRIX_UNITS says.
typedef enum emulation { NO_EMULATION, BY_LOCAL_MEMORY, BY_SUBGROUPS } emulation;

static emulation emulation_of(forja__fragment fragment) {
    const char *value = getenv("FORJA_EMULATE_MATRIX_UNITS");
    if (value && strcmp(value, "1") == 0)
        return BY_LOCAL_MEMORY;
    if (value && strcmp(value, "subgroups") == 0 && fragment <= FORJA__FRAGMENT_XMX_8)
        return BY_SUBGROUPS;
    return NO_EMULATION;
}

bool forja__fragment_runs(const forja_device *device, forja__fragment fragment) {
    return forja__fragment_is_present(device, fragment) ||
           emulation_of(fragment) != NO_EMULATION;
}

uint64_t forja__fragment_scratch_bytes(const forja_device *device, forja__fragment fragment,
                                       uint32_t work_items) {
    enum { BYTES_OF_A_TEAM = 2 * 2 * 256 }; // A and B, [16, 16] bf16
    if (forja__fragment_is_present(device, fragment) || emulation_of(fragment) != BY_LOCAL_MEMORY)
        return 0;
    return work_items / fragments[fragment].lanes * BYTES_OF_A_TEAM;
}

const char *forja__fragment_options(const forja_device *device, forja__fragment fragment) {
    if (!device || forja__fragment_is_present(device, fragment))
        return fragments[fragment].options;
    return emulation_of(fragment) == BY_SUBGROUPS ? fragments[fragment].subgroup_options
                                                  : fragments[fragment].emulated_options;
}
