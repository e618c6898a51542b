/* wait.c: the queue of a set, and the question whether waiting in it can ever end. */
#define _GNU_SOURCE
#include "wait.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lease.h"
#include "watch/call_site.h"
#include "watch/log.h"

enum { MOMENT = 50000000, GONE = 300000000, PATIENCE = 500000000 };
#define BUSY_PATIENCE INT64_C(3000000000) /* nanoseconds */

/* All that wait in any set: a thread that waits for one set may hold what another thread waits for. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* after a set's; a leaf */
static struct waiter *waiting;

/* How often this thread is in a queue: more than once if it left a wait by longjmp. */
static _Thread_local unsigned own_waits __attribute__((tls_model("initial-exec")));

bool wait_is_asleep(int thread) {
    pthread_mutex_lock(&lock);
    struct waiter *waiter = waiting;
    while (waiter && waiter->thread != thread)
        waiter = waiter->next_of_all;
    pthread_mutex_unlock(&lock);
    return waiter != NULL;
}

/* An answer that came to a connection with no relay to tell of it. Listed, so that nobody closes it
 * meanwhile. */
static void look_for_answer(struct server *server) {
    struct pollfd look = {.fd = server->libpq->PQsocket(server->conn), .events = POLLIN};
    if (atomic_load(&server->resting) == SERVER_MOVES && poll(&look, 1, 0) > 0)
        server_answered(server);
}

/* Who asks what may come free. */
struct asker {
    const struct handle *handle;
    int thread;       /* that waits, or whose loop does */
    bool asleep;      /* so it can do nothing for that meanwhile */
    int64_t patience; /* for a program that has the next move */
};

/* The program has had the next move for a while, in a thread that is not seen to make it: the asker's own,
 * one that is no more, or anyone who leaves an answer unread. */
static bool rests(struct server *server, int holder, const struct asker *asker) {
    look_for_answer(server);
    int64_t resting = atomic_load(&server->resting);
    return resting > 0 && recorder_now() - resting >= asker->patience &&
           (atomic_load(&server->unread) || holder == asker->thread || !process_thread_lives(holder));
}

/* Will it come free, and serve the handle? */
static bool may_come(struct server *server, const struct asker *asker) {
    uint64_t lease = atomic_load(&server->lease);
    int holder = atomic_load(&server->holder);
    if (asker->handle->identity && asker->handle->identity != server->identity)
        return false;
    if (lease == LEASE_ENGINE || !(lease & 1)) /* being made new, or free by the time we look */
        return true;
    if (atomic_load(&server->pinned))
        return false;
    if (holder == 0)
        return true;
    if (wait_is_asleep(holder) || rests(server, holder, asker))
        return false;
    return !asker->asleep || (holder != asker->thread && process_thread_lives(holder));
}

static bool anything_may_come(const struct set *set, const struct asker *asker) {
    for (unsigned i = 0; i < set->open; i++)
        if (may_come(set->servers[i], asker))
            return true;
    return false;
}

bool wait_can_help(const struct set *set, const struct handle *handle) {
    const struct asker asker = {handle, process_thread(), true, PATIENCE};
    return set->connecting > 0 || anything_may_come(set, &asker);
}

/* A loop that is busy elsewhere comes back to its answers, if later. */
bool wait_posted_can_end(const struct set *set, struct waiter *waiter, int64_t now) {
    bool busy = pace_runs(&waiter->pace, waiter->thread, now);
    const struct asker asker = {waiter->handle, waiter->thread, false, busy ? BUSY_PATIENCE : PATIENCE};
    return set->connecting > 0 || set->growing || anything_may_come(set, &asker);
}

static void is_waiting_now(struct waiter *waiter) {
    pthread_mutex_lock(&lock);
    waiter->next_of_all = waiting;
    waiting = waiter;
    pthread_mutex_unlock(&lock);
}

