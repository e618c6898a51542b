/*
 * delivery.h: handles that wait for a connection with no thread asleep: their query is posted, and delivered.
 *
 * A posted handle has a place in its set's queue among those whose threads sleep (wait.h), first come, first
 * served. Who releases a connection delivers: he takes it for the first waiter, sends that one's letters and
 * lets its descriptor follow the connection; the owner's next call collects, and the handle holds the lease
 * as if it had sent itself. While a waiter's turn is SENDING its owner stays away from it; in all other
 * states nobody else touches handle or connection, whose fields are the owner's.
 */
#ifndef PQONE_DELIVERY_H
#define PQONE_DELIVERY_H

#include "wait.h"

/* Writes a letter down for a handle that holds no connection, which gets a place in the queue with its first
 * one. `pipeline`: the program is in pipeline mode; if that one's wait failed, the letter is aborted with it.
 * False: it is not waiting any more (collect, and send it), or, with handle->posted still NULL, memory is
 * short. */
bool delivery_post(struct handle *handle, struct letter *letter, bool pipeline);

/* What has become of a posted handle. SENT: the connection is the handle's lease now, handle->posted is NULL,
 * and `sent` (cleared by the caller with outbox_clear()) has the letters. Waits for nobody. */
enum turn delivery_collect(struct handle *handle, struct outbox *sent);

/* The same, but sleeps until it is SENT or FAILED, as PQgetResult does. */
enum turn delivery_wait(struct handle *handle, struct outbox *sent);

/* The next result of a wait that FAILED: the error, or what libpq gives for what was queued behind it in a
 * pipeline. NULL between and at the end. With it, in a pipeline with a last sync, handle->posted becomes
 * NULL. */
PGresult *delivery_failure(struct handle *handle);

/* PQexitPipelineMode of a handle that waits: false, and nothing is done, while there is something to come. */
bool delivery_exit_pipeline(struct handle *handle);

/* PQisBusy of a handle that holds no connection: would PQgetResult wait? */
bool delivery_is_busy(const struct handle *handle);
/* How many results it waits for, and whether in pipeline mode; 0 and false where it does not wait. */
unsigned delivery_queries(const struct handle *handle);
bool delivery_in_pipeline(const struct handle *handle);

/* PQfinish, PQreset: gives up the place, whatever its turn. A connection that was delivered becomes the
 * handle's lease, as it is in the middle of an exchange. */
void delivery_withdraw(struct handle *handle);

/* PQcancel while it waits: the query will fail with 57014, unless it is sent in that very moment: then it has
 * been when this returns. Async-signal-safe. */
void delivery_cancel(struct handle *handle);

/* After wait_hand_over(), without any lock: sends for those whose turn has come, and sees that there will be
 * a connection for the others. One load where nobody waits. */
void deliver(struct set *set);
static inline void deliver_if_due(struct set *set) {
    if (__builtin_expect(atomic_load(&set->posted) != 0, 0))
        deliver(set);
}

/* The housekeeper: fails those whose time is over, and has another connection made for those whom nobody
 * would ever serve. `next` becomes earlier if it must come back. */
void delivery_look(struct set *set, int64_t now, int64_t *next);

/* Under the set lock, for the grower: the first who waits and is not being served, or NULL. */
struct waiter *delivery_first_unserved(const struct set *set);

/* Fails a waiter that waits still, with libpq's message, which is freed in time (NULL: no memory). Under the
 * set lock. */
void delivery_fail(struct set *set, struct waiter *waiter, char *problem);

#endif
