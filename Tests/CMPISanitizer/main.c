// Exchanges under a launcher: mpirun -n N PROGRAM LIBRARY LAUNCHED [large]. Every byte says who sent it to whom, so that a
// piece that lands in a wrong place shows. .ci/mpi.sh builds it with sanitizers and runs it under each MPI there is.
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../Sources/CMPI/internal.h"

static int failures;

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            failures++; \
            fprintf(stderr, "%s:%d: not so: %s (%s)\n", __FILE__, __LINE__, #condition, \
                    forja_mpi_last_error()); \
        } \
    } while (0)

static unsigned char expected_byte(int from, int to, size_t index) {
    return (unsigned char)(from * 37 + to * 11 + (int)(index % 251));
}

static void *allocate(size_t bytes) {
    // One byte more: an empty message has a place too.
    void *memory = malloc(bytes + 1);
    if (!memory)
        forja_mpi_abort(3);
    return memory;
}

/// All-to-all of messages whose lengths differ by pair.
static void test_exchange(forja_mpi_group *group, size_t unit) {
    int rank = forja_mpi_group_get_rank(group), size = forja_mpi_group_get_size(group);
    const void **sends = allocate((size_t)size * sizeof *sends);
    void **receives = allocate((size_t)size * sizeof *receives);
    size_t *send_bytes = allocate((size_t)size * sizeof *send_bytes);
    size_t *receive_bytes = allocate((size_t)size * sizeof *receive_bytes);
    for (int peer = 0; peer < size; peer++) {
        send_bytes[peer] = unit * (size_t)((rank + 2 * peer) % 3);
        receive_bytes[peer] = unit * (size_t)((peer + 2 * rank) % 3);
        unsigned char *bytes = allocate(send_bytes[peer]);
        for (size_t i = 0; i < send_bytes[peer]; i++)
            bytes[i] = expected_byte(rank, peer, i);
        sends[peer] = bytes;
        receives[peer] = allocate(receive_bytes[peer]);
        ((unsigned char *)receives[peer])[receive_bytes[peer]] = 0x5a;
    }
    CHECK(forja_mpi_exchange(group, sends, send_bytes, receives, receive_bytes) == FORJA_MPI_OK);
    for (int peer = 0; peer < size; peer++) {
        const unsigned char *bytes = receives[peer];
        size_t wrong = 0;
        for (size_t i = 0; i < receive_bytes[peer]; i++)
            wrong += bytes[i] != expected_byte(peer, rank, i);
        CHECK(wrong == 0);
        CHECK(bytes[receive_bytes[peer]] == 0x5a);
        free((void *)sends[peer]);
        free(receives[peer]);
    }
    free(sends);
    free(receives);
    free(send_bytes);
    free(receive_bytes);
}

/// All-gather in place: every member's part of one array.
static void test_all_gather(forja_mpi_group *group, size_t part) {
    int rank = forja_mpi_group_get_rank(group), size = forja_mpi_group_get_size(group);
    unsigned char *all = allocate(part * (size_t)size);
    const void *sends[64];
    void *receives[64];
    size_t bytes[64];
    for (int peer = 0; peer < size; peer++) {
        sends[peer] = all + part * (size_t)rank;
        receives[peer] = all + part * (size_t)peer;
        bytes[peer] = part;
    }
    for (size_t i = 0; i < part; i++)
        all[part * (size_t)rank + i] = expected_byte(rank, 0, i);
    CHECK(forja_mpi_exchange(group, sends, bytes, receives, bytes) == FORJA_MPI_OK);
    size_t wrong = 0;
    for (int peer = 0; peer < size; peer++)
        for (size_t i = 0; i < part; i++)
            wrong += all[part * (size_t)peer + i] != expected_byte(peer, 0, i);
    CHECK(wrong == 0);
    free(all);
}

static void test_broadcast(forja_mpi_group *group, int root, size_t length) {
    int rank = forja_mpi_group_get_rank(group);
    unsigned char *bytes = allocate(length);
    for (size_t i = 0; i < length; i++)
        bytes[i] = rank == root ? expected_byte(root, 9, i) : 0;
    CHECK(forja_mpi_broadcast(group, root, bytes, length) == FORJA_MPI_OK);
    size_t wrong = 0;
    for (size_t i = 0; i < length; i++)
        wrong += bytes[i] != expected_byte(root, 9, i);
    CHECK(wrong == 0);
    free(bytes);
}

