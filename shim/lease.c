/* lease.c: takes, prepares, pins and gives back server connections. */
#define _GNU_SOURCE
#include "lease.h"

#include <stdio.h>
#include <string.h>

#include "claim.h"
#include "growth.h"
#include "housekeeping.h"
#include "settings.h"
#include "wait.h"
#include "watch/call_site.h"
#include "watch/log.h"

/* What a caller has the time for: nothing, the end of a cleaning, or everything that can help. */
enum patience { NONE, CLEANING, ALL };

static uint64_t number_of(const struct handle *handle) {
    return atomic_load_explicit(&handle->number, memory_order_relaxed);
}

static void hold(struct handle *handle, struct server *server) {
    atomic_store_explicit(&server->holder, process_thread(), memory_order_relaxed);
    atomic_store_explicit(&handle->server, server, memory_order_relaxed);
}

void lease_drop(struct server *server) {
    struct set *set = server->set;
    pthread_mutex_lock(&set->lock);
    set_remove_server(set, server);
    wait_look_again(set);
    pthread_mutex_unlock(&set->lock);
    server_close(server);
}

void lease_set_free(struct server *server) {
    struct set *set = server->set;
    pthread_mutex_lock(&set->lock);
    server_used_now(server);
    atomic_store(&server->lease, LEASE_FREE(0));
    wait_hand_over(set);
    pthread_mutex_unlock(&set->lock);
}

void lease_settled(struct server *server, enum settle settled) {
    struct set *set = server->set;
    if (settled == SETTLE_CLEAN) {
        lease_set_free(server);
    } else if (settled == SETTLE_LATER) {
        pthread_mutex_lock(&set->lock);
        server->state = SERVER_CLEANING;
        pthread_mutex_unlock(&set->lock);
    } else {
        lease_drop(server);
    }
}

/* A handle keeps one view of its server. Where a new connection gives another (a setting of the role was
 * changed meanwhile, the server was replaced), the handle sees what a reconnect would show it. */
static void introduce(struct handle *handle, struct server *server) {
    if (handle->identity && handle->identity != server->identity)
        log_event(LOG_CONNECT, handle->site, 1,
                  "%s answers new connections with other settings than before: the handle goes on with the "
                  "new ones",
                  set_name(handle->set));
    handle->identity = server->identity;
}

/* What the housekeeper would have closed, where there is none. */
static bool is_over_age(const struct server *server) {
    const struct settings *wish = settings();
    return (wish->max_lifetime != SETTING_NEVER && recorder_now() - server->opened > wish->max_lifetime) ||
           (wish->idle_timeout != SETTING_NEVER && server_unused_for(server) > wish->idle_timeout);
}

bool lease_prepare(struct handle *handle, struct server *server) {
    if (server->dressed != number_of(handle) || handle->restyle) {
        if (!server_outlive_cancel(server)) {
            lease_drop(server);
            return false;
        }
        atomic_fetch_add_explicit(&server->row->leases, 1, memory_order_relaxed);
    }
    if (server_unused_for(server) >= LEASE_FRESH && server_is_dead(server)) {
        char place[16];
        atomic_fetch_add(&recorder()->counters.replaced_dead, 1);
        log_event(
            LOG_CONNECT, handle->site, 0,
            "server connection pid %d to %s had died while idle and is replaced, for the handle opened at %s",
            server->row->backend_pid, set_name(server->set), log_site(handle->site, place));
        lease_drop(server);
        return false;
    }
    if (is_over_age(server)) {
        lease_drop(server);
        return false;
    }
    if (server->identity != handle->identity)
        introduce(handle, server);
    handle->status = CONNECTION_OK;
    if (server->dressed != number_of(handle) || handle->restyle) {
        server_dress(server, handle);
        handle->restyle = false;
    }
    return true;
}

/* The free connection that was used last, so that a surplus grows old and is closed. Under the set lock. */
static struct server *take_free(struct set *set, struct handle *handle) {
    for (;;) {
        struct server *best = NULL;
        uint64_t best_lease = 0;
        for (unsigned i = 0; i < set->open; i++) {
            struct server *server = set->servers[i];
            uint64_t lease = atomic_load(&server->lease);
            if (lease & 1 || (handle->identity && handle->identity != server->identity))
                continue;
            if (!best || server_last_used(server) > server_last_used(best)) {
                best = server;
                best_lease = lease;
            }
        }
        if (!best ||
            atomic_compare_exchange_strong(&best->lease, &best_lease, LEASE_TAKEN(number_of(handle))))
            return best;
    }
}

/* One that was given back and is being made new. Under the set lock; the lease stays LEASE_ENGINE. */
static struct server *take_cleaning(struct set *set) {
    for (unsigned i = 0; i < set->open; i++)
        if (set->servers[i]->state == SERVER_CLEANING) {
            set->servers[i]->state = SERVER_OPEN;
            return set->servers[i];
        }
    return NULL;
}

