/* housekeeping.c: closes server connections whose time has come, and reads the answers of those being
 * cleaned. */
#define _GNU_SOURCE
#include "housekeeping.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "delivery.h"
#include "growth.h"
#include "lease.h"
#include "set.h"
#include "settings.h"
#include "starting.h"
#include "thread.h"
#include "unused.h"

static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* guards what follows; never together with another */
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool running, working, stopping;
static int64_t wakes_at; /* while it sleeps; 0 while it works: it looks at `asked` before it sleeps */
static int64_t asked;    /* the earliest time that somebody named meanwhile */

enum { CLEANING_POLL = 1000000 };   /* nanoseconds between two looks at a connection that is being cleaned */
enum { OVER_CAP_POLL = 250000000 }; /* the least between two at a set that is over its cap */

/* With nothing left to do the thread stays for a while: making one costs more than a query. */
#define LEAVES_AFTER INT64_C(10000000000)

struct round {
    int64_t now, next; /* next: when something is due, INT64_MAX if nothing is */
    bool lone_too;     /* sets of one connection with handles count as well */
};

static void due_at(struct round *round, int64_t when) {
    if (when < round->next)
        round->next = when;
}

static bool is_over_cap(const struct set *set) {
    return settings()->max_connections != SETTING_NO_LIMIT && set->open > settings()->max_connections;
}

/* Whoever needed it would have been served by another one that is free. While that is not so, because the
 * others are pinned or in long transactions, the next who comes would have to go over the cap again. */
static bool is_surplus(const struct server *server) {
    const struct set *set = server->set;
    for (unsigned i = 0; is_over_cap(set) && i < set->open; i++)
        if (set->servers[i] != server && set->servers[i]->identity == server->identity &&
            !(atomic_load(&set->servers[i]->lease) & 1))
            return true;
    return false;
}

/* Is it time to close this idle connection? Notes when it will be, if not yet. */
static bool is_due(const struct server *server, void *context) {
    struct round *round = context;
    const struct settings *wish = settings();
    const struct set *set = server->set;
    int64_t when = INT64_MAX;
    if (set->handle_count == 0)
        when = set->idle_since + wish->linger;
    if (is_surplus(server) && server_last_used(server) + wish->linger < when)
        when = server_last_used(server) + wish->linger;
    if (wish->idle_timeout != SETTING_NEVER && server_last_used(server) + wish->idle_timeout < when)
        when = server_last_used(server) + wish->idle_timeout;
    if (wish->max_lifetime != SETTING_NEVER && server->opened + wish->max_lifetime < when)
        when = server->opened + wish->max_lifetime;
    if (when <= round->now)
        return true;
    if (set->handle_count == 0 || set->open > 1 || round->lone_too)
        due_at(round, when);
    return false;
}

/* Nobody tells the housekeeper of a lease that ends: it comes back when such a connection can be due. */
static void look_again_at_the_leased(const struct set *set, struct round *round) {
    if (is_over_cap(set))
        due_at(round, round->now + (settings()->linger > OVER_CAP_POLL ? settings()->linger : OVER_CAP_POLL));
    if (settings()->idle_timeout == SETTING_NEVER || (set->open == 1 && !round->lone_too))
        return;
    for (unsigned i = 0; i < set->open; i++)
        if (atomic_load(&set->servers[i]->lease) & 1)
            due_at(round, round->now + settings()->idle_timeout);
}

static struct server *cleaning_one(const struct set *set) {
    for (unsigned i = 0; i < set->open; i++)
        if (set->servers[i]->state == SERVER_CLEANING)
            return set->servers[i];
    return NULL;
}

static void keep_house(struct set *set, void *context) {
    struct round *round = context;
    struct server *server = NULL;
    for (;;) { /* Only the first that is not ready ends this: the others are looked at next time. */
        pthread_mutex_lock(&set->lock);
        server = cleaning_one(set);
        if (server)
            server->state = SERVER_OPEN; /* ours alone: its lease is LEASE_ENGINE */
        pthread_mutex_unlock(&set->lock);
        if (!server)
            break;
        enum settle settled = server_settle(server, 0);
        lease_settled(server, settled);
        if (settled == SETTLE_LATER) {
            due_at(round, round->now + CLEANING_POLL);
            break;
        }
    }
    for (;;) {
        pthread_mutex_lock(&set->lock);
        server = set_take_idle(set, is_due, round);
        if (!server)
            look_again_at_the_leased(set, round);
        pthread_mutex_unlock(&set->lock);
        if (!server)
            return;
        server_close(server);
    }
}

static void look_at_who_waits(struct set *set, void *context) {
    struct round *round = context;
    delivery_look(set, round->now, &round->next);
    starting_look(set, round->now, &round->next);
}

static void look_for_unused(struct set *set, void *context) {
    struct round *round = context;
    unused_look(set, round->now, &round->next);
}

static void sleep_until(int64_t when) {
    int64_t pause = when - recorder_now();
    if (pause < CLEANING_POLL)
        pause = CLEANING_POLL;
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += (pause + until.tv_nsec) / 1000000000;
    until.tv_nsec = (pause + until.tv_nsec) % 1000000000;
    wakes_at = when;
    pthread_cond_timedwait(&changed, &lock, &until);
    wakes_at = 0;
}

static void *housekeeper(void *argument) {
    (void)argument;
    pthread_setname_np(pthread_self(), "pqone");
    growth_is_ours = true;
    int64_t idle_since = INT64_MAX;
    pthread_mutex_lock(&lock);
    while (!stopping) {
        asked = INT64_MAX;
        working = true;
        pthread_mutex_unlock(&lock);
        struct round round = {recorder_now(), INT64_MAX, !settings()->idle_timeout_is_default};
        sets_visit(keep_house, &round);
        sets_visit(look_at_who_waits, &round);
        if (settings()->leak_threshold != SETTING_NEVER)
            sets_visit(look_for_unused, &round);
        pthread_mutex_lock(&lock);
        working = false;
        pthread_cond_broadcast(&changed);
        due_at(&round, asked);
        if (round.next != INT64_MAX)
            idle_since = INT64_MAX;
        else if (idle_since == INT64_MAX)
            idle_since = round.now;
        else if (round.now - idle_since >= LEAVES_AFTER)
            break;
        if (!stopping)
            sleep_until(round.next != INT64_MAX ? round.next : idle_since + LEAVES_AFTER);
    }
    running = false;
    pthread_mutex_unlock(&lock);
    return NULL;
}

void housekeeping_start(int64_t due) {
    int saved_errno = errno;
    pthread_mutex_lock(&lock);
    if (due < asked)
        asked = due;
    if (running && due < wakes_at)
        pthread_cond_broadcast(&changed);
    else if (!running && !stopping)
        running = thread_start(housekeeper, NULL);
    pthread_mutex_unlock(&lock);
    errno = saved_errno;
}

void housekeeping_stop(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1; /* a server that hangs must not hang the program's exit */
    pthread_mutex_lock(&lock);
    stopping = true;
    pthread_cond_broadcast(&changed);
    while (working && pthread_cond_timedwait(&changed, &lock, &until) == 0)
        ;
    pthread_mutex_unlock(&lock);
}

void housekeeping_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
    if (side == FORK_CHILD || side == FORK_UNPREPARED) {
        pthread_cond_init(&changed, NULL);
        running = working = false;
    }
}
