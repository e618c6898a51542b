/*
 * wait.h: handles that wait for a server connection, first come, first served.
 *
 * Who gives a connection back hands it to the first waiter directly and wakes only that one. A waiter is a
 * thread that sleeps here, or a posted query that no thread sleeps for (delivery.h).
 */
#ifndef PQONE_WAIT_H
#define PQONE_WAIT_H

#include <semaphore.h>

#include "outbox.h"
#include "pace.h"
#include "quiet.h"
#include "set.h"

/* The call sites of those who hold the set's connections: noted under the set lock, put into words ("SITE,
 * SITE and 3 more") without it, because the loader is asked for names. In a message for the program sites
 * have the names that this process knows, in a log line they are log_site()'s: the launcher knows more. */
enum { HOLDERS_NAMED = 3 };
enum holders_in { HOLDERS_IN_MESSAGE, HOLDERS_IN_LOG };
struct holders {
    uint32_t sites[HOLDERS_NAMED];
    bool pinned[HOLDERS_NAMED];
    unsigned named, others;
};
void wait_note_holders(const struct set *set, struct holders *holders);
void wait_name_holders(const struct holders *holders, enum holders_in where, char *text, size_t size);

/* A posted waiter's way through the queue; it is in it until SENT or FAILED. */
enum turn { TURN_WAITING, TURN_GRANTED, TURN_SENDING, TURN_SENT, TURN_FAILED };
enum failure { FAILURE_NONE, FAILURE_TIME, FAILURE_CANCELLED, FAILURE_LIBPQ };

struct waiter {
    struct waiter *next;        /* in the set's queue; under the set lock, as is all that follows */
    struct waiter *next_of_all; /* in the list of sleeping threads, under wait.c's lock */
    struct handle *handle;
    int thread; /* that asked */
    sem_t woken;
    struct server *granted; /* not taken up yet */
    int64_t seen;           /* when its thread last was here */

    bool posted; /* what follows is for these alone */
    bool stuck;  /* nobody would ever give it a connection: it may go over the cap */
    enum turn turn;
    enum failure failure;
    int64_t deadline;
    struct outbox outbox;
    struct pace pace;       /* of its thread, for wait_posted_can_end() */
    struct holders holders; /* FAILURE_TIME: for whom it waited */
    unsigned open;          /* and how many connections there were */
    char *problem;          /* FAILURE_LIBPQ: libpq's message, or NULL */
    bool answered, aborted; /* where PQgetResult is in what failed */
};

/* Can waiting help this thread? Only while somebody is connecting, or some other living thread holds an
 * unpinned connection that could serve the handle, does not wait itself, and does not leave an answer unread
 * for long. Under the set lock. */
bool wait_can_help(const struct set *set, const struct handle *handle);

/* The same for a posted waiter, whose thread goes on: it may be the one that frees a connection, unless the
 * next move has been the program's for a while everywhere. */
bool wait_posted_can_end(const struct set *set, struct waiter *waiter, int64_t now);

/* Does the thread sleep in a queue, of whatever set? */
bool wait_is_asleep(int thread);

/* Memory for a waiter; at the end of the queue; out of it. Adding and removing: under the set lock. */
struct waiter *wait_new(struct handle *handle, bool posted);
void wait_add(struct set *set, struct waiter *waiter);
void wait_remove(struct set *set, struct waiter *waiter);
void wait_free(struct waiter *waiter);

/* No thread sleeps at it, although one that left by longjmp may have said so. */
void wait_no_more(struct waiter *waiter);

/* The calling thread sleeps at the waiter for a twentieth of a second, or until it is woken. Under the set
 * lock, which, as the quiet, is given up meanwhile. */
void wait_sleep(struct set *set, struct waiter *waiter, struct quiet *quiet);

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

/* After that, a free connection that was made for those who wait, and that gives another view of the server
 * than any of them had: to the first posted one, who goes on with the new view. Under the set lock. */
void wait_hand_to_first(struct set *set, struct server *server);

/* Wakes the first waiter to look again: a place has become free to grow into. Under the set lock. */
void wait_look_again(struct set *set);

void waits_fork(enum fork_side side);

#endif
