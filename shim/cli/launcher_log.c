/*
 * launcher_log.c: settings.c, which the launcher shares with the shim, complains through log_event(). The
 * shim's log is not linked here; weak, so that a program which has both (the unit tests) gets the real one.
 */
#include <stdarg.h>
#include <stdio.h>

#include "../watch/log.h"
#include "say.h"

__attribute__((weak)) void log_event(enum log_event_kind kind, uint32_t site, uint32_t key,
                                     const char *format, ...) {
    (void)kind;
    (void)site;
    (void)key;
    char text[LOG_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    say("%s", text);
}
