// The host's thread pool: the caller and its workers draw tasks from one ticket.
//
// A run is open, then closed. `state` says which run and how many workers are inside it:
//
//     bits 63..33 run number | bit 32 open | bits 31..0 workers inside
//
// A worker joins only an open run, by one compare-exchange, so the caller never waits for a worker
// that slept through a short run: it closes the run when the tickets are gone and waits for those
// inside. The run's fields are written while it is closed and empty, and read only from inside,
// which is what makes them safe without a lock.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE // sched_getaffinity, CPU_COUNT_S
#endif

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../internal.h"

/// How long an idle thread spins before it sleeps: longer than the gap between two operations of a
/// step, shorter than what a scheduler would notice.
#define SPIN_NANOSECONDS 50000

#define INSIDE_MASK UINT64_C(0xffffffff)
#define OPEN_BIT (UINT64_C(1) << 32)
#define RUN_MASK (~(OPEN_BIT | INSIDE_MASK))
#define RUN_ONE (UINT64_C(1) << 33)

struct forja__pool {
    // What threads write while they work, each on its own cache line.
    alignas(64) _Atomic uint64_t state;
    alignas(64) _Atomic uint64_t next_task;
    alignas(64) _Atomic uint32_t sleeper_count;
    _Atomic bool caller_sleeps, stopping;

    alignas(64) uint64_t task_count; // of the run, with the two below
    forja__task *task;
    void *context;

    uint32_t thread_count;  // the caller included
    uint32_t started_count; // workers
    struct worker {
        forja__pool *pool;
        pthread_t thread;
        uint32_t number; // 1 ..< thread_count; the caller is 0
    } *workers;
    pthread_mutex_t run_lock; // one caller at a time: a device's queues may live on several threads
    pthread_mutex_t lock;     // guards sleeping and waking only
    pthread_cond_t wake, done;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/// Spins until (state & mask) differs from `value`; false when the time is up.
static bool spin_while(forja__pool *pool, uint64_t mask, uint64_t value) {
    uint64_t deadline = nanoseconds() + SPIN_NANOSECONDS;
    do {
        for (int i = 0; i < 16; i++) {
            if ((atomic_load_explicit(&pool->state, memory_order_acquire) & mask) != value)
                return true;
            relax();
        }
    } while (nanoseconds() < deadline);
    return false;
}

static void draw_tasks(forja__pool *pool, uint32_t thread) {
    for (;;) {
        uint64_t index = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed);
        if (index >= pool->task_count)
            return;
        pool->task(pool->context, index, thread);
    }
}

