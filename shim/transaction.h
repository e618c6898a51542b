/*
 * transaction.h: whether a handle's open transaction wrote, as far as it can be told by looking on. Mode
 * observe.
 *
 * Told by the command tags of results that pass, by the first keyword of statements whose results did not
 * come, and by the names of the functions for large objects. A function that a SELECT calls may write and
 * nobody sees it.
 */
#ifndef PQONE_TRANSACTION_H
#define PQONE_TRANSACTION_H

#include "call.h"

/* After a call that leaves the handle in a transaction, or in the middle of an exchange. */
void transaction_goes_on(struct handle *handle, const struct call *call, PGTransactionStatusType status);

/* After one that leaves it idle. */
static inline void transaction_ends(struct handle *handle) {
    atomic_store_explicit(&handle->transaction, 0, memory_order_relaxed);
}

/* Before PQfinish ends the session: in the middle of a transaction that is misuse, or worth a note. */
void transaction_finished(const struct handle *handle, const struct server *server, void *caller);

/* Is a transaction open that wrote, after all of the text was run in one that did (`wrote`) or did not so
 * far? */
bool transaction_after(bool wrote, const char *sql);

#endif
