// The table of kernel variants, and how a call finds its row.
#include "variants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "nv_mma.h"

static bool is_cpu(const forja_device *device) { return forja__opencl_is_cpu(device); }
static bool may_have_nv_wgmma(const forja_device *device) {
    return device->opencl->may_have_nv_wgmma;
}
static bool is_no_cpu(const forja_device *device) { return !forja__opencl_is_cpu(device); }

/// The matrix units, each with the devices that have it.
#define UNIT(name, unit)                                                                           \
    static bool name(const forja_device *device) {                                                 \
        return forja__fragment_is_present(device, unit);                                           \
    }
UNIT(has_xmx, FORJA__FRAGMENT_XMX_16)
UNIT(has_xmx8, FORJA__FRAGMENT_XMX_8)
UNIT(has_mfma, FORJA__FRAGMENT_AMD_MFMA)
UNIT(has_wmma, FORJA__FRAGMENT_AMD_WMMA)
UNIT(has_wmma12, FORJA__FRAGMENT_AMD_WMMA_GFX12)
#define XMX .name = "xmx", .fragment = FORJA__FRAGMENT_XMX_16, .made_for = has_xmx
#define XMX8 .name = "xmx8", .fragment = FORJA__FRAGMENT_XMX_8, .made_for = has_xmx8
#define MFMA .name = "amd_mfma", .fragment = FORJA__FRAGMENT_AMD_MFMA, .made_for = has_mfma
#define WMMA .name = "amd_wmma", .fragment = FORJA__FRAGMENT_AMD_WMMA, .made_for = has_wmma
#define WMMA12                                                                                     \
    .name = "amd_wmma12", .fragment = FORJA__FRAGMENT_AMD_WMMA_GFX12, .made_for = has_wmma12

/// A register tile of M × N, which is two vectors; both operands come packed.
#define PANELS(m_, n_, vector_)                                                                    \
    .config = #m_ "x" #n_, .options = " -DTILE_M=" #m_ " -DVEC=" #vector_,                         \
    .tile = {.m = m_, .n = n_}, .group = {1, 1}

/// A work-group of X × Y computes M × N of C, K at a time through local memory (rows padded by 4).
#define TILES(m_, n_, k_, x_, y_)                                                                  \
    .config = #m_ "x" #n_ "x" #k_,                                                                 \
    .options = " -DTILE_M=" #m_ " -DTILE_N=" #n_ " -DTILE_K=" #k_ " -DSIDE_M=" #y_                 \
               " -DSIDE_N=" #x_,                                                                   \
    .tile = {m_, n_, k_}, .group = {x_, y_}, .local_bytes = 4 * k_ * (m_ + 4 + n_ + 4)

/// Teams of `lanes`, X across and Y down, compute M × N of C on a matrix unit, K at a time through
/// local memory (rows padded by 8 bf16).
#define FRAGMENTS(m_, n_, k_, x_, y_, lanes_)                                                      \
    .op = FORJA_OP_MATMUL, .config = #m_ "x" #n_ "x" #k_,                                                                 \
    .options = " -DTILE_M=" #m_ " -DTILE_N=" #n_ " -DTILE_K=" #k_ " -DTEAMS_M=" #y_                \
               " -DTEAMS_N=" #x_,                                                                  \
    .tile = {m_, n_, k_}, .group = {x_ * y_ * lanes_, 1},                                          \
    .local_bytes = 2 * (m_ + n_) * (k_ + 8), .order = "16 k at a time, on the matrix unit",        \
    .matmul = &forja__opencl_matmul_fragment

/// The same for attention, on tiles of M rows by N keys, for heads of width D at most.
#define FRAGMENT_ROWS(m_, n_, d_, x_, y_, lanes_)                                                  \
    .config = #m_ "x" #n_,                                                                         \
    .options = " -DBLOCK_M=" #m_ " -DBLOCK_N=" #n_ " -DTEAMS_M=" #y_ " -DTEAMS_N=" #x_,            \
    .tile = {m_, n_, d_}, .group = {x_ * y_ * lanes_, 1},                                          \
    .order = #m_ " rows by " #n_ " keys, on the matrix unit"

