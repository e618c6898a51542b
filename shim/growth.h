/*
 * growth.h: one server connection more for a set that has handles already.
 */
#ifndef PQONE_GROWTH_H
#define PQONE_GROWTH_H

#include <stdatomic.h>

#include "quiet.h"
#include "set.h"

enum growth { GROWTH_DONE, GROWTH_REFUSED, GROWTH_FAILED };

/* Nanoseconds for which a server that said no is not asked again. */
enum { GROWTH_PAUSE = 500000000 };

/* At the process's end connects that no thread of the program waits for are given up: what libpq is built on
 * (TLS, Kerberos) cleans up after itself, and a thread inside it would crash. `growth_is_ours`: this thread
 * is the shim's own. */
extern _Atomic bool growth_ends;
extern _Thread_local bool growth_is_ours __attribute__((tls_model("initial-exec")));
static inline bool growth_is_given_up(void) {
    return growth_is_ours && atomic_load(&growth_ends);
}

/* May the set have another connection: by PQONE_MAX_CONNECTIONS, and by what the server said last? Under the
 * set lock. */
bool growth_is_allowed(struct set *set);

/* Connects to the set's target: to the very server that `home` (NULL: any) describes, if that one still
 * answers. If the server refuses for want of room, what this process has idle there is closed and the connect
 * tried again. Under the set lock and in quiet, which are given up for the connect. On success the connection
 * is listed in the set, its lease LEASE_ENGINE; else NULL, and `*problem` is libpq's message, for the caller
 * to free (NULL: no memory). Blocks as PQconnectdb does. */
struct server *growth_add(struct set *set, const struct identity *home, struct quiet *quiet,
                          enum growth *outcome, char **problem);

/* Is this libpq's message of a refusal for want of room, as far as one can tell without the SQLSTATE? */
bool growth_message_is_refusal(const char *message);

/* After connections were closed to make room: the server counts them until their backends have left. Gives
 * them a moment, a longer one each time; false when that was long enough. */
bool growth_wait_for_room(int tries);

#endif
