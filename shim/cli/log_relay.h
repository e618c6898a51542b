/*
 * log_relay.h: receives the log lines of every process of the run, puts file:line where they name a call
 * site, and writes them where PQONE_LOG says. The protocol is in watch/log.h.
 *
 * Two threads: one only empties the socket, since the kernel queues few datagrams and the programs wait
 * for it, and one reads debug information, which can take a second for a large library.
 */
#ifndef PQONE_LOG_RELAY_H
#define PQONE_LOG_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "../settings.h"

struct log_relay;

/* Makes DIRECTORY/RUN.sock. NULL: `why` holds the reason. `settings` must outlive the relay. */
struct log_relay *log_relay_open(const char *directory, const char *run, const struct settings *settings,
                                 char *why, size_t size);

/* Starts to receive; after the fork, so that the program comes from a process with one thread. */
bool log_relay_start(struct log_relay *relay);

/* Writes what has arrived until now, removes the socket, frees everything. NULL is harmless. */
void log_relay_close(struct log_relay *relay);

#endif
