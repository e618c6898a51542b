/*
 * outlet.h: the places that log lines go to. Each call delivers one whole line or none of it, never
 * blocks for long, and never writes to a descriptor that is not what we took it for.
 */
#ifndef PQONE_OUTLET_H
#define PQONE_OUTLET_H

#include <stdbool.h>
#include <stddef.h>

/* Remembers what descriptor 2 is. Before this call, or if it was closed then, nothing goes to stderr. */
void outlet_start(void);

/* To descriptor 2, if it still is the same file. A reader that stopped reading is waited for 100 ms, and
 * not at all from then on until it reads again. False: the line is lost. */
bool outlet_stderr(const char *line, size_t length);

/* Appends to the file `pattern` (%p is the pid), made 0600 at first use and kept open. False: `why` says
 * what is wrong with the file; "" if it is there and only this line was lost. */
bool outlet_file(const char *pattern, const char *line, size_t length, char *why, size_t size);

/* One datagram to the socket at `path`. A full queue is waited for 100 ms in all, then not at all until
 * there is room again. False: nobody got it. */
bool outlet_datagram(const char *path, const char *bytes, size_t length);

#endif
