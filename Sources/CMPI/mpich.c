// MPICH's ABI, which Intel MPI, MVAPICH and Cray MPICH share since 2014: handles are numbers.
#include "internal.h"

typedef int communicator_t;
typedef int request_t;
typedef int datatype_t;
typedef int info_t;
typedef int error_handler_t;

typedef struct {
    int count_low, count_high_and_cancelled;
    int source, tag, error;
} status_t;

#define ABI_NAME "MPICH"
#define ABI_OBJECT forja__mpi_mpich
#define COMMUNICATOR_FIELD number

enum {
    THREAD_SERIALIZED = 2,
    SPLIT_BY_HOST = 1,
    // Intel MPI's are the longest.
    ERROR_STRING_BYTES = 1024,
    HOST_NAME_BYTES = 256,
};

static const struct {
    communicator_t world;
    datatype_t byte;
    info_t no_info;
    error_handler_t errors_return;
} constants = {
    .world = 0x44000000,
    .byte = 0x4c00010d,
    .no_info = 0x1c000000,
    .errors_return = 0x54000001,
};

static forja_mpi_status find_constants(void *library, const char *library_name) {
    (void)library;
    (void)library_name;
    return FORJA_MPI_OK;
}

#include "operations.inc"
