/// The engine's version.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Major.minor.patch of these headers. While major is 0, a new minor version may change any of them.
#define FORJA_VERSION "0.1.0"

/// FORJA_VERSION of the library that is running. Borrowed.
const char *forja_version(void);

#ifdef __cplusplus
}
#endif
