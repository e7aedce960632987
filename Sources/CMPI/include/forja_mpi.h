// The site's MPI, opened at run time: ranks, groups of ranks, and exchanges of bytes between them.
//
// Nothing here is linked: `forja_mpi_start` opens Open MPI (4 or 5) or a library of MPICH's ABI (MPICH, Intel MPI, MVAPICH)
// that the machine has, so that one program runs with any of them and with none. Counts are bytes and may pass 2 GiB:
// long messages travel in pieces.
//
// Threads: any thread may call, one at a time on each group; calls on different groups may overlap. MPI itself is entered
// by one thread at a time (MPI_THREAD_SERIALIZED is enough), and never blocks there once it has started: waits look again
// and again, give the core away between, and end when members stay away.
//
// Errors: every function that can fail returns a status and leaves one line for the calling thread in
// `forja_mpi_last_error`. After FORJA_MPI_ERROR_FAILED the state of MPI is undefined: call `forja_mpi_abort`.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum forja_mpi_status {
    FORJA_MPI_OK = 0,
    /// No MPI library, or one that cannot be used.
    FORJA_MPI_ERROR_UNAVAILABLE = 1,
    /// The launcher started more processes than MPI sees.
    FORJA_MPI_ERROR_LAUNCHER = 2,
    /// MPI reported a failure, or a message had not the expected length.
    FORJA_MPI_ERROR_FAILED = 3,
    /// `forja_mpi_cancel` was called.
    FORJA_MPI_ERROR_CANCELLED = 4,
    FORJA_MPI_ERROR_OUT_OF_MEMORY = 5,
    /// A call before `forja_mpi_start`, or a group member that is not there.
    FORJA_MPI_ERROR_INVALID = 6,
    /// Members stayed away for longer than `forja_mpi_set_timeout` allows; `forja_mpi_group_is_absent` names them.
    FORJA_MPI_ERROR_TIMEOUT = 7,
} forja_mpi_status;

/// Some of the ranks of a run, numbered from 0, with a channel of their own.
typedef struct forja_mpi_group forja_mpi_group;

/// What went wrong in this thread's last failing call; valid until its next call here.
const char *forja_mpi_last_error(void);

/// Opens a library, starts MPI and checks that it sees the processes that the launcher started. Once per process, before
/// other threads read the environment: it sets OMPI_MCA_mpi_yield_when_idle and HWLOC_COMPONENTS unless they are set.
///
/// @param library_names  Names for dlopen, tried in order.
/// @param launched_count Processes that the launcher says it started; 0 when it does not say.
/// @return FORJA_MPI_ERROR_UNAVAILABLE when no library opens, or it is of neither ABI, or lets only its first thread call it;
///         FORJA_MPI_ERROR_LAUNCHER when MPI sees another number of processes.
forja_mpi_status forja_mpi_start(const char *const library_names[], size_t library_count,
                                 int launched_count);

/// The library's own name and version, one line; "" before `forja_mpi_start`.
const char *forja_mpi_library_version(void);

/// Copies the name of this process's host, as MPI knows it, cut to `size_bytes` with its terminator.
forja_mpi_status forja_mpi_get_host_name(char *name, size_t size_bytes);

/// Makes the group of all ranks. Every rank calls it.
forja_mpi_status forja_mpi_group_create(forja_mpi_group **out);

/// Cuts a group: members that give the same `colour` (not negative) form a new group, ordered by `key`, then by rank in
/// `group`. Every member calls it.
forja_mpi_status forja_mpi_group_split(forja_mpi_group **out, forja_mpi_group *group, int colour,
                                       int key);

/// Cuts a group into those whose members share memory, that is, a host. Every member calls it.
forja_mpi_status forja_mpi_group_split_by_host(forja_mpi_group **out, forja_mpi_group *group);

/// Frees a group; NULL is fine. Every member calls it; groups may also be left to the end of the process.
void forja_mpi_group_free(forja_mpi_group *group);

/// This process's number in the group, and the number of members.
int forja_mpi_group_get_rank(const forja_mpi_group *group);
int forja_mpi_group_get_size(const forja_mpi_group *group);

/// Sends bytes to every member and receives bytes from every member, this process included; returns when all is done.
///
/// All four arrays have one entry a member. Entry r of `sends` goes to member r, whose entry of `receives` for this process
/// must have the same length. Sent ranges may overlap each other, which makes an all-gather; received ones may not overlap
/// anything, but the entry for this process may be the very same range in both. An empty entry may be NULL.
///
/// @return FORJA_MPI_ERROR_FAILED also when a message was shorter or longer than `receive_bytes` says.
forja_mpi_status forja_mpi_exchange(forja_mpi_group *group, const void *const sends[],
                                    const size_t send_bytes[], void *const receives[],
                                    const size_t receive_bytes[]);

/// Copies `size_bytes` bytes of member `root` to every member.
forja_mpi_status forja_mpi_broadcast(forja_mpi_group *group, int root, void *bytes,
                                     size_t size_bytes);

/// Returns once every member has called it.
forja_mpi_status forja_mpi_barrier(forja_mpi_group *group);

/// How long an exchange, a broadcast or a barrier may take, in seconds; 0, as at first, means for ever.
void forja_mpi_set_timeout(double seconds);

/// Whether the group's last call, which ended with FORJA_MPI_ERROR_TIMEOUT, still waited for `member`. A broadcast does not
/// know whom it waits for.
bool forja_mpi_group_is_absent(const forja_mpi_group *group, int member);

/// Makes every wait of this process, now or later, return FORJA_MPI_ERROR_CANCELLED; for a watchdog, from any thread. What
/// follows can only be `forja_mpi_abort`.
void forja_mpi_cancel(void);

/// Ends every process of the run with `exit_code`, as far as MPI and its launcher reach, and this one in any case. Safe
/// before `forja_mpi_start` and while another thread is inside MPI.
_Noreturn void forja_mpi_abort(int exit_code);

/// Ends MPI: nothing here may be called afterwards but `forja_mpi_abort`. Every rank calls it. No-op when MPI was not
/// started.
forja_mpi_status forja_mpi_finalize(void);

#ifdef __cplusplus
}
#endif
