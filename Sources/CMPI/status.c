// The thread's error message.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static _Thread_local char message[2048];

const char *forja_mpi_last_error(void) {
    return message;
}

forja_mpi_status forja__mpi_fail(forja_mpi_status status, const char *format, ...) {
    // Formatted aside first: an argument may be the message itself, quoted inside a longer one.
    char text[sizeof message];
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(text, sizeof text, format, arguments) < 0)
        text[0] = '\0';
    va_end(arguments);
    memcpy(message, text, sizeof text);
    return status;
}
