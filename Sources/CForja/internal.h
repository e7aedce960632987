/// What the files of the engine share and callers never see.
#pragma once

#include <stdatomic.h>

// Only what the public headers declare is seen outside a shared library built with
// -fvisibility=hidden. The C library is (cmake/); kept by its test "exports".
#pragma GCC visibility push(default)
#include "forja.h"
#pragma GCC visibility pop

/// Records the thread's message (printf-style, one line, ends in what to do) and returns `status`.
[[gnu::format(printf, 2, 3)]]
forja_status forja__fail(forja_status status, const char *format, ...);

/// ── Devices, buffers, queues ──────────────────────────────────────────────────────────────────

typedef struct forja__pool forja__pool;                   /// cpu/pool.c
typedef struct forja__opencl_device forja__opencl_device; /// opencl/opencl.h
typedef struct forja__profile forja__profile;             /// opencl/profile.c

struct forja_device {
    forja_device_info info;
    forja__pool *pool;            /// FORJA_DEVICE_HOST, else NULL
    forja__opencl_device *opencl; /// OpenCL devices, else NULL
    _Atomic uint64_t allocated_bytes, peak_allocated_bytes;
};

struct forja_buffer {
    forja_device *device;
    uint64_t size_bytes;
    void *host;   /// host device: the bytes, 64-byte aligned; else NULL
    void *memory; /// OpenCL: the cl_mem; else NULL
};

struct forja_staging {
    forja_device *device;
    uint64_t size_bytes;
    void *bytes;  /// of the host device, or mapped from `memory`
    void *memory; /// OpenCL: the cl_mem; else NULL
};

struct forja_queue {
    forja_device *device;
    void *command_queue;     /// OpenCL: the cl_command_queue; else NULL
    forja_buffer *workspace; /// grown by forja__queue_workspace; NULL at first
    forja__profile *profile; /// OpenCL, once a profile was started; else NULL
    forja_queue_counters counters;
    uint64_t pool_runs_before; /// of the operation under way on the host: see forja__host_call_end
};

struct forja_event {
    forja_device *device;
    void *opencl_event; /// OpenCL: the cl_event; else NULL
};

static inline bool forja__is_host(const forja_queue *queue) {
    return queue->device->info.kind == FORJA_DEVICE_HOST;
}

/// `size_bytes` bytes of the host's memory for `device`, 64-byte aligned; the caller frees them with `free`.
forja_status forja__host_allocate(void **out, const forja_device *device, uint64_t size_bytes);

/// The queue's workspace with room for `size_bytes`; contents undefined, shared by every operation of the
/// queue, which run one after another.
forja_status forja__queue_workspace(forja_buffer **out, forja_queue *queue, uint64_t size_bytes);

/// Typed host pointer of a span: `forja__ptr(args->x, float)`; NULL for an absent span.
#define forja__ptr(span, type) \
    ((span).buffer ? (type *)(span).buffer->host + (span).offset : (type *)NULL)

/// ── Argument checks (ops/check.c): every public operation starts with them ─────────────────────

/// A required span: its buffer is present, belongs to the queue's device, and holds `elements` elements of `dtype`
/// from the span's offset on, with no overflow on the way. `name` is the argument as the caller wrote it.
forja_status forja__check_span(const forja_queue *queue, forja_span span, uint64_t elements,
                               forja_dtype dtype, const char *operation, const char *name);
/// As above, but an absent span passes.
forja_status forja__check_optional_span(const forja_queue *queue, forja_span span,
                                        uint64_t elements, forja_dtype dtype,
                                        const char *operation, const char *name);
/// f32 or bf16.
forja_status forja__check_storage_dtype(forja_dtype dtype, const char *operation,
                                        const char *name);
/// Saturating product, so that a check against a buffer's size fails instead of wrapping.
uint64_t forja__product(uint64_t a, uint64_t b);
/// Elements touched by `rows` rows of `width` elements, `stride` apart: (rows − 1) · stride + width; saturating.
uint64_t forja__extent(uint64_t rows, uint64_t stride, uint64_t width);

#define FORJA__TRY(expression)                          \
    do {                                                \
        forja_status forja__status_ = (expression);     \
        if (forja__status_ != FORJA_OK)                 \
            return forja__status_;                      \
    } while (0)

/// ── Host threads (cpu/pool.c) ─────────────────────────────────────────────────────────────────

/// `thread_count` threads, the caller's included; 0: all cores in the affinity mask.
forja_status forja__pool_create(forja__pool **out, uint32_t thread_count);
void forja__pool_free(forja__pool *pool);
uint32_t forja__pool_thread_count(const forja__pool *pool);
/// Cores in the affinity mask.
uint32_t forja__affinity_core_count(void);

