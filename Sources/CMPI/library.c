// Opens the site's MPI and tells its ABI.
#include "library.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Longest in use: MPICH 4 allows 8192 bytes, most of them its configure line.
enum { VERSION_BYTES = 8192, REASON_BYTES = 1024 };

static _Atomic(const forja__mpi_abi *) started;
static char version[VERSION_BYTES + 1];

const forja__mpi_abi *forja__mpi_started(void) {
    return atomic_load(&started);
}

const char *forja_mpi_library_version(void) {
    return version;
}

forja_mpi_status forja__mpi_find(void *out, void *library, const char *library_name,
                                 const char *symbol) {
    void *found = dlsym(library, symbol);
    if (!found)
        return forja__mpi_fail(FORJA_MPI_ERROR_UNAVAILABLE,
                               "%s has no %s: Open MPI 4 or 5, or MPICH 3.2 or newer, is needed",
                               library_name, symbol);
    memcpy(out, &found, sizeof found);
    return FORJA_MPI_OK;
}

/// Opens the first library that opens. Its plug-ins look for its symbols among the global ones.
static void *open_first(const char *const names[], size_t count, const char **out_name) {
    char reasons[REASON_BYTES] = "no name was given";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
        *out_name = names[i];
        if (library)
            return library;
        const char *reason = dlerror();
        int length = snprintf(reasons + used, sizeof reasons - used, "%s%s", used ? "; " : "",
                              reason ? reason : names[i]);
        used += length > 0 ? (size_t)length : 0;
        if (used >= sizeof reasons)
            used = sizeof reasons - 1;
    }
    forja__mpi_fail(FORJA_MPI_ERROR_UNAVAILABLE, "no MPI library opens: %s", reasons);
    return NULL;
}

/// Stores the library's version as one line and tells its ABI from it; NULL for one that is neither.
static const forja__mpi_abi *recognise(void *library, const char *name) {
    int (*get_version)(char *, int *);
    if (forja__mpi_find(&get_version, library, name, "MPI_Get_library_version") != FORJA_MPI_OK)
        return NULL;
    int length = 0;
    if (get_version(version, &length) != 0)
        version[0] = '\0';
    // MPICH writes a table after its first line, "MPICH Version: 4.0.2"; Open MPI a list after "Open MPI v4.1.4, ".
    version[strcspn(version, ",\n")] = '\0';
    for (char *c = version; *c; c++)
        if (*c == '\t')
            *c = ' ';
    if (dlsym(library, "ompi_mpi_comm_world"))
        return &forja__mpi_open_mpi;
    static const char *const relatives[] = {"MPICH", "Intel(R) MPI", "MVAPICH"};
    for (size_t i = 0; i < sizeof relatives / sizeof *relatives; i++)
        if (strstr(version, relatives[i]))
            return &forja__mpi_mpich;
    forja__mpi_fail(FORJA_MPI_ERROR_UNAVAILABLE,
                    "%s is \"%s\": Open MPI, or a library of MPICH's ABI, is needed", name,
                    version);
    return NULL;
}

forja_mpi_status forja_mpi_start(const char *const library_names[], size_t library_count,
                                 int launched_count) {
    if (forja__mpi_started())
        return forja__mpi_fail(FORJA_MPI_ERROR_INVALID, "MPI was started already");
    const char *name = NULL;
    void *library = open_first(library_names, library_count, &name);
    if (!library)
        return FORJA_MPI_ERROR_UNAVAILABLE;
    const forja__mpi_abi *abi = recognise(library, name);
    if (!abi || abi->bind(library, name) != FORJA_MPI_OK) {
        dlclose(library);
        return FORJA_MPI_ERROR_UNAVAILABLE;
    }
    // Waits here sleep between looks; a yield in each look as well costs more than it gives (wait.c).
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
    // Both look at the machine through hwloc, which would open every OpenCL platform, each with threads and memory of its
    // own, to list devices that MPI does not use here.
    setenv("HWLOC_COMPONENTS", "-opencl", 0);
    int process_count = 0;
    forja_mpi_status status = abi->start(&process_count);
    if (status != FORJA_MPI_OK)
        return status;
    atomic_store(&started, abi);
    if (launched_count > 0 && process_count != launched_count)
        return forja__mpi_fail(
            FORJA_MPI_ERROR_LAUNCHER,
            "the launcher started %d processes and %s (%s) sees %d: the launcher belongs to another MPI than the library",
            launched_count, version, name, process_count);
    return FORJA_MPI_OK;
}

forja_mpi_status forja_mpi_finalize(void) {
    const forja__mpi_abi *abi = forja__mpi_started();
    if (!abi)
        return FORJA_MPI_OK;
    forja_mpi_status status = abi->finalize();
    atomic_store(&started, NULL);
    return status;
}
