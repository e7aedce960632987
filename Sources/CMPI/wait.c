// Who may be inside MPI, and what a wait does meanwhile.
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "library.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool is_cancelled;
static _Atomic double timeout_seconds;
size_t forja__mpi_piece_bytes = (size_t)1 << 30;

void forja__mpi_lock(void) {
    pthread_mutex_lock(&mutex);
}

void forja__mpi_unlock(void) {
    pthread_mutex_unlock(&mutex);
}

static double now_seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

// MPI moves data only while it is called, so a wait looks often at first; computing threads need the core more than a wait
// that lasts, so it then sleeps, longer and longer. It never calls sched_yield: Linux 6.18 and newer take a time slice of
// milliseconds from who yields, at each call, where another thread can run.
forja_mpi_status forja__mpi_pause(forja__mpi_patience *patience) {
    enum { EAGER_LOOKS = 100, SHORTEST_NS = 20000, LONGEST_NS = 200000 };
    if (atomic_load_explicit(&is_cancelled, memory_order_relaxed))
        return forja__mpi_fail(FORJA_MPI_ERROR_CANCELLED, "the exchange was given up");
    if (patience->looks++ < EAGER_LOOKS)
        return FORJA_MPI_OK;
    unsigned sleeps = patience->looks - EAGER_LOOKS;
    if (sleeps == 1)
        patience->sleeps_since_seconds = now_seconds();
    double limit = atomic_load_explicit(&timeout_seconds, memory_order_relaxed);
    if (limit > 0 && now_seconds() - patience->sleeps_since_seconds > limit)
        return forja__mpi_fail(FORJA_MPI_ERROR_TIMEOUT, "other ranks stay away for %g s", limit);
    long nanoseconds = SHORTEST_NS * (1 + (long)(sleeps / 16));
    struct timespec time = {.tv_nsec = nanoseconds < LONGEST_NS ? nanoseconds : LONGEST_NS};
    nanosleep(&time, NULL);
    return FORJA_MPI_OK;
}

void forja_mpi_set_timeout(double seconds) {
    atomic_store_explicit(&timeout_seconds, seconds, memory_order_relaxed);
}

void forja_mpi_cancel(void) {
    atomic_store_explicit(&is_cancelled, true, memory_order_relaxed);
}

void forja_mpi_abort(int exit_code) {
    forja_mpi_cancel();
    const forja__mpi_abi *abi = forja__mpi_started();
    // A thread that stays inside MPI for a second is stuck there. A process that ends without MPI_Finalize makes the
    // launcher end the others too.
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 1;
    if (abi && pthread_mutex_timedlock(&mutex, &deadline) == 0)
        abi->abort(exit_code);
    _exit(exit_code);
}
