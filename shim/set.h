/*
 * set.h: a connection set, the per-process singleton of one target: its server connections, its handles,
 * the handles that wait, and the lock that guards them.
 */
#ifndef PQONE_SET_H
#define PQONE_SET_H

#include <pthread.h>

#include "server.h"
#include "target.h"

struct waiter;

enum { SET_CONNECTORS = 64 };

struct set {
    pthread_mutex_t lock;  /* guards what follows, and server->state of its connections */
    struct target *target; /* NULL: libpq refuses the conninfo, every handle is alone */
    struct libpq *libpq;
    struct set *next;    /* under the registry lock, as is: */
    unsigned references; /* handles, and whoever works on it right now */

    struct handle *handles, *last_handle; /* in the order they were opened */
    unsigned handle_count;
    struct server **servers; /* the open ones, leased or not */
    unsigned open, room;
    unsigned connecting;            /* threads that are in libpq's connect right now, to grow */
    int connectors[SET_CONNECTORS]; /* which: one may have left it by longjmp, or be gone */
    unsigned starting;              /* PQconnectStarts that are not at their end (starting.h) */
    unsigned joined;                /* handles that wait for one of those */
    int first_connecting;           /* the thread that makes the first connection; others wait for it */
    pthread_cond_t first_changed;
    struct waiter *waiters, *last_waiter; /* first come, first served */
    _Atomic unsigned waiting, posted;     /* all of them; those without a thread (delivery.h) */
    bool growing;                         /* the grower connects for the latter */
    struct identity *identities;
    int64_t refused_until; /* the server said 53300: no use asking again before this */
    int64_t idle_since;    /* the last handle was finished; 0 while there are handles */
    uint32_t ledger_target;
    struct ledger_target *row; /* that one; NULL if the ledger's table is full */
};

/* The set of a target, made if there is none; the target reference goes over to it. A NULL target gives a
 * set of its own each time. NULL when memory is short. Give back with set_put(). */
struct set *set_get(struct libpq *libpq, struct target *target);
void set_put(struct set *set);

/* One reference more, for whoever has one already. No set's lock may be held. */
void set_hold(struct set *set);

/* Finds the set's row in the ledger: at first, and again in a forked child. */
void set_enter_in_ledger(struct set *set);

/* user@host:port/dbname */
const char *set_name(const struct set *set);
static inline uint32_t set_ledger_target(const struct set *set) {
    return set->ledger_target;
}

/* One of the set's identities equal to `fresh`, which is taken over (or freed). */
struct identity *set_identity(struct set *set, struct identity *fresh);

/* Counts a handle in and out. Out: returns with the last handle's set lingering. */
void set_add_handle(struct set *set, struct handle *handle);
void set_remove_handle(struct set *set, struct handle *handle);

/* Lists a connection as open; its lease decides who may have it. Under the set lock. False: no memory. */
bool set_add_server(struct set *set, struct server *server);
void set_remove_server(struct set *set, struct server *server);

/* Takes a connection that nobody holds out of the set, as LEASE_ENGINE, or NULL. Under the set lock. */
struct server *set_take_idle(struct set *set, bool (*wanted)(const struct server *, void *), void *context);

/* Closes what nobody holds: in all sets, or in those of the same server (host and port) as `like`.
 * Returns how many. No lock may be held. */
unsigned sets_close_idle(const struct set *like);

/* Calls `visit` for every set, which is referenced meanwhile, without the registry lock. */
void sets_visit(void (*visit)(struct set *, void *), void *context);

/* The registry as it is: for a fork, whose handler has its lock; and for exit, where a thread that goes on
 * may have it, and then nothing is visited. */
void sets_walk(void (*visit)(struct set *, void *), void *context);
void sets_try_walk(void (*visit)(struct set *, void *), void *context);

void sets_fork(enum fork_side side);

#endif