static bool may_grow(const struct set *set) {
    uint32_t cap = settings()->max_connections;
    if (!set->target)
        return false;
    return (cap == SETTING_NO_LIMIT || set->open + set->connecting < cap) &&
           recorder_now() >= set->refused_until;
}

/* Under the set lock, which is given up for the connect. */
static struct server *grow(struct set *set, struct handle *handle, enum growth *outcome) {
    struct server *server;
    set->connecting++;
    pthread_mutex_unlock(&set->lock);
    *outcome = growth_connect(set, handle, &server);
    /* Room that our own idle connections to that server take is room we can make. */
    if (*outcome == GROWTH_REFUSED && sets_close_idle(set) > 0)
        *outcome = growth_connect(set, handle, &server);
    pthread_mutex_lock(&set->lock);
    set->connecting--;
    if (*outcome == GROWTH_REFUSED)
        set->refused_until = recorder_now() + INT64_C(500000000);
    if (!server)
        return NULL;
    if (!set_add_server(set, server)) {
        pthread_mutex_unlock(&set->lock);
        server_close(server);
        pthread_mutex_lock(&set->lock);
        return NULL;
    }
    atomic_store(&server->lease, LEASE_TAKEN(number_of(handle)));
    return server;
}

static void time_is_over(struct set *set, struct handle *handle) {
    char holders[700], place[16];
    wait_holders(set, holders, sizeof holders);
    unsigned open = set->open;
    pthread_mutex_unlock(&set->lock);
    double seconds = (double)settings()->wait_timeout / 1e9;
    atomic_fetch_add(&recorder()->counters.wait_timeouts, 1);
    handle_sayf(handle,
                "pqone: no server connection to %s became free in %g s (PQONE_WAIT_TIMEOUT); all %u are "
                "leased, by the "
                "handles opened at %s\n",
                set_name(set), seconds, open, holders);
    log_event(
        LOG_WAIT, handle->site, 0,
        "no server connection to %s became free in %g s, the call failed; all %u are leased, by the handles "
        "opened at %s; waiting: the handle opened at %s",
        set_name(set), seconds, open, holders, log_site(handle->site, place));
    pthread_mutex_lock(&set->lock);
}

/* Nobody can give one back but those who are stuck as well: rather one too many than a hang. */
static struct server *go_over_the_cap(struct set *set, struct handle *handle, enum growth *outcome) {
    struct server *server = grow(set, handle, outcome);
    if (server) {
        char place[16];
        unsigned open = set->open;
        pthread_mutex_unlock(&set->lock);
        if (settings()->max_connections != SETTING_NO_LIMIT && open > settings()->max_connections) {
            atomic_fetch_add(&recorder()->counters.over_cap, 1);
            log_event(LOG_WAIT, handle->site, 1,
                      "%u server connections to %s, over PQONE_MAX_CONNECTIONS=%u: whoever holds the others "
                      "is pinned "
                      "or waits itself, so waiting could not have ended; for the handle opened at %s",
                      open, set_name(set), settings()->max_connections, log_site(handle->site, place));
        }
        pthread_mutex_lock(&set->lock);
    }
    return server;
}

/* Under the set lock, throughout but for sleeps and connects. NULL: the handle's message says why. */
static struct server *find(struct set *set, struct handle *handle, enum patience patience) {
    struct waiter *waiter = NULL;
    struct server *server = NULL;
    int64_t deadline = recorder_now() + settings()->wait_timeout;
    for (;;) {
        if (wait_is_first(set, waiter) && (server = take_free(set, handle)))
            break;
        struct server *cleaning = take_cleaning(set);
        if (cleaning) {
            pthread_mutex_unlock(&set->lock);
            enum settle settled = server_settle(cleaning, patience == NONE ? 0 : INT64_C(200000000));
            lease_settled(cleaning, settled);
            pthread_mutex_lock(&set->lock);
            if (settled != SETTLE_LATER)
                continue;
        }
        if (patience != ALL)
            return NULL;
        enum growth outcome = GROWTH_REFUSED;
        if (may_grow(set)) {
            server = grow(set, handle, &outcome);
            if (!server && outcome == GROWTH_FAILED)
                handle->status = CONNECTION_BAD;
            if (server || outcome == GROWTH_FAILED)
                break;
        }
        if (!wait_can_help(set)) {
            server = go_over_the_cap(set, handle, &outcome);
            break;
        }
        if (!waiter) {
            atomic_fetch_add(&recorder()->counters.waits, 1);
            waiter = wait_join(set, handle);
        }
        if (!waiter || recorder_now() >= deadline) {
            time_is_over(set, handle);
            break;
        }
        if ((server = wait_a_moment(set, waiter)))
            break;
    }
    if (waiter) {
        struct server *granted = wait_leave(set, waiter);
        if (granted && granted != server && server) {
            atomic_store(&granted->lease, LEASE_FREE(0));
            wait_hand_over(set);
        } else if (granted) {
            server = granted;
        }
    }
    return server;
}