/// Runs task(context, i, thread) for i in 0 ..< task_count over the pool's threads and returns when all are done.
/// `thread` is in 0 ..< thread count, for per-thread scratch; what a task computes must not depend on it.
/// Tasks are handed out in ascending order. Not reentrant: a task never calls it.
typedef void forja__task(void *context, uint64_t index, uint32_t thread);
void forja__pool_run(forja__pool *pool, uint64_t task_count, forja__task *task, void *context);
/// Runs with at least one task that the calling thread has started, on any pool.
uint64_t forja__pool_runs_of_thread(void);

/// ── bf16 and f16 in integer code (no __bf16: its helpers are missing from common libgcc) ───────

typedef uint16_t forja__bf16;

static inline float forja__float_from_bf16(forja__bf16 value) {
    union { uint32_t bits; float number; } u = {.bits = (uint32_t)value << 16};
    return u.number;
}

static inline forja__bf16 forja__bf16_from_float(float value) {
    union { float number; uint32_t bits; } u = {.number = value};
    if ((u.bits & 0x7fffffffu) > 0x7f800000u)
        return (forja__bf16)((u.bits >> 16) | 0x40u);
    return (forja__bf16)((u.bits + 0x7fffu + ((u.bits >> 16) & 1u)) >> 16);
}

/// ── Variants (ops/variants.c is the public side, opencl/variants.c has the table) ──────────────

/// The environment variable that forces a variant of `op`.
const char *forja__variant_variable(forja_op op);
forja_status forja__opencl_variant_list(forja_variant *out, size_t *count,
                                        const forja_device *device, forja_op op, const void *args);
forja_status forja__opencl_variant_query(forja_variant *out, const forja_device *device,
                                         forja_op op, const void *args);
forja_status forja__opencl_force_variant(forja_device *device, forja_op op, const char *variant);
forja_status forja__opencl_set_tuning(forja_device *device, const forja_tuning_entry *entries,
                                      size_t count);

/// ── Twins: ops/<op>.c checks the arguments, counts the operation and calls one of the pair ─────
/// A twin may assume valid arguments and rows, width > 0.

#define FORJA__TWINS(name, args)                                    \
    forja_status forja__cpu_##name(forja_queue *, const args *);    \
    forja_status forja__opencl_##name(forja_queue *, const args *)
#define FORJA__TWIN_WORKSPACES(name, args)                                             \
    uint64_t forja__cpu_##name##_workspace_bytes(const forja_device *, const args *);  \
    uint64_t forja__opencl_##name##_workspace_bytes(const forja_device *, const args *)

FORJA__TWINS(matmul, forja_matmul_args);
FORJA__TWIN_WORKSPACES(matmul, forja_matmul_args);
FORJA__TWINS(attention_forward, forja_attention_args);
FORJA__TWIN_WORKSPACES(attention_forward, forja_attention_args);
FORJA__TWINS(attention_backward, forja_attention_backward_args);
FORJA__TWIN_WORKSPACES(attention_backward, forja_attention_backward_args);
FORJA__TWINS(cache_append, forja_cache_append_args);
FORJA__TWINS(log_probability, forja_log_probability_args);
FORJA__TWINS(log_probability_backward, forja_log_probability_args);
FORJA__TWINS(log_probability_combine, forja_log_probability_combine_args);
FORJA__TWINS(embedding_forward, forja_embedding_args);
FORJA__TWINS(embedding_backward, forja_embedding_backward_args);
FORJA__TWINS(rmsnorm_forward, forja_rmsnorm_args);
FORJA__TWINS(rmsnorm_backward, forja_rmsnorm_backward_args);
FORJA__TWIN_WORKSPACES(rmsnorm_backward, forja_rmsnorm_backward_args);
FORJA__TWINS(rope, forja_rope_args);
FORJA__TWINS(swiglu_forward, forja_swiglu_args);
FORJA__TWINS(swiglu_backward, forja_swiglu_backward_args);
FORJA__TWINS(add, forja_add_args);
FORJA__TWINS(softmax_forward, forja_softmax_args);
FORJA__TWINS(softmax_backward, forja_softmax_backward_args);
FORJA__TWINS(cast, forja_cast_args);
FORJA__TWINS(sum, forja_sum_args);
FORJA__TWINS(sum_squares, forja_sum_squares_args);
FORJA__TWINS(gradient_norm, forja_gradient_norm_args);
FORJA__TWINS(adamw, forja_adamw_args);
FORJA__TWINS(multiply_add, forja_multiply_add_args);
