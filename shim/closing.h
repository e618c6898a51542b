/*
 * closing.h: from PQfinish to what becomes of the handle's server connection.
 */
#ifndef PQONE_CLOSING_H
#define PQONE_CLOSING_H

#include "handle.h"

/* PQfinish: the handle is stale from here on. Its connection, if it holds one, is freed as it is when
 * nothing of the session was touched, made new when a rollback or DISCARD ALL does that, closed otherwise.
 * `caller`: where the program called it. */
void close_handle(struct handle *handle, const PGconn *conn, void *caller);

/* The end of the call inside which the handle was finished. */
void close_at_last(struct handle *handle);

/* Gives up the connection that a handle holds, by the same rules; the handle stays. */
void close_lease(struct handle *handle, struct server *server);

#endif