/// Rows and columns of a mesh two columns wide, and the ranks of a host.
static void test_splits(forja_mpi_group *world) {
    int rank = forja_mpi_group_get_rank(world), size = forja_mpi_group_get_size(world);
    forja_mpi_group *row = NULL, *column = NULL, *reversed = NULL, *host = NULL;
    CHECK(forja_mpi_group_split(&row, world, rank / 2, rank) == FORJA_MPI_OK);
    CHECK(forja_mpi_group_split(&column, world, rank % 2, rank) == FORJA_MPI_OK);
    CHECK(forja_mpi_group_split(&reversed, world, 0, -rank) == FORJA_MPI_OK);
    CHECK(forja_mpi_group_split_by_host(&host, world) == FORJA_MPI_OK);
    CHECK(forja_mpi_group_get_rank(row) == rank % 2);
    CHECK(forja_mpi_group_get_rank(column) == rank / 2);
    CHECK(forja_mpi_group_get_rank(reversed) == size - 1 - rank);
    CHECK(forja_mpi_group_get_size(host) == size);
    test_exchange(row, 100);
    test_exchange(column, 100);
    test_all_gather(reversed, 33);
    forja_mpi_group *none = NULL;
    CHECK(forja_mpi_group_split(&none, world, -1, 0) == FORJA_MPI_ERROR_INVALID && !none);
    forja_mpi_group_free(row);
    forja_mpi_group_free(column);
    forja_mpi_group_free(reversed);
    forja_mpi_group_free(host);
}

static void *exchange_on(void *group) {
    for (int i = 0; i < 20; i++)
        test_exchange(group, 3000);
    return NULL;
}

/// Two groups at once from two threads.
static void test_two_threads(forja_mpi_group *world) {
    forja_mpi_group *other = NULL;
    CHECK(forja_mpi_group_split(&other, world, 0, 0) == FORJA_MPI_OK);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, exchange_on, other) == 0);
    exchange_on(world);
    pthread_join(thread, NULL);
    forja_mpi_group_free(other);
}

static void test_refusals(forja_mpi_group *world) {
    int size = forja_mpi_group_get_size(world), rank = forja_mpi_group_get_rank(world);
    char byte = 0;
    CHECK(forja_mpi_broadcast(world, size, &byte, 1) == FORJA_MPI_ERROR_INVALID);
    CHECK(forja_mpi_broadcast(world, -1, &byte, 1) == FORJA_MPI_ERROR_INVALID);
    const void *sends[64] = {0};
    void *receives[64] = {0};
    size_t send_bytes[64] = {0}, receive_bytes[64] = {0};
    send_bytes[rank] = 1;
    CHECK(forja_mpi_exchange(world, sends, send_bytes, receives, receive_bytes) ==
          FORJA_MPI_ERROR_INVALID);
}

/// A message of another length than expected is an error of the receiver. The last test: MPI may be in any state after.
static void test_wrong_length(forja_mpi_group *world, size_t sent) {
    int rank = forja_mpi_group_get_rank(world);
    char bytes[8] = {0}, received[8] = {0};
    const void *sends[64] = {0};
    void *receives[64] = {0};
    size_t send_bytes[64] = {0}, receive_bytes[64] = {0};
    if (rank == 0) {
        sends[1] = bytes;
        send_bytes[1] = sent;
    } else if (rank == 1) {
        receives[0] = received;
        receive_bytes[0] = 4;
    }
    forja_mpi_status status =
        forja_mpi_exchange(world, sends, send_bytes, receives, receive_bytes);
    CHECK(status == (rank == 1 ? FORJA_MPI_ERROR_FAILED : FORJA_MPI_OK));
    if (rank == 1)
        printf("refused as it should: %s\n", forja_mpi_last_error());
}