#define FRAGMENT_FORWARD(m_, n_, d_, x_, y_, lanes_)                                               \
    FRAGMENT_ROWS(m_, n_, d_, x_, y_, lanes_), .op = FORJA_OP_ATTENTION_FORWARD,                   \
    .attention_forward = &forja__opencl_attention_forward_fragment
#define FRAGMENT_BACKWARD(m_, n_, d_, x_, y_, lanes_)                                              \
    FRAGMENT_ROWS(m_, n_, d_, x_, y_, lanes_), .op = FORJA_OP_ATTENTION_BACKWARD,                  \
    .attention_backward = &forja__opencl_attention_backward_fragment

/// A work-group of X × X works on tiles of M rows by N keys.
#define ATTENTION(m_, n_, x_)                                                                      \
    .config = #m_ "x" #n_,                                                                         \
    .options = " -DBLOCK_M=" #m_ " -DBLOCK_N=" #n_ " -DSIDE=" #x_, .tile = {.m = m_, .n = n_},     \
    .group = {x_, x_}

/// A tile of NVIDIA's tensor cores, by its name in nv_mma_options.c. Product and attention.
#define NV_MMA(tile_)                                                                              \
    .name = "nv_mma", .config = tile_, .options = "", .made_for = forja__opencl_has_nv_mma
#define NV_MATMUL(tile_)                                                                           \
    NV_MMA(tile_), .op = FORJA_OP_MATMUL, .order = "k by 16, mma",                                 \
    .matmul = &forja__opencl_matmul_nv_mma
#define NV_FORWARD(tile_, keys_)                                                                   \
    NV_MMA(tile_), .op = FORJA_OP_ATTENTION_FORWARD, .order = keys_ " keys, mma",                  \
    .attention_forward = &forja__opencl_attention_forward_nv_mma
#define NV_BACKWARD(tile_, keys_)                                                                  \
    NV_MMA(tile_), .op = FORJA_OP_ATTENTION_BACKWARD, .order = keys_ " keys, mma",                 \
    .attention_backward = &forja__opencl_attention_backward_nv_mma

#define MATMUL(name_) .op = FORJA_OP_MATMUL, .name = name_
#define FORWARD(name_) .op = FORJA_OP_ATTENTION_FORWARD, .name = name_
#define BACKWARD(name_) .op = FORJA_OP_ATTENTION_BACKWARD, .name = name_
#define ROWS(name_) .op = FORJA_OP_ROWS, .name = name_, .config = "", .order = name_, .options = ""

