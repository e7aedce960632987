/// Counts the memory allocations of one thread, those of OpenCL drivers apart.
///
/// The target defines malloc and its family, which a program that links it then uses in place of the C
/// library's; each call is passed on to the C library, so nothing else changes. Outside an interval between
/// `_start` and `_stop` a call costs one look at a thread-local flag.
///
/// What is counted: calls of malloc, calloc, realloc, posix_memalign, aligned_alloc and memalign on the thread
/// that called `_start`, Swift's objects and arrays among them. An allocation is a driver's when a frame between
/// it and the measured code lies in a library that was loaded after the program started, as libOpenCL and
/// everything behind it are (they are opened at run time), or in no library at all, as compiled kernels are; all
/// others are ours, also those that the C library or BLAS make on our behalf. Frees are not counted.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct allocation_count {
    uint64_t own;         /// made by the program and by the libraries it was linked with
    uint64_t own_bytes;   /// what they asked for
    uint64_t driver;      /// made by libraries opened at run time
} allocation_count;

/// Whether this program counts: on Linux with glibc. Elsewhere every count is 0 and says nothing.
bool allocation_count_is_available(void);

/// Starts counting on this thread, from 0. Intervals do not nest.
void allocation_count_start(void);

/// Ends the interval and returns its counts. The first own allocation's callers, innermost first, are kept for
/// `allocation_count_describe`.
allocation_count allocation_count_stop(void);

/// Writes the stack of the last interval's first own allocation to standard error, one frame a line; nothing
/// when it had none. For whoever has to find what allocates.
void allocation_count_describe(void);

#ifdef __cplusplus
}
#endif
