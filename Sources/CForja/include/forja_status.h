/// Status codes and the thread's error message.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef enum forja_status {
    FORJA_OK = 0,
    /// A null pointer, an unknown enumerator, a shape that cannot be, a buffer of another device.
    FORJA_ERROR_INVALID_ARGUMENT = 1,
    /// A range that passes the end of a buffer, or an index past the end of a list.
    FORJA_ERROR_OUT_OF_RANGE = 2,
    /// The host, the device or the configured limit has no room for the request.
    FORJA_ERROR_OUT_OF_MEMORY = 3,
    /// The driver refused a call; the message carries its code.
    FORJA_ERROR_DEVICE = 4,
    /// A kernel did not compile; the message carries the compiler's log.
    FORJA_ERROR_COMPILE = 5,
    /// The machine lacks what the call needs: a thread, a readable kernel file.
    FORJA_ERROR_UNAVAILABLE = 6,
} forja_status;

/// The calling thread's message for its last failed call; "" before the first failure. Borrowed:
/// valid until the thread's next failing call.
const char *forja_last_error(void);

#ifdef __cplusplus
}
#endif
