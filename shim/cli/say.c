/* say.c: one sentence of pqone itself on standard error. */
#include "say.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool say_bytes(int descriptor, const char *bytes, size_t length) {
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        } else if (written < 0 && errno == EAGAIN) {
            struct pollfd writable = {.fd = descriptor, .events = POLLOUT};
            poll(&writable, 1, 1000);
        } else if (written == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

char *say_printable(char *text) {
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
    return text;
}

void say(const char *format, ...) {
    static const char prefix[] = "pqone: ";
    char line[4096];
    memcpy(line, prefix, sizeof prefix);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + sizeof prefix - 1, sizeof line - sizeof prefix - 1, format, arguments);
    va_end(arguments);
    say_printable(line);
    size_t length = strlen(line);
    line[length++] = '\n';
    say_bytes(STDERR_FILENO, line, length);
}