struct waiter *wait_new(struct handle *handle, bool posted) {
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return NULL;
    waiter->handle = handle;
    waiter->thread = process_thread();
    waiter->seen = recorder_now();
    waiter->posted = posted;
    sem_init(&waiter->woken, 0, 0);
    return waiter;
}

void wait_free(struct waiter *waiter) {
    wait_no_more(waiter);
    outbox_clear(&waiter->outbox);
    free(waiter->problem);
    sem_destroy(&waiter->woken);
    free(waiter);
}

void wait_add(struct set *set, struct waiter *waiter) {
    waiter->next = NULL;
    if (set->last_waiter)
        set->last_waiter->next = waiter;
    else
        set->waiters = waiter;
    set->last_waiter = waiter;
    atomic_fetch_add(&set->waiting, 1);
    if (waiter->posted)
        atomic_fetch_add(&set->posted, 1);
}

struct waiter *wait_join(struct set *set, struct handle *handle) {
    struct waiter *waiter = wait_new(handle, false);
    if (!waiter)
        return NULL;
    wait_add(set, waiter);
    is_waiting_now(waiter);
    own_waits++;
    return waiter;
}

static void sleep_unlocked(struct set *set, struct waiter *waiter, struct quiet *quiet) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += MOMENT;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    /* A signal handler may leave from here by longjmp, a cancellation end the thread: no lock goes with it.
     */
    pthread_mutex_unlock(&set->lock);
    quiet_end(quiet);
    sem_timedwait(&waiter->woken, &until);
    quiet_begin(quiet);
    pthread_mutex_lock(&set->lock);
}

struct server *wait_a_moment(struct set *set, struct waiter *waiter, struct quiet *quiet) {
    waiter->seen = recorder_now();
    /* Who released just before we joined saw nobody waiting. */
    wait_hand_over(set);
    if (!waiter->granted)
        sleep_unlocked(set, waiter, quiet);
    return waiter->granted;
}

void wait_no_more(struct waiter *waiter) {
    pthread_mutex_lock(&lock);
    struct waiter **link = &waiting;
    while (*link && *link != waiter)
        link = &(*link)->next_of_all;
    if (*link)
        *link = waiter->next_of_all;
    pthread_mutex_unlock(&lock);
}

void wait_remove(struct set *set, struct waiter *waiter) {
    struct waiter **link = &set->waiters, *before = NULL;
    while (*link && *link != waiter) {
        before = *link;
        link = &(*link)->next;
    }
    if (!*link)
        return;
    *link = waiter->next;
    if (set->last_waiter == waiter)
        set->last_waiter = before;
    atomic_fetch_sub(&set->waiting, 1);
    if (waiter->posted)
        atomic_fetch_sub(&set->posted, 1);
}

void wait_sleep(struct set *set, struct waiter *waiter, struct quiet *quiet) {
    waiter->thread = process_thread();
    is_waiting_now(waiter);
    sleep_unlocked(set, waiter, quiet);
    wait_no_more(waiter);
}

struct server *wait_leave(struct set *set, struct waiter *waiter) {
    wait_remove(set, waiter);
    if (waiter->thread == process_thread() && own_waits > 0)
        own_waits--;
    struct server *granted = waiter->granted;
    wait_free(waiter);
    return granted;
}

/* A wait may be left by longjmp or end with its thread. Who was only slow finds that out, and waits on. */
static bool is_gone(const struct waiter *waiter) {
    return !waiter->posted && recorder_now() - waiter->seen > GONE;
}

bool wait_is_first(const struct set *set, const struct waiter *waiter) {
    const struct waiter *first = set->waiters;
    while (first && first != waiter && (first->granted || is_gone(first)))
        first = first->next;
    return first == waiter;
}

static void take_back_from_the_gone(struct set *set) {
    for (struct waiter *waiter = set->waiters; waiter; waiter = waiter->next)
        if (waiter->granted && is_gone(waiter)) { /* never a posted one */
            atomic_store(&waiter->granted->holder, 0);
            atomic_store(&waiter->granted->lease, LEASE_FREE(0));
            waiter->granted = NULL;
            is_waiting_now(waiter);
        }
}

