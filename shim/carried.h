/*
 * carried.h: prepared statements made through the API belong to their handle, and follow it from connection
 * to connection.
 *
 * PQprepare is a real Parse on the leased connection, under a name of ours; text and types are kept with the
 * handle. Where its next lease lacks the statement it is prepared once more, or, where nobody may wait, its
 * text is sent with the parameters. That is the same statement, since the server reads a prepared text anew
 * whenever its search path, its role or a table changes. What it does not read anew are literals. So whatever
 * may change how they are read, or shows the names, pins, and makes the handle *natural*: first all it has is
 * prepared under the program's names, from then on every call goes as it came.
 */
#ifndef PQONE_CARRIED_H
#define PQONE_CARRIED_H

#include "call.h"
#include "prepared.h"
#include "statement.h"

/* What the exported functions of these names do with a handle. */
PGresult *carried_PQprepare(struct call *call, struct handle *handle, const char *name, const char *text,
                            int count, const Oid *types);
PGresult *carried_PQexecPrepared(struct call *call, struct handle *handle, const char *name, int count,
                                 const char *const *values, const int *lengths, const int *formats,
                                 int result_format);
PGresult *carried_PQdescribePrepared(struct call *call, struct handle *handle, const char *name);
PGresult *carried_PQclosePrepared(struct call *call, struct handle *handle, const char *name);
int carried_PQsendPrepare(struct call *call, struct handle *handle, const char *name, const char *text,
                          int count, const Oid *types);
int carried_PQsendQueryPrepared(struct call *call, struct handle *handle, const char *name, int count,
                                const char *const *values, const int *lengths, const int *formats,
                                int result_format);
int carried_PQsendDescribePrepared(struct call *call, struct handle *handle, const char *name);
int carried_PQsendClosePrepared(struct call *call, struct handle *handle, const char *name);

/* Executes on the connection what is prepared there; else sends text and parameters, in the same flight,
 * unless the text would be read in another way by now (settled): then the server says that there is none.
 * Waits for nobody. */
int carried_send(struct server *server, const struct prepared *one, bool settled, int count,
                 const char *const *values, const int *lengths, const int *formats, int result_format);

/* PQsendPrepare with a name that the handle has in use for `old`: it will be refused. */
int carried_send_taken(struct server *server, const struct prepared *old, const char *text, int count,
                       const Oid *types);

/* What is sent between the program's calls says nothing to the program, until server_dress(). */
void carried_be_quiet(struct server *server);

/* Is the text DEALLOCATE of one statement or of all, and nothing else, on a handle whose statements are
 * carried? Then it does not pin, and `call` knows what goes. */
bool carried_drops(struct call *call, struct handle *handle, const char *text);

/* With the lease: it goes, and call->text is what to send. */
void carried_drop(struct call *call, struct handle *handle, struct server *server);

/* Writes what drops a statement there: by our name, or, with none there to drop, all of the none. */
void carried_write_drop(struct server *server, const struct prepared *one, char *text, size_t size);

/* With the lease, before anything is sent: what the query means for all that the handle has prepared. */
void carried_mind(struct call *call, struct handle *handle, struct server *server,
                  const struct verdict *verdict);

static inline bool carried_is_concerned(const struct call *call, const struct handle *handle,
                                        const struct verdict *verdict) {
    return handle->statements || handle->unproven || call->pin != PIN_NONE || verdict->reparses_locally ||
           call->drops != DROPS_NONE || call->discard_all;
}

/* Has the handle prepared anything that would be read in another way after a setting? */
bool carried_holds_literal(const struct handle *handle);

/* The handle becomes natural. In a pipeline or an aborted transaction nothing can be prepared: then what the
 * connection lacks is not to be had any more. */
void carried_surrender(struct handle *handle, struct server *server);

/* The unnamed statement goes with the next text that is parsed. */
void carried_forget_unnamed(struct handle *handle);

/* A result of what was sent, NULL included; before call_end(). */
void carried_answered(struct handle *handle, struct server *server, const PGresult *result);

/* All that was sent in a pipeline is answered. */
void carried_pipeline_over(struct handle *handle, struct server *server);

/* What was sent may have failed unseen. */
void carried_doubt(struct handle *handle, struct server *server);

/* No connection was had for what waited. */
void carried_never_sent(struct handle *handle);

/* The program's DISCARD ALL went well; PQreset. */
void carried_discarded(struct handle *handle, struct server *server);

#endif
