/* grower.c: one connection after the other, for those who wait without a thread. */
#define _GNU_SOURCE
#include "grower.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "delivery.h"
#include "growth.h"
#include "housekeeping.h"
#include "lease.h"
#include "pace.h"
#include "settings.h"
#include "thread.h"
#include "wait.h"

static _Atomic unsigned growers; /* threads */

bool grower_is_wanted(struct set *set) {
    const struct waiter *waiter = delivery_first_unserved(set);
    return waiter && set->target &&
           (growth_is_allowed(set) || (waiter->stuck && recorder_now() >= set->refused_until));
}

/* Nobody could be connected to. Whom somebody else may still serve waits on; the others are told. */
static void say_no(struct set *set, char *problem) {
    struct waiter *waiter;
    set->growing = false; /* it is not this thread that they could wait for */
    while ((waiter = delivery_first_unserved(set)) && !wait_posted_can_end(set, waiter, recorder_now()))
        delivery_fail(set, waiter, problem ? strdup(problem) : NULL);
    set->growing = true;
    free(problem);
}

/* One that is being cleaned is there sooner than a new one. Under the set lock, given up meanwhile. */
static bool settle_one(struct set *set) {
    struct server *server = lease_take_cleaning(set);
    if (!server)
        return false;
    pthread_mutex_unlock(&set->lock);
    enum settle settled = server_settle(server, LEASE_SETTLES);
    lease_settled(server, settled);
    pthread_mutex_lock(&set->lock);
    return settled != SETTLE_LATER;
}

static void wait_for_the_thread(struct set *set) {
    pthread_mutex_unlock(&set->lock);
    quiet_nap();
    pthread_mutex_lock(&set->lock);
}

static void grow(struct set *set) {
    struct pace pace = {0, 0, 0};
    struct quiet quiet;
    quiet_begin(&quiet);
    pthread_mutex_lock(&set->lock);
    while (!growth_is_given_up() && grower_is_wanted(set)) {
        if (settle_one(set))
            continue;
        enum growth outcome;
        char *problem;
        const struct waiter *waiter = delivery_first_unserved(set);
        if (!waiter) /* served, or gone, while the lock was given up */
            continue;
        if (growth_is_ours && !waiter->stuck && pace_is_behind(&pace, set, waiter)) {
            wait_for_the_thread(set);
            continue;
        }
        const struct handle *handle = waiter->handle;
        uint32_t site = handle->site;
        struct server *server = growth_add(set, handle->identity, &quiet, &outcome, &problem);
        if (!server && growth_is_given_up()) {
            free(problem);
            break;
        }
        if (!server) {
            if (outcome != GROWTH_REFUSED)
                set->refused_until = recorder_now() + GROWTH_PAUSE;
            say_no(set, problem);
            continue;
        }
        free(problem);
        server_used_now(server);
        atomic_store(&server->lease, LEASE_FREE(0));
        wait_hand_over(set);
        wait_hand_to_first(set, server);
        pthread_mutex_unlock(&set->lock);
        deliver_if_due(set);
        lease_say_over_cap(set, site,
                           "whoever holds the others is pinned or waits for this one, so waiting "
                           "could not have ended");
        housekeeping_start(recorder_now() + settings()->linger);
        pthread_mutex_lock(&set->lock);
    }
    set->growing = false;
    pthread_mutex_unlock(&set->lock);
    quiet_end(&quiet);
}

static void *grower(void *argument) {
    struct set *set = argument;
    pthread_setname_np(pthread_self(), "pqone-grower");
    growth_is_ours = true;
    grow(set);
    set_put(set);
    atomic_fetch_sub(&growers, 1);
    return NULL;
}

static bool start_thread(struct set *set) {
    atomic_fetch_add(&growers, 1);
    if (!atomic_load(&growth_ends) && thread_start(grower, set))
        return true;
    atomic_fetch_sub(&growers, 1);
    return false;
}

void growers_end(void) {
    atomic_store(&growth_ends, true);
    for (int i = 0; atomic_load(&growers) > 0 && i < 1000; i++)
        quiet_nap();
}

void growers_fork(enum fork_side side) {
    if (side == FORK_CHILD || side == FORK_UNPREPARED)
        atomic_store(&growers, 0);
}

void grower_start(struct set *set) {
    int saved_errno = errno;
    pthread_mutex_lock(&set->lock);
    bool wanted = !set->growing && !growth_is_given_up() && grower_is_wanted(set);
    set->growing |= wanted;
    pthread_mutex_unlock(&set->lock);
    if (wanted) {
        set_hold(set);
        if (!start_thread(set)) {
            grow(set); /* no thread can be had: rather a call that blocks than a query that nobody serves */
            set_put(set);
        }
    }
    errno = saved_errno;
}
