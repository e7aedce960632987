/// Attention on the host: how a call is cut into tasks, and which instruction set runs them.
///
/// Forward: a task is a tile of query rows of one (batch, key-value head), with the heads of the
/// group sharing the loads of K and V. Decode (one query row): a task is a sequence, where
/// those are few a (batch, key-value head), or a part of its keys. Backward: see attention_backward.h.

#include "attention.h"

#include "instruction_set.h"

#define TILE FORJA__ATTENTION_TILE

/// Fewer (batch, key-value head) pairs than this are split into parts, so that many cores have
/// work.
#define ENOUGH_TASKS 16
/// Heads of a group that one forward task takes at most: bounds scratch for many heads over few
/// keys.
#define MOST_TASK_HEADS 8
/// Floats of K that a backward task holds at once; with K and V transposed, dK and dV five times as
/// many: 640 KiB.
#define CHUNK_FLOATS 32768

static uint64_t rounded_up(uint64_t x, uint64_t multiple) {
    return (x + multiple - 1) / multiple * multiple;
}

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static forja__attention_plan plan_any(const forja_attention_args *args) {
    return (forja__attention_plan){
        .args = args,
        .group = args->heads / args->key_value_heads,
        .padded = (uint32_t)rounded_up(args->head_dim, 16),
        .query_tiles = (uint32_t)(rounded_up(args->query_length, TILE) / TILE),
        .splits = 1,
    };
}

/// Parts for each of `pairs` (batch, group) pairs, of at least `smallest` keys.
static uint32_t split_count(uint64_t pairs, uint64_t keys, uint64_t smallest) {
    uint64_t wanted = (ENOUGH_TASKS + pairs - 1) / pairs;
    return (uint32_t)least(wanted, (keys + smallest - 1) / smallest);
}

static bool is_decode(const forja_attention_args *args) {
    return args->query_length == 1;
}

static forja__attention_plan plan_forward(const forja_attention_args *args) {
    forja__attention_plan plan = plan_any(args);
    const uint64_t pairs = (uint64_t)args->batch * args->key_value_heads;
    if (is_decode(args)) {
        plan.splits = split_count(pairs, args->key_length, 4 * TILE);
        plan.task_groups = args->batch >= ENOUGH_TASKS ? args->key_value_heads : 1;
        plan.scratch_size = (uint64_t)plan.task_groups *
                            ((plan.group + TILE) * plan.padded + plan.group * TILE);
        plan.shared_size = pairs * plan.splits * plan.group * (plan.padded + 2);
    } else {
        plan.task_heads = (uint32_t)least(plan.group, MOST_TASK_HEADS);
        plan.head_tasks = (plan.group + plan.task_heads - 1) / plan.task_heads;
        plan.scratch_size = 2 * (plan.task_heads + 1ull) * TILE * plan.padded + TILE * TILE +
                            (2 * plan.task_heads + 1ull) * TILE;
    }
    plan.scratch_size = rounded_up(plan.scratch_size, 16);
    return plan;
}

static forja__attention_plan plan_backward(const forja_attention_backward_args *args) {
    forja__attention_plan plan = plan_any(&args->forward);
    const uint64_t keys = args->forward.key_length;
    const uint64_t pairs = (uint64_t)args->forward.batch * args->forward.key_value_heads;
    plan.backward = args;
    plan.splits = split_count(pairs, keys, TILE);
    plan.split_keys = rounded_up((keys + plan.splits - 1) / plan.splits, TILE);
    plan.splits = (uint32_t)((keys + plan.split_keys - 1) / plan.split_keys);
    plan.chunk_keys = least(plan.split_keys, CHUNK_FLOATS / plan.padded / TILE * TILE);
    plan.scratch_size =
        5 * plan.chunk_keys * plan.padded + 2 * TILE * TILE + 3ull * TILE * plan.padded;
    plan.shared_size = pairs * forja__attention_slice(&plan, plan.splits);
    return plan;
}

static uint64_t workspace_bytes(const forja__attention_plan *plan, uint64_t threads) {
    uint64_t scratch = forja__product(threads, plan->scratch_size);
    return forja__product(scratch + plan->shared_size, sizeof(float));
}

uint64_t forja__cpu_attention_forward_workspace_bytes(const forja_device *device,
                                                      const forja_attention_args *args) {
    forja__attention_plan plan = plan_forward(args);
    return workspace_bytes(&plan, forja__pool_thread_count(device->pool));
}

uint64_t forja__cpu_attention_backward_workspace_bytes(const forja_device *device,
                                                       const forja_attention_backward_args *args) {
    forja__attention_plan plan = plan_backward(args);
    return workspace_bytes(&plan, forja__pool_thread_count(device->pool));
}

static const forja__attention_kernels *kernels(void) {
    switch (forja__host_instruction_set()) {
#if defined(__x86_64__)
    case FORJA__AVX512:
        return &forja__attention_avx512;
    case FORJA__AVX2:
        return &forja__attention_avx2;
#endif
    default:
        return &forja__attention_generic;
    }
}

typedef struct task_context {
    const forja__attention_plan *plan;
    void (*run)(const forja__attention_plan *plan, uint64_t index, float *scratch);
} task_context;

static void run_task(void *context, uint64_t index, uint32_t thread) {
    const task_context *task = context;
    task->run(task->plan, index, task->plan->scratch + thread * task->plan->scratch_size);
}

static void run_tasks(forja__pool *pool, const forja__attention_plan *plan, uint64_t count,
                      void (*run)(const forja__attention_plan *, uint64_t, float *)) {
    task_context context = {plan, run};
    forja__pool_run(pool, count, run_task, &context);
}

static forja_status place(forja__attention_plan *plan, forja_queue *queue) {
    const uint64_t threads = forja__pool_thread_count(queue->device->pool);
    forja_buffer *workspace;
    FORJA__TRY(forja__queue_workspace(&workspace, queue, workspace_bytes(plan, threads)));
    plan->scratch = workspace->host;
    plan->shared = plan->scratch + threads * plan->scratch_size;
    return FORJA_OK;
}

forja_status forja__cpu_attention_forward(forja_queue *queue, const forja_attention_args *args) {
    forja__attention_plan plan = plan_forward(args);
    forja__pool *pool = queue->device->pool;
    const uint64_t pairs = (uint64_t)args->batch * args->key_value_heads;
    FORJA__TRY(place(&plan, queue));
    if (is_decode(args)) {
        run_tasks(pool, &plan, pairs / plan.task_groups * plan.splits, kernels()->decode);
        if (plan.splits > 1)
            run_tasks(pool, &plan, pairs, kernels()->decode_merge);
    } else {
        run_tasks(pool, &plan, pairs * plan.query_tiles * plan.head_tasks, kernels()->forward);
    }
    return FORJA_OK;
}

forja_status forja__cpu_attention_backward(forja_queue *queue,
                                           const forja_attention_backward_args *args) {
    forja__attention_plan plan = plan_backward(args);
    forja__pool *pool = queue->device->pool;
    const uint64_t pairs = (uint64_t)args->forward.batch * args->forward.key_value_heads;
    FORJA__TRY(place(&plan, queue));
    run_tasks(pool, &plan, pairs * plan.splits, kernels()->backward);
    run_tasks(pool, &plan, pairs * plan.query_tiles, kernels()->backward_merge);
    return FORJA_OK;
}
