/*
 * opening.h: from PQconnect* to a handle that answers, and again after PQreset.
 */
#ifndef PQONE_OPENING_H
#define PQONE_OPENING_H

#include "handle.h"
#include "target.h"

/* What PQconnectdb and its sisters return for this request: a handle; libpq's own PGconn where the shim
 * is off, libpq calls itself, or its copy is too new; NULL as libpq returns NULL. `caller` is the address
 * that the exported function returns to. `start`: as PQconnectStart, without blocking for the network. */
PGconn *open_handle(const struct request *request, void *caller, bool start);

/* PQping* for a request: PQONE_VIA applies, nothing is shared. */
PGPing ping(const struct request *request, void *caller);

/* PQconnectPoll and PQresetPoll. */
PostgresPollingStatusType open_poll(struct handle *handle, bool reset);

/* PQreset and PQresetStart: this handle gets a fresh session, and no other is touched. */
void open_again(struct handle *handle);
int open_again_start(struct handle *handle);

/* Starts a connection of its own for a handle that holds none; state SERVER_OPENING, or SERVER_OWN if that
 * failed at once. NULL when memory is short. */
struct server *open_own_start(struct handle *handle);

/* A connection that PQconnectPoll or PQreset brought up: listed in its set, its handle introduced, and the
 * pin of the connect lifted. */
void open_completed(struct handle *handle, struct server *server);

#endif