/// Enters the open run, if there is one.
static bool join(forja__pool *pool) {
    uint64_t state = atomic_load_explicit(&pool->state, memory_order_relaxed);
    while (state & OPEN_BIT)
        if (atomic_compare_exchange_weak_explicit(&pool->state, &state, state + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

static void leave(forja__pool *pool) {
    uint64_t state = atomic_fetch_sub(&pool->state, 1) - 1;
    if (!(state & (OPEN_BIT | INSIDE_MASK)) && atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    forja__pool *pool = worker->pool;
    uint64_t seen = 0; // the last run this worker looked at
    while (!atomic_load(&pool->stopping)) {
        if (!spin_while(pool, RUN_MASK, seen)) {
            // The count rises before the state is read again, and the caller publishes the run
            // before it reads the count: one of the two sees the other, so no wake is lost.
            pthread_mutex_lock(&pool->lock);
            atomic_fetch_add(&pool->sleeper_count, 1);
            while ((atomic_load(&pool->state) & RUN_MASK) == seen && !atomic_load(&pool->stopping))
                pthread_cond_wait(&pool->wake, &pool->lock);
            atomic_fetch_sub(&pool->sleeper_count, 1);
            pthread_mutex_unlock(&pool->lock);
        }
        seen = atomic_load(&pool->state) & RUN_MASK;
        if (join(pool)) {
            draw_tasks(pool, worker->number);
            leave(pool);
        }
    }
    return NULL;
}

static void wake_sleepers(forja__pool *pool, uint64_t wanted) {
    if (atomic_load(&pool->sleeper_count) == 0)
        return;
    pthread_mutex_lock(&pool->lock);
    if (wanted >= pool->started_count)
        pthread_cond_broadcast(&pool->wake);
    else
        for (uint64_t i = 0; i < wanted; i++)
            pthread_cond_signal(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
}

static _Thread_local uint64_t runs_of_thread;

uint64_t forja__pool_runs_of_thread(void) { return runs_of_thread; }

void forja__pool_run(forja__pool *pool, uint64_t task_count, forja__task *task, void *context) {
    runs_of_thread += task_count > 0;
    pthread_mutex_lock(&pool->run_lock);
    if (task_count <= 1 || pool->started_count == 0) {
        for (uint64_t i = 0; i < task_count; i++)
            task(context, i, 0);
        pthread_mutex_unlock(&pool->run_lock);
        return;
    }
    pool->task_count = task_count;
    pool->task = task;
    pool->context = context;
    atomic_store_explicit(&pool->next_task, 0, memory_order_relaxed);
    atomic_fetch_add(&pool->state, RUN_ONE | OPEN_BIT);
    wake_sleepers(pool, task_count - 1);

    draw_tasks(pool, 0);

    atomic_fetch_and(&pool->state, ~OPEN_BIT);
    uint64_t inside = atomic_load_explicit(&pool->state, memory_order_acquire) & INSIDE_MASK;
    while (inside != 0) {
        if (!spin_while(pool, INSIDE_MASK, inside)) {
            pthread_mutex_lock(&pool->lock);
            atomic_store(&pool->caller_sleeps, true);
            while ((atomic_load(&pool->state) & INSIDE_MASK) != 0)
                pthread_cond_wait(&pool->done, &pool->lock);
            atomic_store(&pool->caller_sleeps, false);
            pthread_mutex_unlock(&pool->lock);
        }
        inside = atomic_load_explicit(&pool->state, memory_order_acquire) & INSIDE_MASK;
    }
    pthread_mutex_unlock(&pool->run_lock);
}

uint32_t forja__affinity_core_count(void) {
    // The mask grows until the kernel accepts its size.
    for (size_t cores = 1024; cores <= 1u << 20; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC(cores);
        if (!set)
            break;
        size_t size = CPU_ALLOC_SIZE(cores);
        int count = sched_getaffinity(0, size, set) == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (count > 0)
            return (uint32_t)count;
    }
    return 1;
}

forja_status forja__pool_create(forja__pool **out, uint32_t thread_count) {
    if (thread_count == 0)
        thread_count = forja__affinity_core_count();
    forja__pool *pool = aligned_alloc(alignof(forja__pool), sizeof(forja__pool));
    struct worker *workers = calloc(thread_count, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return forja__fail(FORJA_ERROR_OUT_OF_MEMORY,
                           "no memory for a pool of %u threads; ask for fewer threads",
                           thread_count);
    }
    memset(pool, 0, sizeof *pool);
    pool->thread_count = thread_count;
    pool->workers = workers;
    pthread_mutex_init(&pool->run_lock, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);

    // Workers inherit a full mask, so that a signal finds the program's own threads.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = 0;
    while (error == 0 && pool->started_count + 1 < thread_count) {
        struct worker *worker = &workers[pool->started_count];
        worker->pool = pool;
        worker->number = pool->started_count + 1;
        error = pthread_create(&worker->thread, NULL, work, worker);
        if (error == 0)
            pool->started_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        uint32_t started = pool->started_count + 1;
        forja__pool_free(pool);
        return forja__fail(FORJA_ERROR_UNAVAILABLE,
                           "the system gave %u of %u threads (%s); ask for fewer threads", started,
                           thread_count, strerror(error));
    }
    *out = pool;
    return FORJA_OK;
}

void forja__pool_free(forja__pool *pool) {
    if (!pool)
        return;
    // A new run number ends the spinning; the run it names is closed, so nobody joins.
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stopping, true);
    atomic_fetch_add(&pool->state, RUN_ONE);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->started_count; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->run_lock);
    free(pool->workers);
    free(pool);
}

uint32_t forja__pool_thread_count(const forja__pool *pool) { return pool->thread_count; }
