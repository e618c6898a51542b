/*
 * pace.h: would another connection serve a posted waiter earlier, or is its own thread what it waits for?
 *
 * A program whose one thread is busy elsewhere (it compiles, it renders) leaves answers unread and goes on
 * posting queries when it comes back. A connection for each of them would be answered at once, and read no
 * earlier: after the first unread answer has been fetched there is a free one.
 */
#ifndef PQONE_PACE_H
#define PQONE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct set;
struct waiter;

/* What is known of a thread: when it was last seen to run, and its clock then. Zero at first. */
struct pace {
    int thread;
    int64_t ran, clock;
};

/* Has the thread run since the last look, or a twentieth of a second ago? Also where others have the
 * processors: a thread that is ready to run gets its turn within that time. */
bool pace_runs(struct pace *pace, int thread, int64_t now);

/* Is there an answer that the waiter's own thread, which is busy, has not come for? For one that sleeps (its
 * loop waits for something else) this is false after a twentieth of a second of looks, and for an answer that
 * is left unread after half a second. Under the set lock. */
bool pace_is_behind(struct pace *pace, const struct set *set, const struct waiter *waiter);

#endif