void wait_was_left(struct set *set) {
    if (!own_waits)
        return;
    for (struct waiter *waiter = set->waiters; waiter; waiter = waiter->next)
        if (waiter->thread == process_thread() && !waiter->posted)
            waiter->seen = 0;
    take_back_from_the_gone(set);
}

static struct server *take_for(struct set *set, struct handle *handle) {
    uint64_t number = atomic_load(&handle->number);
    for (unsigned i = 0; i < set->open; i++) {
        struct server *server = set->servers[i];
        uint64_t lease = atomic_load(&server->lease);
        if (!(lease & 1) && (!handle->identity || handle->identity == server->identity) &&
            atomic_compare_exchange_strong(&server->lease, &lease, LEASE_TAKEN(number)))
            return server;
    }
    return NULL;
}

static bool has_free(const struct set *set) {
    for (unsigned i = 0; i < set->open; i++)
        if (!(atomic_load(&set->servers[i]->lease) & 1))
            return true;
    return false;
}

static void grant(struct waiter *waiter, struct server *server) {
    atomic_store(&server->holder, waiter->thread);
    atomic_store(&server->resting, SERVER_MOVES);
    waiter->granted = server;
    wait_no_more(waiter); /* although its thread sleeps for a moment more: it holds what another waits for */
    if (waiter->posted)
        waiter->turn = TURN_GRANTED; /* for deliver(), when the lock is free */
    else
        sem_post(&waiter->woken);
}

void wait_hand_over(struct set *set) {
    take_back_from_the_gone(set);
    for (struct waiter *waiter = set->waiters; waiter && has_free(set); waiter = waiter->next) {
        if (waiter->granted || is_gone(waiter) || (!waiter->posted && !process_thread_lives(waiter->thread)))
            continue;
        struct server *server = take_for(set, waiter->handle);
        if (!server)
            continue; /* another may be served by what does not suit this one */
        grant(waiter, server);
    }
}

void wait_hand_to_first(struct set *set, struct server *server) {
    struct waiter *waiter = set->waiters;
    uint64_t lease = LEASE_FREE(0);
    while (waiter && (waiter->granted || !waiter->posted || waiter->turn != TURN_WAITING))
        waiter = waiter->next;
    if (waiter && atomic_compare_exchange_strong(&server->lease, &lease,
                                                 LEASE_TAKEN(atomic_load(&waiter->handle->number))))
        grant(waiter, server);
}

void wait_look_again(struct set *set) {
    for (struct waiter *waiter = set->waiters; waiter; waiter = waiter->next)
        if (!waiter->posted) {
            sem_post(&waiter->woken);
            return;
        }
}

void wait_note_holders(const struct set *set, struct holders *holders) {
    holders->named = holders->others = 0;
    for (const struct handle *handle = set->handles; handle; handle = handle->next) {
        if (!lease_held(handle) && !atomic_load(&handle->sent_on))
            continue;
        if (holders->named == HOLDERS_NAMED) {
            holders->others++;
            continue;
        }
        holders->sites[holders->named] = handle->site;
        holders->pinned[holders->named++] = atomic_load(&handle->pin) != PIN_NONE;
    }
}

void wait_name_holders(const struct holders *holders, enum holders_in where, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < holders->named && used + 40 < size; i++) {
        char known[200];
        const char *name = known;
        if (where == HOLDERS_IN_LOG)
            name = log_site(holders->sites[i], known);
        else
            call_site_name(holders->sites[i], known, sizeof known);
        int length = snprintf(text + used, size - used, "%s%s%s", i ? ", " : "", name,
                              holders->pinned[i] ? " (pinned)" : "");
        used += (size_t)length < size - used ? (size_t)length : size - used - 1;
    }
    if (holders->others)
        snprintf(text + used, size - used, " and %u more", holders->others);
}

void waits_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
    if (side == FORK_CHILD || side == FORK_UNPREPARED)
        waiting = NULL; /* the threads that waited are not here */
}
