// Groups of ranks: checks of arguments in front of the ABI's operations.
#include <stdlib.h>

#include "library.h"

static forja_mpi_status not_started(void) {
    return forja__mpi_fail(FORJA_MPI_ERROR_INVALID, "MPI was not started, or has ended");
}

forja_mpi_status forja_mpi_get_host_name(char *name, size_t size_bytes) {
    const forja__mpi_abi *abi = forja__mpi_started();
    return abi ? abi->host_name(name, size_bytes) : not_started();
}

/// Allocates a group for an operation to fill in.
static forja_mpi_status allocate(forja_mpi_group **out) {
    *out = calloc(1, sizeof **out);
    return *out ? FORJA_MPI_OK
                : forja__mpi_fail(FORJA_MPI_ERROR_OUT_OF_MEMORY, "no memory for a group of ranks");
}

/// Keeps `*out` when `status` says that it was filled in.
static forja_mpi_status keep(forja_mpi_group **out, forja_mpi_status status) {
    if (status != FORJA_MPI_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

forja_mpi_status forja_mpi_group_create(forja_mpi_group **out) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return not_started();
    forja_mpi_status status = allocate(out);
    return status == FORJA_MPI_OK ? keep(out, abi->create(*out)) : status;
}

forja_mpi_status forja_mpi_group_split(forja_mpi_group **out, forja_mpi_group *group, int colour,
                                       int key) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return not_started();
    if (colour < 0)
        return forja__mpi_fail(FORJA_MPI_ERROR_INVALID, "the colour of a group is %d; use 0 or more",
                               colour);
    forja_mpi_status status = allocate(out);
    return status == FORJA_MPI_OK ? keep(out, abi->split(*out, group, colour, key)) : status;
}

forja_mpi_status forja_mpi_group_split_by_host(forja_mpi_group **out, forja_mpi_group *group) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return not_started();
    forja_mpi_status status = allocate(out);
    return status == FORJA_MPI_OK ? keep(out, abi->split_by_host(*out, group)) : status;
}

void forja_mpi_group_free(forja_mpi_group *group) {
    if (!group)
        return;
    const forja__mpi_abi *abi = forja__mpi_started();
    // With messages pending after a cancelled wait, MPI keeps the communicator until they are done.
    if (abi)
        abi->free(group);
    free(group->requests);
    free(group->statuses);
    free(group->messages);
    free(group);
}

int forja_mpi_group_get_rank(const forja_mpi_group *group) {
    return group->rank;
}

int forja_mpi_group_get_size(const forja_mpi_group *group) {
    return group->size;
}

forja_mpi_status forja_mpi_exchange(forja_mpi_group *group, const void *const sends[],
                                    const size_t send_bytes[], void *const receives[],
                                    const size_t receive_bytes[]) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return not_started();
    int self = group->rank;
    if (send_bytes[self] != receive_bytes[self])
        return forja__mpi_fail(FORJA_MPI_ERROR_INVALID,
                               "member %d sends itself %zu bytes and expects %zu", self,
                               send_bytes[self], receive_bytes[self]);
    return abi->exchange(group, sends, send_bytes, receives, receive_bytes);
}

forja_mpi_status forja_mpi_broadcast(forja_mpi_group *group, int root, void *bytes,
                                     size_t size_bytes) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return not_started();
    if (root < 0 || root >= group->size)
        return forja__mpi_fail(FORJA_MPI_ERROR_INVALID, "there is no member %d in a group of %d",
                               root, group->size);
    return abi->broadcast(group, root, bytes, size_bytes);
}

forja_mpi_status forja_mpi_barrier(forja_mpi_group *group) {
    // One byte from every member to every member: a timeout then knows who is absent.
    static const char note = 0;
    size_t size = (size_t)group->size;
    const void **sends = calloc(size, sizeof *sends);
    void **receives = calloc(size, sizeof *receives);
    size_t *bytes = calloc(size, sizeof *bytes);
    char *received = calloc(size, 1);
    forja_mpi_status status = FORJA_MPI_ERROR_OUT_OF_MEMORY;
    if (sends && receives && bytes && received) {
        for (size_t member = 0; member < size; member++) {
            sends[member] = &note;
            receives[member] = &received[member];
            bytes[member] = 1;
        }
        status = forja_mpi_exchange(group, sends, bytes, receives, bytes);
    } else {
        forja__mpi_fail(status, "no memory for a barrier of %zu ranks", size);
    }
    free(sends);
    free(receives);
    free(bytes);
    free(received);
    return status;
}

bool forja_mpi_group_is_absent(const forja_mpi_group *group, int member) {
    for (size_t i = 0; i < group->count; i++)
        if (group->messages[i].member == member && group->messages[i].is_pending)
            return true;
    return false;
}
