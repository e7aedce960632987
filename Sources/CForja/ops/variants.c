// The public side of variants: checks, names and shape classes.
#include "ops.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name, *variable;
} operations[FORJA_OP_COUNT] = {
    [FORJA_OP_MATMUL] = {"matmul", "FORJA_MATMUL_VARIANT"},
    [FORJA_OP_ATTENTION_FORWARD] = {"attention_forward", "FORJA_ATTENTION_VARIANT"},
    [FORJA_OP_ATTENTION_BACKWARD] = {"attention_backward", "FORJA_ATTENTION_VARIANT"},
    [FORJA_OP_ROWS] = {"rows", "FORJA_ROW_KERNELS"},
};

static bool is_known(forja_op op) { return (unsigned)op < FORJA_OP_COUNT; }

const char *forja_op_name(forja_op op) { return is_known(op) ? operations[op].name : NULL; }

const char *forja__variant_variable(forja_op op) { return operations[op].variable; }

const char *forja_environment_variant(forja_op op) {
    const char *value = is_known(op) ? getenv(operations[op].variable) : NULL;
    return value && *value ? value : NULL;
}

/// The host has one form of each operation.
static const forja_variant host = {
    .name = "host", .config = "", .order = "host", .is_default = true,
    .is_made_for_device = true};

static forja_status check(const void *out, const forja_device *device, forja_op op,
                          const void *args, const char *operation) {
    if (!is_known(op))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "%s: op is %d; use an enumerator of forja_op", operation, (int)op);
    if (!out || !device || (!args && op != FORJA_OP_ROWS))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT, "%s: %s is NULL; pass it", operation,
                           !out ? "the result's place" : !device ? "device" : "args");
    return FORJA_OK;
}

forja_status forja_variant_list(forja_variant *out, size_t *count, const forja_device *device,
                                forja_op op, const void *args) {
    FORJA__TRY(check(count, device, op, args, "forja_variant_list"));
    if (device->opencl)
        return forja__opencl_variant_list(out, count, device, op, args);
    if (*count > 0 && out)
        *out = host;
    *count = 1;
    return FORJA_OK;
}

forja_status forja_variant_query(forja_variant *out, const forja_device *device, forja_op op,
                                 const void *args) {
    FORJA__TRY(check(out, device, op, args, "forja_variant_query"));
    if (device->opencl)
        return forja__opencl_variant_query(out, device, op, args);
    *out = host;
    return FORJA_OK;
}

forja_status forja_device_force_variant(forja_device *device, forja_op op, const char *variant) {
    FORJA__TRY(check(device, device, op, device, "forja_device_force_variant"));
    return device->opencl ? forja__opencl_force_variant(device, op, variant) : FORJA_OK;
}

forja_status forja_device_set_tuning(forja_device *device, const forja_tuning_entry *entries,
                                     size_t count) {
    FORJA__TRY(check(device, device, FORJA_OP_MATMUL, device, "forja_device_set_tuning"));
    if (count > 0 && !entries)
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_device_set_tuning: entries is NULL; pass %zu of them", count);
    for (size_t i = 0; i < count; i++)
        if (!is_known(entries[i].op) || !entries[i].shape_class || !entries[i].variant)
            return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                               "forja_device_set_tuning: entry %zu has op %d or a NULL text; use "
                               "an enumerator of forja_op and two texts",
                               i, (int)entries[i].op);
    return device->opencl ? forja__opencl_set_tuning(device, entries, count) : FORJA_OK;
}

/// Up to the next power of four: calls whose sides are within a factor of four are one class.
static unsigned long long round_side(uint64_t side) {
    uint64_t rounded = 1;
    while (rounded < side && rounded <= UINT64_MAX / 4)
        rounded *= 4;
    return rounded;
}

static const char *type_name(forja_dtype dtype) {
    return dtype == FORJA_DTYPE_BF16 ? "bf16" : "f32";
}

static void classify_matmul(char *out, const forja_matmul_args *args) {
    static const char *const layouts[] = {
        [FORJA_MATMUL_NN] = "nn", [FORJA_MATMUL_NT] = "nt", [FORJA_MATMUL_TN] = "tn"};
    const unsigned layout = (unsigned)args->layout;
    snprintf(out, FORJA_SHAPE_CLASS_SIZE, "%s %s %s m%llu n%llu k%llu%s",
             layout <= FORJA_MATMUL_TN ? layouts[layout] : "?", type_name(args->input_dtype),
             type_name(args->output_dtype), round_side(args->m), round_side(args->n),
             round_side(args->k), args->batch_count > 1 ? " batch" : "");
}

/// Attention's tiles depend on the head's width exactly, on the group little.
static void classify_attention(char *out, const forja_attention_args *args) {
    snprintf(out, FORJA_SHAPE_CLASS_SIZE, "%s d%u t%llu s%llu%s", type_name(args->dtype),
             args->head_dim, round_side(args->query_length), round_side(args->key_length),
             args->key_value_heads < args->heads ? " grouped" : "");
}

forja_status forja_shape_class(char out[FORJA_SHAPE_CLASS_SIZE], forja_op op, const void *args) {
    if (!is_known(op) || !out || (!args && op != FORJA_OP_ROWS))
        return forja__fail(FORJA_ERROR_INVALID_ARGUMENT,
                           "forja_shape_class: op is %d and %s; pass a known op, out and args",
                           (int)op, out && args ? "nothing is NULL" : "a pointer is NULL");
    switch (op) {
    case FORJA_OP_MATMUL:
        classify_matmul(out, args);
        break;
    case FORJA_OP_ATTENTION_FORWARD:
        classify_attention(out, args);
        break;
    case FORJA_OP_ATTENTION_BACKWARD:
        classify_attention(out, &((const forja_attention_backward_args *)args)->forward);
        break;
    default:
        snprintf(out, FORJA_SHAPE_CLASS_SIZE, "any");
    }
    return FORJA_OK;
}