static void *cancel_soon(void *unused) {
    (void)unused;
    usleep(200000);
    forja_mpi_cancel();
    return NULL;
}

/// A wait for a rank that never comes ends by a watchdog's word.
static void test_cancel(forja_mpi_group *world) {
    pthread_t watchdog;
    CHECK(pthread_create(&watchdog, NULL, cancel_soon, NULL) == 0);
    if (forja_mpi_group_get_rank(world) == 0)
        CHECK(forja_mpi_barrier(world) == FORJA_MPI_ERROR_CANCELLED);
    pthread_join(watchdog, NULL);
}

/// A rank that stays away is named.
static void test_timeout(forja_mpi_group *world) {
    int rank = forja_mpi_group_get_rank(world), size = forja_mpi_group_get_size(world);
    if (rank == 1) {
        usleep(1500000);
        return;
    }
    forja_mpi_set_timeout(0.3);
    CHECK(forja_mpi_barrier(world) == FORJA_MPI_ERROR_TIMEOUT);
    for (int member = 0; member < size; member++)
        CHECK(forja_mpi_group_is_absent(world, member) == (member == 1));
}

int main(int count, char **arguments) {
    if (count < 3)
        return 64;
    const char *mode = count > 3 ? arguments[3] : "";
    char byte = 0;
    CHECK(forja_mpi_broadcast(NULL, 0, &byte, 1) == FORJA_MPI_ERROR_INVALID);
    const char *names[] = {"libno-such-mpi.so.1", arguments[1]};
    forja_mpi_status status = forja_mpi_start(names, 2, atoi(arguments[2]));
    if (status != FORJA_MPI_OK) {
        fprintf(stderr, "status %d: %s\n", status, forja_mpi_last_error());
        forja_mpi_finalize();
        return 10 + (int)status;
    }
    forja_mpi_group *world = NULL;
    CHECK(forja_mpi_group_create(&world) == FORJA_MPI_OK);
    int rank = forja_mpi_group_get_rank(world), size = forja_mpi_group_get_size(world);
    char host[256];
    CHECK(forja_mpi_get_host_name(host, sizeof host) == FORJA_MPI_OK && host[0]);

    if (strcmp(mode, "large") == 0) {
        // The longest message is past 2 GiB, and its pieces are 1 GiB.
        test_exchange(world, ((size_t)1 << 30) + 3);
    } else {
        for (size_t unit = 0; unit < 300000; unit = unit * 7 + 1)
            test_exchange(world, unit);
        for (size_t part = 0; part < 300000; part = part * 9 + 1)
            test_all_gather(world, part);
        for (int root = 0; root < size; root++)
            test_broadcast(world, root, 100003);
        // Pieces of seven bytes: everything is cut.
        forja__mpi_piece_bytes = 7;
        test_exchange(world, 1001);
        test_all_gather(world, 703);
        test_broadcast(world, size - 1, 501);
        forja__mpi_piece_bytes = (size_t)1 << 30;
        test_splits(world);
        test_two_threads(world);
        test_refusals(world);
        CHECK(forja_mpi_barrier(world) == FORJA_MPI_OK);
    }
    if (strcmp(mode, "short") == 0 || strcmp(mode, "long") == 0) {
        test_wrong_length(world, *mode == 's' ? 3 : 5);
        CHECK(forja_mpi_barrier(world) == FORJA_MPI_OK);
    }
    if (strcmp(mode, "cancel") == 0 || strcmp(mode, "absent") == 0) {
        if (*mode == 'c')
            test_cancel(world);
        else
            test_timeout(world);
        // Others end by their own tests, or by this.
        usleep(500000);
        forja_mpi_abort(failures ? 1 : 42);
    }
    if (strcmp(mode, "kill") == 0) {
        if (rank == size - 1)
            raise(SIGKILL);
        // The launcher has to end this wait.
        forja_mpi_barrier(world);
    }
    if (rank == 0)
        printf("%d ranks on %s, %s: %d failures\n", size, host, forja_mpi_library_version(),
               failures);
    forja_mpi_group_free(world);
    CHECK(forja_mpi_finalize() == FORJA_MPI_OK);
    return failures != 0;
}
