// Open MPI 4 and 5: handles are pointers, the predefined ones addresses of the library's objects.
#include "internal.h"

typedef struct ompi_communicator_t *communicator_t;
typedef struct ompi_request_t *request_t;
typedef struct ompi_datatype_t *datatype_t;
typedef struct ompi_info_t *info_t;
typedef struct ompi_errhandler_t *error_handler_t;

typedef struct {
    int source, tag, error;
    int is_cancelled;
    size_t byte_count;
} status_t;

#define ABI_NAME "Open MPI"
#define ABI_OBJECT forja__mpi_open_mpi
#define COMMUNICATOR_FIELD pointer

enum {
    THREAD_SERIALIZED = 2,
    SPLIT_BY_HOST = 0,
    ERROR_STRING_BYTES = 256,
    HOST_NAME_BYTES = 256,
};

static struct {
    communicator_t world;
    datatype_t byte;
    info_t no_info;
    error_handler_t errors_return;
} constants;

static forja_mpi_status find_constants(void *library, const char *library_name) {
    const struct {
        void *out;
        const char *symbol;
    } objects[] = {
        {&constants.world, "ompi_mpi_comm_world"},
        {&constants.byte, "ompi_mpi_byte"},
        {&constants.no_info, "ompi_mpi_info_null"},
        {&constants.errors_return, "ompi_mpi_errors_return"},
    };
    for (size_t i = 0; i < sizeof objects / sizeof *objects; i++) {
        forja_mpi_status status =
            forja__mpi_find(objects[i].out, library, library_name, objects[i].symbol);
        if (status != FORJA_MPI_OK)
            return status;
    }
    return FORJA_MPI_OK;
}

#include "operations.inc"