static struct server *take_slowly(struct handle *handle, enum patience patience) {
    struct set *set = handle->set;
    for (;;) {
        pthread_mutex_lock(&set->lock);
        unsigned open = set->open;
        struct server *server = find(set, handle, patience);
        bool needs_a_housekeeper = set->open > open && set->open > 1;
        pthread_mutex_unlock(&set->lock);
        if (needs_a_housekeeper)
            housekeeping_start(recorder_now() + settings()->linger);
        if (!server)
            return NULL;
        hold(handle, server);
        if (lease_prepare(handle, server))
            return server;
    }
}

/* A connection that was open at a fork: ours only if no relative has used it since. */
static struct server *take_inherited(struct handle *handle, struct server *server, enum patience patience) {
    if (claim_try(server->claim)) {
        if (server->generation != process_generation) {
            server->generation = process_generation;
            atomic_store(&handle->row->state, LEDGER_HANDLE_OPEN);
        }
        hold(handle, server);
        return server;
    }
    handle_sayf(handle,
                "pqone: this connection was inherited over fork and process %d uses it; connect again in "
                "this process\n",
                claim_holder(server->claim));
    if (patience == ALL) {
        char place[16];
        atomic_fetch_add(&recorder()->counters.misuse, 1);
        log_event(
            LOG_MISUSE, handle->site, 1,
            "a handle for %s is used on both sides of a fork, process %d has its session: the call fails; "
            "opened at %s; connect again in the child",
            set_name(handle->set), claim_holder(server->claim), log_site(handle->site, place));
    }
    return NULL;
}

static struct server *take(struct handle *handle, enum patience patience) {
    struct server *server = atomic_load_explicit(&handle->server, memory_order_relaxed);
    if (server) {
        uint64_t number = number_of(handle),
                 lease = atomic_load_explicit(&server->lease, memory_order_acquire);
        if (lease == LEASE_TAKEN(number)) {
            if (__builtin_expect(server->forked || server->generation != process_generation, 0))
                return take_inherited(handle, server, patience);
            hold(handle, server);
            return server;
        }
        if (lease == LEASE_FREE(number) &&
            atomic_compare_exchange_strong(&server->lease, &lease, LEASE_TAKEN(number))) {
            hold(handle, server);
            if (__builtin_expect(server->forked, 0))
                claim_try(server->claim);
            if (__builtin_expect(server->dressed == number && !handle->restyle &&
                                     handle->now - server_last_used(server) < LEASE_FRESH,
                                 1))
                return server;
            if (lease_prepare(handle, server))
                return server;
        }
    }
    return take_slowly(handle, patience);
}

struct server *lease_take(struct handle *handle) {
    return take(handle, ALL);
}

struct server *lease_try(struct handle *handle) {
    return take(handle, NONE);
}

struct server *lease_try_cleaned(struct handle *handle) {
    return take(handle, CLEANING);
}

void lease_release(struct handle *handle, struct server *server) {
    struct set *set = server->set;
    server_used_now(server);
    atomic_store_explicit(&server->holder, 0, memory_order_relaxed);
    atomic_store(&server->lease, LEASE_FREE(number_of(handle)));
    if (__builtin_expect(atomic_load(&set->waiting) != 0, 0)) {
        pthread_mutex_lock(&set->lock);
        wait_hand_over(set);
        pthread_mutex_unlock(&set->lock);
    }
}

void lease_pin(struct handle *handle, struct server *server, enum pin_reason reason, const char *what) {
    const struct pin_row *row = pin_row(reason);
    if (row->taint > handle->taint)
        handle->taint = row->taint;
    enum pin_reason before = atomic_load_explicit(&handle->pin, memory_order_relaxed);
    /* The mode and the connect are no news about the session: a better reason takes their place. */
    if (before != PIN_NONE && before != PIN_CONNECTING)
        return;
    atomic_store(&handle->pin, reason);
    atomic_store(&server->pinned, true);
    atomic_store(&handle->row->pin, reason);
    if (reason == PIN_CONNECTING || reason == PIN_MODE)
        return;
    char place[16];
    atomic_fetch_add(&recorder()->counters.pins, 1);
    atomic_fetch_add(&recorder()->counters.pins_by_reason[reason], 1);
    struct ledger_site *site = recorder_site(handle->site);
    if (site)
        atomic_fetch_add(&site->pins, 1);
    log_event(LOG_PIN, handle->site, reason,
              "the handle for %s opened at %s keeps server connection pid %d to itself: %s%s%s (%s); to lift "
              "it: %s",
              set_name(handle->set), log_site(handle->site, place),
              server->row ? server->row->backend_pid : 0, what ? what : "", what ? ": " : "", row->says,
              row->word, row->lift);
}
