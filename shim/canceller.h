/*
 * canceller.h: what the program holds as PGcancel * or PGcancelConn *.
 *
 * It names a handle, not a server connection, and is aimed when it is fired: at the connection that the
 * handle holds at that moment, or at nothing. So a cancel never reaches a neighbour's query, and
 * PQgetCancel costs no connection. While a cancel is under way the connection does not change hands, and
 * afterwards not before the server has answered something.
 */
#ifndef PQONE_CANCELLER_H
#define PQONE_CANCELLER_H

#include "handle.h"

struct canceller;

/* NULL for a pointer that we did not mint. Async-signal-safe. */
struct canceller *canceller_of(const void *pointer);

/* Of a handle without an open connection, canceller_if_open() gives NULL, as PQgetCancel does, and
 * canceller_new() one that is CONNECTION_BAD, as PQcancelCreate does. */
struct canceller *canceller_new(struct handle *handle);
struct canceller *canceller_if_open(struct handle *handle);
void canceller_free(struct canceller *canceller);

/* PQcancel: async-signal-safe. 1 also when there was nothing to cancel, as with libpq on an idle session. */
int canceller_fire(struct canceller *canceller, char *error, int size);

/* The 17 family, on the same object. */
int canceller_blocking(struct canceller *canceller);
int canceller_start(struct canceller *canceller);
PostgresPollingStatusType canceller_poll(struct canceller *canceller);
ConnStatusType canceller_status(const struct canceller *canceller);
int canceller_socket(struct canceller *canceller);
char *canceller_error(const struct canceller *canceller);
void canceller_reset(struct canceller *canceller);

void cancellers_fork(enum fork_side side);

#endif
