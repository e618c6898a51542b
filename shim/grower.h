/*
 * grower.h: the thread that connects for handles that wait without a thread of their own.
 *
 * One per set at a time, as PgBouncer logs in one at a time per pool: thirty queries in one moment are mostly
 * served by the first connections that come back. It lives while somebody wants more.
 */
#ifndef PQONE_GROWER_H
#define PQONE_GROWER_H

#include "set.h"

/* Starts it if somebody waits unserved, a connection may be made, and none is being made so. No lock may be
 * held. Where no thread can be had the caller connects himself. Keeps errno. */
void grower_start(struct set *set);

/* At the process's end, before the destructors of what libpq uses: no thread of ours is inside libpq's
 * connect when this returns, unless one hangs there for a second, in a name server's silence. Who waits later
 * than this connects himself. */
void growers_end(void);
void growers_fork(enum fork_side side);

/* Under the set lock: is there somebody to grow for, within the cap or stuck below it? */
bool grower_is_wanted(struct set *set);

#endif
