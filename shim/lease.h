/*
 * lease.h: a handle's exclusive right to a server connection, from the first call of an exchange to the
 * end of the transaction, or, pinned, until PQfinish.
 *
 * One atomic word in the connection says who has it. The last holder keeps it as a bias: while nobody else
 * wants it, its next call costs one compare and no lock.
 */
#ifndef PQONE_LEASE_H
#define PQONE_LEASE_H

#include "server.h"
#include "set.h"

/* A connection unused for this long (nanoseconds) is looked at before it is used: it may have died. */
#define LEASE_FRESH INT64_C(10000000)

/* The connection that the handle holds right now, or NULL. */
static inline struct server *lease_held(const struct handle *handle) {
    struct server *server = atomic_load_explicit(&handle->server, memory_order_relaxed);
    if (!server)
        return NULL;
    uint64_t number = atomic_load_explicit(&handle->number, memory_order_relaxed);
    return atomic_load_explicit(&server->lease, memory_order_acquire) == LEASE_TAKEN(number) ? server : NULL;
}

/* Gets the handle a connection: the one it holds, its bias, a free one, a new one, or after a wait the next
 * one that comes free. NULL: none to be had; the handle's error message says why. Blocks. */
struct server *lease_take(struct handle *handle);

/* As lease_take(), without waiting for anybody, growing or an error message. lease_try() does not block;
 * lease_try_cleaned() gives a connection that is just being made new the moment that takes. */
struct server *lease_try(struct handle *handle);
struct server *lease_try_cleaned(struct handle *handle);

/* Gives up the place in the queue of a wait that was left by longjmp. */
void lease_stop_waiting(struct handle *handle);

/* Gives a clean, idle connection back, with the bias to the handle. */
void lease_release(struct handle *handle, struct server *server);

/* Makes a connection that the handle took usable for it: alive, past any cancel, dressed. False: it was
 * dead and is gone. */
bool lease_prepare(struct handle *handle, struct server *server);

/* The half of it that does not touch the handle: false, and the connection is gone or being made sure of, if
 * it cannot be used as it is. Blocks for nobody. */
bool lease_is_usable(const struct handle *handle, struct server *server);

/* The other half: a connection that was taken for the handle, by whomever, is its lease from here on. */
void lease_collect(struct handle *handle, struct server *server);

/* Under the set lock: one that is being cleaned, the caller's to settle; or NULL. It is waited for this long
 * (nanoseconds) before another is made in its stead: cleaning takes a round trip, a connect several. */
#define LEASE_SETTLES INT64_C(200000000)
struct server *lease_take_cleaning(struct set *set);

/* After server_settle(): free again, still being cleaned, or gone. The caller had it to itself. */
void lease_settled(struct server *server, enum settle settled);

/* Makes a connection nobody's, with no bias, for whoever waits. */
void lease_set_free(struct server *server);

/* Takes a connection out of its set and closes it; its waiters look again. The caller holds the lease. */
void lease_drop(struct server *server);

/* Keeps the connection for this handle until it is finished, and says why. `what`: words of the statement
 * or NULL. */
void lease_pin(struct handle *handle, struct server *server, enum pin_reason reason, const char *what);

/* One log line if the set has more connections than PQONE_MAX_CONNECTIONS, for a handle opened at `site`. No
 * lock may be held. */
void lease_say_over_cap(struct set *set, uint32_t site, const char *why);

/* Takes reasons back, a bit for each; what is left goes on pinning, and says what the session carries. */
void lease_unpin(struct handle *handle, struct server *server, uint32_t lifted);

#endif
