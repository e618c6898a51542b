/*
 * offline.h: the class OFFLINE of the table: libpq's own code that wants a PGconn but no server (escaping,
 * empty results).
 *
 * A handle that holds a lease uses its connection. Any other uses a stand-in: a PGconn of the same client
 * encoding, standard_conforming_strings and server version, that once shook hands with this very process
 * and is connected to nobody. There is one for each such combination, for the life of the process.
 */
#ifndef PQONE_OFFLINE_H
#define PQONE_OFFLINE_H

#include "call.h"

struct stand_in;

struct offline {
    struct call call;
    struct handle *handle;
    struct stand_in *stand_in; /* NULL: a lease it is */
};

/* The PGconn to use until offline_end(), or NULL with the handle's error message set. */
PGconn *offline_begin(struct offline *offline, struct handle *handle);
void offline_end(struct offline *offline);

/* A result as libpq would have made it of a server's ErrorResponse, for a query that no server ever saw; the
 * handle's error message says the same. NULL: no memory. */
PGresult *offline_error(struct handle *handle, const char *sqlstate, const char *message);

void offline_fork(enum fork_side side);

#endif
