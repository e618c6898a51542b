/*
 * wait.h: handles that wait for a server connection, first come, first served.
 *
 * Who gives a connection back hands it to the first waiter directly and wakes only that one.
 */
#ifndef PQONE_WAIT_H
#define PQONE_WAIT_H

#include "quiet.h"
#include "set.h"

/* Can waiting help this thread? Only while somebody is connecting, or some other living thread that is not
 * waiting itself holds an unpinned connection that could serve the handle. Under the set lock. */
bool wait_can_help(const struct set *set, const struct handle *handle);

struct waiter;

/* Joins the queue, sleeps until a connection is handed over or a twentieth of a second has passed (then
 * the world is looked at again), and keeps its place until wait_leave(). Under the set lock, which, as
 * the quiet, is given up while sleeping. Returns the connection, leased to the handle, or NULL. */
struct waiter *wait_join(struct set *set, struct handle *handle);
struct server *wait_a_moment(struct set *set, struct waiter *waiter, struct quiet *quiet);
/* Leaves the queue. A connection that was handed over in between is returned. Under the set lock. */
struct server *wait_leave(struct set *set, struct waiter *waiter);

/* Is it this waiter's turn to take what is free? NULL asks for somebody who is not in the queue. */
bool wait_is_first(const struct set *set, const struct waiter *waiter);

/* This thread asks anew: if it is in the queue for another handle, it left that wait by longjmp. Under the
 * set lock. */
void wait_was_left(struct set *set);

/* Hands free connections to the first waiters, and takes them back from those who do not come for them. Under
 * the set lock. */
void wait_hand_over(struct set *set);

/* Wakes the first waiter to look again: a place has become free to grow into. Under the set lock. */
void wait_look_again(struct set *set);

/* The call sites of those who hold the set's connections: noted under the set lock, put into words ("SITE,
 * SITE and 3 more") without it, because the loader is asked for names. */
enum { HOLDERS_NAMED = 3 };
struct holders {
    uint32_t sites[HOLDERS_NAMED];
    bool pinned[HOLDERS_NAMED];
    unsigned named, others;
};
void wait_note_holders(const struct set *set, struct holders *holders);
void wait_name_holders(const struct holders *holders, char *text, size_t size);

void waits_fork(enum fork_side side);

#endif
