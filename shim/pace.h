/*
 * pace.h: would another connection serve a posted waiter earlier, or is its own thread what it waits for?
 *
 * A program whose one thread is busy elsewhere (it compiles, it renders) leaves answers unread and goes on
 * posting queries when it comes back. A connection for each of them would be answered at once, and read no
 * earlier: after the first unread answer has been fetched there is a free one.
 */
#ifndef PQONE_PACE_H
#define PQONE_PACE_H

#include "set.h"
#include "wait.h"

/* What is known of a thread: when it was last seen to run, and its clock then. Zero at first. */
struct pace {
    int thread;
    int64_t ran, clock;
};

/* Is there an answer that the waiter's own thread, which is busy, has not come for? For one that sleeps (its
 * loop waits for something else) this is false after a twentieth of a second of looks, and for an answer that
 * is left unread after half a second. Under the set lock. */
bool pace_is_behind(struct pace *pace, const struct set *set, const struct waiter *waiter);

#endif
