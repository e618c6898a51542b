/* log_line.h: one datagram of the shim as the line that a person reads. */
#ifndef PQONE_LOG_LINE_H
#define PQONE_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "symbols/symbols.h"

/* Remembers ledgers and names of call sites between lines. */
struct log_names;

struct log_names *log_names_new(const char *directory);
void log_names_free(struct log_names *names);

/* Turns "PID LEDGER\nline" of `length` bytes into a terminated line that ends in one newline and holds no
 * other control byte; a JSON line stays JSON. The caller frees. NULL: it is no message of the shim. */
char *log_line(struct log_names *names, const char *datagram, size_t length, pid_t *sender);

#endif
