// The thread's error message.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

// Room for a compiler's log; a longer text is cut.
enum { MESSAGE_BYTES = 8192 };

static _Thread_local char message[MESSAGE_BYTES];

const char *forja_last_error(void) {
    return message;
}

forja_status forja__fail(forja_status status, const char *format, ...) {
    // Formatted aside first: an argument may be the message itself, quoted inside a longer one.
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    size_t size = strlen(text);
    // A cut must not split a UTF-8 character: drop continuation bytes and their lead byte.
    if (length >= MESSAGE_BYTES) {
        while (size > 0 && ((unsigned char)text[size - 1] & 0xc0) == 0x80)
            size--;
        if (size > 0 && (unsigned char)text[size - 1] >= 0xc0)
            size--;
    }
    memcpy(message, text, size);
    message[size] = '\0';
    return status;
}
