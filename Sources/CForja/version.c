// The version, as the library was built.
#include "internal.h"

const char *forja_version(void) {
    return FORJA_VERSION;
}
