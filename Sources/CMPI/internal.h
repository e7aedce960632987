// What the files of the shim share.
#pragma once

#include "forja_mpi.h"

/// Stores the thread's message and returns `status`.
__attribute__((format(printf, 2, 3)))
forja_mpi_status forja__mpi_fail(forja_mpi_status status, const char *format, ...);

/// A communicator: a number in MPICH's ABI, a pointer in Open MPI's.
typedef union {
    int number;
    void *pointer;
} forja__mpi_handle;

/// What is known of a request beforehand.
typedef struct {
    /// The other side, or -1 for a broadcast.
    int member;
    /// What its status must say; -1 for nothing.
    int length;
    bool is_pending;
} forja__mpi_message;

struct forja_mpi_group {
    forja__mpi_handle communicator;
    int rank, size;
    /// Requests in flight with their statuses; kept between calls, grown when needed.
    void *requests, *statuses;
    forja__mpi_message *messages;
    size_t capacity, count;
};

/// One ABI: the operations of forja_mpi.h with handles, constants and status layout of its own. operations.inc writes them
/// once for both.
typedef struct {
    const char *name;
    /// Finds every symbol.
    forja_mpi_status (*bind)(void *library, const char *library_name);
    /// Starts MPI unless it runs, and checks the thread level. Counts the processes of the run.
    forja_mpi_status (*start)(int *out_process_count);
    forja_mpi_status (*host_name)(char *name, size_t size_bytes);
    forja_mpi_status (*create)(forja_mpi_group *out);
    forja_mpi_status (*split)(forja_mpi_group *out, forja_mpi_group *group, int colour, int key);
    forja_mpi_status (*split_by_host)(forja_mpi_group *out, forja_mpi_group *group);
    void (*free)(forja_mpi_group *group);
    forja_mpi_status (*exchange)(forja_mpi_group *group, const void *const sends[],
                                 const size_t send_bytes[], void *const receives[],
                                 const size_t receive_bytes[]);
    forja_mpi_status (*broadcast)(forja_mpi_group *group, int root, void *bytes, size_t size_bytes);
    /// Asks MPI to end the run; may return.
    void (*abort)(int exit_code);
    forja_mpi_status (*finalize)(void);
} forja__mpi_abi;

extern const forja__mpi_abi forja__mpi_open_mpi, forja__mpi_mpich;

/// Looks a symbol up, or says which one is absent.
forja_mpi_status forja__mpi_find(void *out, void *library, const char *library_name,
                                 const char *symbol);

/// Held around every call of MPI, never around a wait.
void forja__mpi_lock(void);
void forja__mpi_unlock(void);

/// Longest piece of a message: MPI 3 counts with int. A variable for tests alone; the same on every rank.
extern size_t forja__mpi_piece_bytes;

/// How a wait gives the core away: zero at first, handed to `forja__mpi_pause` after every look that found something
/// pending.
typedef struct {
    unsigned looks;
    double sleeps_since_seconds;
} forja__mpi_patience;
/// Fails when the wait was cancelled or takes longer than the timeout.
forja_mpi_status forja__mpi_pause(forja__mpi_patience *patience);
