// Opens libOpenCL.so.1 once.
#include "loader.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static forja__opencl_api api;
static bool is_open;
static char error[512];

static bool find(void *library, const char *library_name, const char *name, void *out) {
    // dlsym returns an object pointer and POSIX asks for this way of reading it as a function.
    *(void **)out = dlsym(library, name);
    if (!*(void **)out)
        snprintf(error, sizeof error, "%s has no %s: install an OpenCL 1.2 loader (ocl-icd)",
                 library_name, name);
    return *(void **)out != NULL;
}

// The library stays open for the life of the process: drivers start threads that outlive any use.
static void open_library(void) {
    const char *name = getenv("FORJA_OPENCL_LIBRARY");
    if (!name || !*name)
        name = "libOpenCL.so.1";
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *reason = dlerror();
        snprintf(error, sizeof error, "%s could not be opened: %s", name,
                 reason ? reason : "no reason given");
        return;
    }
    is_open = true;
#define FORJA__FIND(symbol) is_open = is_open && find(library, name, #symbol, &api.symbol);
    FORJA__OPENCL_ENTRY_POINTS(FORJA__FIND)
#undef FORJA__FIND
}

const forja__opencl_api *forja__opencl(void) {
    pthread_once(&once, open_library);
    return is_open ? &api : NULL;
}

const char *forja__opencl_loader_error(void) {
    pthread_once(&once, open_library);
    return error;
}