static const forja__variant variants[] = {
    // Rows for matrix units go first: their `runs` asks for the device.
    {XMX, FRAGMENTS(128, 128, 32, 4, 4, 16)},
    {XMX, FRAGMENTS(64, 64, 32, 2, 4, 16)},
    {XMX8, FRAGMENTS(128, 64, 32, 4, 4, 8)},
    {XMX8, FRAGMENTS(64, 64, 32, 4, 2, 8)},
    {MFMA, FRAGMENTS(128, 128, 32, 2, 2, 64)},
    {MFMA, FRAGMENTS(64, 64, 32, 2, 2, 64)},
    {WMMA, FRAGMENTS(128, 128, 32, 4, 2, 32)},
    {WMMA, FRAGMENTS(64, 64, 32, 2, 2, 32)},
    {WMMA12, FRAGMENTS(128, 128, 32, 4, 2, 32)},
    {WMMA12, FRAGMENTS(64, 64, 32, 2, 2, 32)},
    {NV_MATMUL("128x256x32x2")},
    {NV_MATMUL("128x128x32x3")},
    {NV_MATMUL("128x128x32x3w8")},
    {NV_MATMUL("64x128x32x4")},
    {NV_MATMUL("64x64x64x3")},
    {NV_MATMUL("32x64x64x4")},
    {MATMUL("nv_wgmma"), .config = "128x128x32x3", .options = "", .order = "k by 16, wgmma",
     .made_for = may_have_nv_wgmma, .matmul = &forja__opencl_matmul_nv_wgmma},
    {MATMUL("cpu"), .config = "rows", .options = "", .order = "vector lanes", .group = {1, 1},
     .made_for = is_cpu, .matmul = &forja__opencl_matmul_rows_cpu},
    {MATMUL("cpu"), .config = "columns", .options = "", .order = FORJA__ASCENDING, .group = {1, 1},
     .made_for = is_cpu, .matmul = &forja__opencl_matmul_columns_cpu},
    {MATMUL("cpu"), PANELS(12, 32, 16), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("cpu"), PANELS(14, 32, 16), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("cpu"), PANELS(8, 32, 16), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("cpu"), PANELS(6, 16, 8), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("cpu"), PANELS(4, 16, 8), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("cpu"), PANELS(6, 8, 4), .order = FORJA__ASCENDING, .made_for = is_cpu,
     .matmul = &forja__opencl_matmul_panels},
    {MATMUL("gpu"), .config = "rows", .options = "", .order = "64 lanes", .group = {64, 1},
     .made_for = is_no_cpu, .matmul = &forja__opencl_matmul_rows_gpu},
    {MATMUL("split_k"), TILES(16, 64, 16, 16, 4), .order = "parts of k, by 16x64",
     .made_for = is_no_cpu, .matmul = &forja__opencl_matmul_split},
    {MATMUL("split_k"), TILES(64, 64, 16, 16, 16), .order = "parts of k, by 64x64",
     .made_for = is_no_cpu, .matmul = &forja__opencl_matmul_split},
    {MATMUL("gpu"), TILES(128, 128, 16, 16, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(16, 64, 16, 16, 4), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(64, 16, 16, 4, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(64, 64, 16, 16, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(128, 128, 8, 16, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(128, 64, 16, 16, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(64, 128, 16, 16, 16), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("gpu"), TILES(32, 32, 32, 8, 8), .order = FORJA__ASCENDING, .made_for = is_no_cpu,
     .matmul = &forja__opencl_matmul_tiles},
    {MATMUL("ref"), .config = "", .options = "", .order = FORJA__ASCENDING,
     .matmul = &forja__opencl_matmul_reference},

    {XMX, FRAGMENT_FORWARD(64, 64, 64, 1, 8, 16)},
    {XMX, FRAGMENT_FORWARD(64, 32, 128, 1, 8, 16)},
    {XMX, FRAGMENT_FORWARD(32, 32, 256, 2, 4, 16)},
    {XMX8, FRAGMENT_FORWARD(64, 64, 64, 2, 8, 8)},
    {XMX8, FRAGMENT_FORWARD(64, 32, 128, 4, 8, 8)},
    {MFMA, FRAGMENT_FORWARD(64, 64, 64, 1, 4, 64)},
    {MFMA, FRAGMENT_FORWARD(64, 32, 128, 1, 4, 64)},
    {MFMA, FRAGMENT_FORWARD(32, 32, 256, 2, 2, 64)},
    {WMMA, FRAGMENT_FORWARD(64, 64, 64, 1, 4, 32)},
    {WMMA, FRAGMENT_FORWARD(64, 32, 128, 1, 4, 32)},
    {WMMA, FRAGMENT_FORWARD(32, 32, 256, 2, 2, 32)},
    {WMMA12, FRAGMENT_FORWARD(64, 64, 64, 1, 4, 32)},
    {WMMA12, FRAGMENT_FORWARD(64, 32, 128, 1, 4, 32)},
    {WMMA12, FRAGMENT_FORWARD(32, 32, 256, 2, 2, 32)},
    {NV_FORWARD("128x64", "64")},
    {NV_FORWARD("64x64", "64")},
    {NV_FORWARD("64x32", "32")},
    {FORWARD("cpu"), .config = "decode", .options = "", .order = "key by key, heads together", .group = {1, 1},
     .made_for = is_cpu, .attention_forward = &forja__opencl_attention_decode_cpu},
    {FORWARD("cpu"), .config = "64x64", .options = "", .order = "64 keys, vectors",
     .tile = {.m = 64, .n = 64}, .group = {1, 1}, .made_for = is_cpu,
     .attention_forward = &forja__opencl_attention_forward_cpu},
    {FORWARD("gpu"), .config = "decode", .options = "", .order = "64 keys decode",
     .group = {64, 1}, .made_for = is_no_cpu, .attention_forward = &forja__opencl_attention_decode_gpu},
    {FORWARD("gpu"), ATTENTION(64, 32, 16), .order = "32 keys", .made_for = is_no_cpu,
     .attention_forward = &forja__opencl_attention_forward_gpu},
    {FORWARD("gpu"), ATTENTION(32, 32, 16), .order = "32 keys", .made_for = is_no_cpu,
     .attention_forward = &forja__opencl_attention_forward_gpu},
    {FORWARD("gpu"), ATTENTION(16, 16, 8), .order = "16 keys", .made_for = is_no_cpu,
     .attention_forward = &forja__opencl_attention_forward_gpu},
    {FORWARD("gpu"), ATTENTION(16, 32, 16), .order = "32 keys", .made_for = is_no_cpu,
     .attention_forward = &forja__opencl_attention_forward_gpu},
    {FORWARD("gpu"), ATTENTION(32, 16, 16), .order = "16 keys", .made_for = is_no_cpu,
     .attention_forward = &forja__opencl_attention_forward_gpu},
    {FORWARD("ref"), .config = "", .options = "", .order = "key by key",
     .attention_forward = &forja__opencl_attention_forward_ref},

    {XMX, FRAGMENT_BACKWARD(64, 64, 64, 4, 4, 16)},
    {XMX, FRAGMENT_BACKWARD(32, 32, 128, 2, 4, 16)},
    {XMX, FRAGMENT_BACKWARD(16, 16, 256, 4, 2, 16)},
    {XMX8, FRAGMENT_BACKWARD(32, 32, 64, 4, 4, 8)},
    {XMX8, FRAGMENT_BACKWARD(16, 16, 128, 8, 2, 8)},
    {MFMA, FRAGMENT_BACKWARD(64, 64, 64, 2, 2, 64)},
    {MFMA, FRAGMENT_BACKWARD(32, 32, 128, 2, 2, 64)},
    {MFMA, FRAGMENT_BACKWARD(16, 16, 256, 4, 1, 64)},
    {WMMA, FRAGMENT_BACKWARD(64, 64, 64, 2, 4, 32)},
    {WMMA, FRAGMENT_BACKWARD(32, 32, 128, 4, 2, 32)},
    {WMMA, FRAGMENT_BACKWARD(16, 16, 256, 4, 1, 32)},
    {WMMA12, FRAGMENT_BACKWARD(64, 64, 64, 2, 4, 32)},
    {WMMA12, FRAGMENT_BACKWARD(32, 32, 128, 4, 2, 32)},
    {WMMA12, FRAGMENT_BACKWARD(16, 16, 256, 4, 1, 32)},
    {NV_BACKWARD("64x64", "64")},
    {NV_BACKWARD("64x32", "32")},
    {BACKWARD("cpu"), .config = "64x64", .options = "", .order = "64 keys, parts of the keys",
     .tile = {.m = 64, .n = 64}, .group = {1, 1}, .made_for = is_cpu, .attention_backward = &forja__opencl_attention_backward_cpu},
    {BACKWARD("gpu"), ATTENTION(32, 32, 16), .order = "32 keys", .made_for = is_no_cpu,
     .attention_backward = &forja__opencl_attention_backward_gpu},
    {BACKWARD("gpu"), ATTENTION(16, 16, 16), .order = "16 keys", .made_for = is_no_cpu,
     .attention_backward = &forja__opencl_attention_backward_gpu},
    {BACKWARD("gpu"), ATTENTION(8, 8, 8), .order = "8 keys", .made_for = is_no_cpu,
     .attention_backward = &forja__opencl_attention_backward_gpu},
    {BACKWARD("ref"), .config = "", .options = "", .order = "key by key",
     .attention_backward = &forja__opencl_attention_backward_ref},

    // rows.c gives the shapes of launches.
    {ROWS("item"), .made_for = is_cpu},
    {ROWS("group")},
};
enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

size_t forja__variants(const forja__variant **out) {
    *out = variants;
    return VARIANT_COUNT;
}

/// The functions of a row's family, whose types differ in the arguments alone.
#define CALL_FAMILY(row, function, device, args)                                                   \
    switch ((row)->op) {                                                                           \
    case FORJA_OP_MATMUL:                                                                          \
        return !(row)->matmul->function || (row)->matmul->function(device, row, args);             \
    case FORJA_OP_ATTENTION_FORWARD:                                                               \
        return !(row)->attention_forward->function ||                                              \
               (row)->attention_forward->function(device, row, args);                              \
    case FORJA_OP_ATTENTION_BACKWARD:                                                              \
        return !(row)->attention_backward->function ||                                             \
               (row)->attention_backward->function(device, row, args);                             \
    default:                                                                                       \
        return true;                                                                               \
    }

static bool suits(const forja__variant *row, const forja_device *device, const void *args) {
    CALL_FAMILY(row, suits, device, args)
}

static bool runs(const forja__variant *row, const forja_device *device, const void *args) {
    if ((uint64_t)row->group.x * row->group.y > forja__opencl_max_work_group(device) ||
        row->local_bytes > device->info.local_memory_bytes)
        return false;
    CALL_FAMILY(row, runs, device, args)
}

static bool is_made_for(const forja__variant *row, const forja_device *device) {
    return !row->made_for || row->made_for(device);
}

/// `wanted` is "name" or "name:config".
static bool is_named(const forja__variant *row, const char *wanted) {
    size_t length = strlen(row->name);
    return strncmp(wanted, row->name, length) == 0 &&
           (wanted[length] == '\0' ||
            (wanted[length] == ':' && strcmp(wanted + length + 1, row->config) == 0));
}

/// The first row named `wanted` that runs, of those that suit the shape if there is one; else NULL.
static const forja__variant *find(const forja_device *device, forja_op op, const void *args,
                                  const char *wanted) {
    const forja__variant *found = NULL;
    for (const forja__variant *row = variants; row < variants + VARIANT_COUNT; row++) {
        if (row->op != op || !is_named(row, wanted) || !runs(row, device, args))
            continue;
        if (suits(row, device, args))
            return row;
        if (!found)
            found = row;
    }
    return found;
}

static const forja__variant *find_default(const forja_device *device, forja_op op,
                                          const void *args) {
    const forja__variant *last = NULL;
    for (const forja__variant *row = variants; row < variants + VARIANT_COUNT; row++) {
        if (row->op != op)
            continue;
        last = row;
        // `runs` last: it may have to probe the device.
        if (is_made_for(row, device) && suits(row, device, args) && runs(row, device, args))
            break;
    }
    return last;
}

/// Refuses a name that no row has. Both of attention's operations listen to one variable, and either
/// may have the tiles.
static forja_status check_name(forja_op op, const char *wanted, const char *what) {
    char names[1024] = "";
    for (const forja__variant *row = variants; row < variants + VARIANT_COUNT; row++) {
        if (strcmp(forja__variant_variable(row->op), forja__variant_variable(op)) != 0)
            continue;
        if (is_named(row, wanted))
            return FORJA_OK;
        size_t length = strlen(names);
        if (row->op == op)
            snprintf(names + length, sizeof names - length, "%s%s%s%s", length ? ", " : "",
                     row->name, *row->config ? ":" : "", row->config);
    }
    return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                       "%s is \"%s\", which is no variant; use a name, or name:config, of %s", what,
                       wanted, names);
}

/// The row that the device's tuning gives a call; NULL for none. A row that adds in another order
/// than the default is passed over: within a class of shapes defaults may differ, and a clock, which
/// made the tuning, must not change bits. So is a row for another kind of device: a tuning may come
/// from a checkpoint that another device wrote.
static const forja__variant *find_tuned(const forja_device *device, forja_op op, const void *args,
                                        const forja__variant *the_default) {
    const forja__opencl_device *opencl = device->opencl;
    char shape_class[FORJA_SHAPE_CLASS_SIZE];
    if (opencl->tuned_count == 0 || forja_shape_class(shape_class, op, args) != FORJA_OK)
        return NULL;
    for (size_t i = 0; i < opencl->tuned_count; i++) {
        const forja__tuned *tuned = &opencl->tuned[i];
        if (tuned->op != op || strcmp(tuned->shape_class, shape_class) != 0)
            continue;
        const forja__variant *row = find(device, op, args, tuned->variant);
        return row && is_made_for(row, device) && strcmp(row->order, the_default->order) == 0 ? row
                                                                                              : NULL;
    }
    return NULL;
}

forja_status forja__variant_choose(const forja__variant **out, const forja_device *device,
                                   forja_op op, const void *args) {
    *out = NULL;
    const char *environment = forja_environment_variant(op), *forced = device->opencl->forced[op];
    if (environment) {
        FORJA__TRY(check_name(op, environment, forja__variant_variable(op)));
        *out = find(device, op, args, environment);
    }
    if (!*out && *forced)
        *out = find(device, op, args, forced);
    if (*out)
        return FORJA_OK;
    const forja__variant *the_default = find_default(device, op, args);
    *out = find_tuned(device, op, args, the_default);
    if (!*out)
        *out = the_default;
    return FORJA_OK;
}

static forja_variant describe(const forja__variant *row, const forja_device *device,
                              const forja__variant *the_default) {
    return (forja_variant){.name = row->name,
                           .config = row->config,
                           .order = row->order,
                           .is_default = row == the_default,
                           .is_made_for_device = is_made_for(row, device)};
}

forja_status forja__opencl_variant_list(forja_variant *out, size_t *count,
                                        const forja_device *device, forja_op op, const void *args) {
    const forja__variant *the_default = find_default(device, op, args);
    const size_t room = out ? *count : 0;
    *count = 0;
    for (const forja__variant *row = variants; row < variants + VARIANT_COUNT; row++) {
        if (row->op != op || !runs(row, device, args))
            continue;
        if (*count < room)
            out[*count] = describe(row, device, the_default);
        ++*count;
    }
    return FORJA_OK;
}

forja_status forja__opencl_variant_query(forja_variant *out, const forja_device *device,
                                         forja_op op, const void *args) {
    const forja__variant *row;
    FORJA__TRY(forja__variant_choose(&row, device, op, args));
    *out = describe(row, device, find_default(device, op, args));
    return FORJA_OK;
}

forja_status forja__opencl_force_variant(forja_device *device, forja_op op, const char *variant) {
    char *forced = device->opencl->forced[op];
    if (variant)
        FORJA__TRY(check_name(op, variant, "forja_device_force_variant: variant"));
    snprintf(forced, FORJA__VARIANT_SIZE, "%s", variant ? variant : "");
    return FORJA_OK;
}

forja_status forja__opencl_set_tuning(forja_device *device, const forja_tuning_entry *entries,
                                      size_t count) {
    forja__tuned *tuned = count ? calloc(count, sizeof *tuned) : NULL;
    if (count && !tuned)
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a tuning of %zu entries; free memory on the machine",
                           count);
    for (size_t i = 0; i < count; i++) {
        tuned[i].op = entries[i].op;
        snprintf(tuned[i].shape_class, sizeof tuned[i].shape_class, "%s", entries[i].shape_class);
        snprintf(tuned[i].variant, sizeof tuned[i].variant, "%s", entries[i].variant);
    }
    free(device->opencl->tuned);
    device->opencl->tuned = tuned;
    device->opencl->tuned_count = count;
    return FORJA_OK;
}
