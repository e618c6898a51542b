/* lease.c: takes, prepares, pins and gives back server connections. */
#define _GNU_SOURCE
#include "lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "delivery.h"
#include "growth.h"
#include "housekeeping.h"
#include "prepared.h"
#include "quiet.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "wait.h"
#include "watch/call_site.h"
#include "watch/log.h"
#include "watch/misuse.h"

/* What a caller has the time for: nothing, the end of a cleaning, or everything that can help. */
enum patience { NONE, CLEANING, ALL };

static uint64_t number_of(const struct handle *handle) {
    return atomic_load_explicit(&handle->number, memory_order_relaxed);
}

static void hold(struct handle *handle, struct server *server) {
    if (__builtin_expect(handle->inherited, 0) && atomic_load(&handle->row->state) == LEDGER_HANDLE_INHERITED)
        atomic_store(&handle->row->state, LEDGER_HANDLE_TAKEN);
    atomic_store_explicit(&server->holder, process_thread(), memory_order_relaxed);
    atomic_store_explicit(&handle->server, server, memory_order_release); /* a canceller may look */
}

void lease_drop(struct server *server) {
    struct set *set = server->set;
    pthread_mutex_lock(&set->lock);
    set_remove_server(set, server);
    wait_look_again(set);
    pthread_mutex_unlock(&set->lock);
    server_close(server);
    deliver_if_due(set);
}

void lease_set_free(struct server *server) {
    struct set *set = server->set;
    pthread_mutex_lock(&set->lock);
    server_used_now(server);
    atomic_store(&server->lease, LEASE_FREE(0));
    wait_hand_over(set);
    pthread_mutex_unlock(&set->lock);
    deliver_if_due(set);
}

/* A cancel may still be on its way: nobody gets the connection before the server has answered something after
 * it, for which nobody waits. */
static void outlive_cancel(struct server *server) {
    atomic_store(&server->lease, LEASE_ENGINE);
    if (atomic_load(&server->spent) || !server_start_cleaning(server, false, false)) {
        lease_drop(server);
        return;
    }
    lease_settled(server, SETTLE_LATER);
    housekeeping_start(recorder_now());
}

static bool may_be_cancelled(const struct server *server) {
    return atomic_load(&server->spent) || atomic_load(&server->cancelling) || atomic_load(&server->cancelled);
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

static bool is_dead(const struct set *set, uint32_t site, struct server *server) {
    char place[16];
    if (server_unused_for(server) < LEASE_FRESH || !server_is_dead(server))
        return false;
    atomic_fetch_add(&recorder()->counters.replaced_dead, 1);
    log_event(
        LOG_CONNECT, site, 0,
        "server connection pid %d to %s had died while idle and is replaced, for the handle opened at %s",
        server->row->backend_pid, set_name(set), log_site(site, place));
    return true;
}

bool lease_is_usable(const struct handle *handle, struct server *server) {
    if (!server_has_its_descriptor(server)) {
        atomic_store(&server->lease, LEASE_ENGINE);
        lease_drop(server);
        return false;
    }
    if (may_be_cancelled(server)) {
        outlive_cancel(server);
        return false;
    }
    if (is_dead(server->set, handle->site, server) || is_over_age(server)) {
        lease_drop(server);
        return false;
    }
    return true;
}

static void put_on(struct handle *handle, struct server *server) {
    if (server->identity != handle->identity)
        introduce(handle, server);
    handle->status = CONNECTION_OK;
    if (server->dressed != number_of(handle) || handle->restyle) {
        server_dress(server, handle);
        handle->restyle = false;
    }
}

void lease_collect(struct handle *handle, struct server *server) {
    hold(handle, server);
    put_on(handle, server);
}

bool lease_prepare(struct handle *handle, struct server *server) {
    if (server->dressed != number_of(handle) || handle->restyle) {
        if (!lease_is_usable(handle, server))
            return false;
        atomic_fetch_add_explicit(&server->row->leases, 1, memory_order_relaxed);
    } else if (is_dead(server->set, handle->site, server) || is_over_age(server)) {
        lease_drop(server);
        return false;
    }
    put_on(handle, server);
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
struct server *lease_take_cleaning(struct set *set) {
    for (unsigned i = 0; i < set->open; i++)
        if (set->servers[i]->state == SERVER_CLEANING) {
            set->servers[i]->state = SERVER_OPEN;
            return set->servers[i];
        }
    return NULL;
}

static bool is_strange(const struct server *server, void *handle) {
    return server->identity != ((const struct handle *)handle)->identity;
}

static struct server *take_strange(struct set *set, struct handle *handle) {
    return handle->identity ? set_take_idle(set, is_strange, handle) : NULL;
}

/* Under the set lock, which is given up for the connect. */
static struct server *grow(struct set *set, struct handle *handle, struct quiet *quiet,
                           enum growth *outcome) {
    char *problem;
    struct server *server = growth_add(set, handle->identity, quiet, outcome, &problem);
    if (server)
        atomic_store(&server->lease, LEASE_TAKEN(number_of(handle)));
    else
        handle_say(handle, problem ? problem : "out of memory\n");
    free(problem);
    return server;
}

static void time_is_over(struct set *set, struct handle *handle) {
    struct holders noted;
    char holders[700], place[16];
    wait_note_holders(set, &noted);
    unsigned open = set->open;
    pthread_mutex_unlock(&set->lock);
    wait_name_holders(&noted, HOLDERS_IN_MESSAGE, holders, sizeof holders);
    double seconds = (double)settings()->wait_timeout / 1e9;
    atomic_fetch_add(&recorder()->counters.wait_timeouts, 1);
    handle_sayf(handle,
                "pqone: no server connection to %s became free in %g s (PQONE_WAIT_TIMEOUT); %u open, "
                "leased by the handles opened at %s\n",
                set_name(set), seconds, open, holders);
    wait_name_holders(&noted, HOLDERS_IN_LOG, holders, sizeof holders);
    log_event(LOG_WAIT, handle->site, 0,
              "no server connection to %s became free in %g s (PQONE_WAIT_TIMEOUT), the call failed; %u "
              "open, leased by the handles "
              "opened at %s; waiting: the handle opened at %s",
              set_name(set), seconds, open, holders, log_site(handle->site, place));
    pthread_mutex_lock(&set->lock);
}

void lease_say_over_cap(struct set *set, uint32_t site, const char *why) {
    uint32_t cap = settings()->max_connections;
    char place[16];
    if (cap == SETTING_NO_LIMIT)
        return;
    pthread_mutex_lock(&set->lock);
    unsigned open = set->open;
    pthread_mutex_unlock(&set->lock);
    if (open <= cap)
        return;
    housekeeping_start(recorder_now() + settings()->linger); /* which closes it when it is not needed */
    atomic_fetch_add(&recorder()->counters.over_cap, 1);
    log_event(LOG_WAIT, site, 1,
              "%u server connections to %s, over PQONE_MAX_CONNECTIONS=%u: %s; for the handle opened at %s",
              open, set_name(set), cap, why, log_site(site, place));
}

/* Nobody can give one back but those who are stuck as well: rather one too many than a hang. */
static struct server *go_over_the_cap(struct set *set, struct handle *handle, struct quiet *quiet,
                                      enum growth *outcome) {
    struct server *server = grow(set, handle, quiet, outcome);
    if (server) {
        pthread_mutex_unlock(&set->lock);
        lease_say_over_cap(
            set, handle->site,
            "whoever holds the others is pinned or waits itself, so waiting could not have ended");
        pthread_mutex_lock(&set->lock);
    }
    return server;
}

/* Leaves the queue. With two connections in hand, one found and one handed over, one goes back. */
static struct server *leave_queue(struct set *set, struct handle *handle, struct server *server) {
    struct server *granted = wait_leave(set, handle->waiter);
    handle->waiter = NULL;
    if (granted && server && granted != server) {
        atomic_store(&granted->lease, LEASE_FREE(0));
        wait_hand_over(set);
        return server;
    }
    return granted ? granted : server;
}

/* Under the set lock, throughout but for sleeps and connects. NULL: the handle's message says why. */
static struct server *find(struct set *set, struct handle *handle, struct quiet *quiet,
                           enum patience patience) {
    struct server *server = NULL;
    if (handle->waiter && (server = leave_queue(set, handle, NULL)))
        return server; /* its last wait was left by longjmp, and came to this */
    if (set->waiters)
        wait_was_left(set);
    int64_t deadline = recorder_now() + settings()->wait_timeout;
    for (;;) {
        if (handle->waiter && handle->waiter->granted)
            break; /* what was cleaned below has been handed to whoever is first, which is this one */
        if (wait_is_first(set, handle->waiter) && (server = take_free(set, handle)))
            break;
        struct server *cleaning = lease_take_cleaning(set);
        if (cleaning) {
            pthread_mutex_unlock(&set->lock);
            enum settle settled = server_settle(cleaning, patience == NONE ? 0 : LEASE_SETTLES);
            lease_settled(cleaning, settled);
            pthread_mutex_lock(&set->lock);
            if (settled != SETTLE_LATER)
                continue;
        }
        if (patience != ALL)
            return NULL;
        enum growth outcome = GROWTH_REFUSED;
        if (growth_is_allowed(set)) {
            server = grow(set, handle, quiet, &outcome);
            if (!server && outcome == GROWTH_FAILED)
                handle->status = CONNECTION_BAD;
            if (server || outcome == GROWTH_FAILED)
                break;
        }
        struct server *strange = patience == ALL ? take_strange(set, handle) : NULL;
        if (strange) { /* an idle session that could not serve this handle makes room for one that can */
            pthread_mutex_unlock(&set->lock);
            server_close(strange);
            pthread_mutex_lock(&set->lock);
            set->refused_until = 0;
            continue;
        }
        if (!wait_can_help(set, handle)) {
            server = go_over_the_cap(set, handle, quiet, &outcome);
            break;
        }
        if (!handle->waiter) {
            atomic_fetch_add(&recorder()->counters.waits, 1);
            handle->waiter = wait_join(set, handle);
        }
        if (!handle->waiter || recorder_now() >= deadline) {
            time_is_over(set, handle);
            break;
        }
        if ((server = wait_a_moment(set, handle->waiter, quiet)))
            break;
    }
    return handle->waiter ? leave_queue(set, handle, server) : server;
}

void lease_stop_waiting(struct handle *handle) {
    struct set *set = handle->set;
    pthread_mutex_lock(&set->lock);
    struct server *server = handle->waiter ? leave_queue(set, handle, NULL) : NULL;
    if (server) {
        atomic_store(&server->lease, LEASE_FREE(0));
        wait_hand_over(set);
    }
    pthread_mutex_unlock(&set->lock);
    deliver_if_due(set);
}

/* What most handles find that are not the last user of a connection: a free one. */
static struct server *take_at_once(struct set *set, struct handle *handle) {
    if (handle->waiter)
        return NULL;
    pthread_mutex_lock(&set->lock);
    struct server *server = wait_is_first(set, NULL) ? take_free(set, handle) : NULL;
    if (server)
        hold(handle, server);
    pthread_mutex_unlock(&set->lock);
    return server;
}

static struct server *take_slowly(struct handle *handle, enum patience patience) {
    struct set *set = handle->set;
    for (;;) {
        struct server *idle = take_at_once(set, handle);
        if (idle && lease_prepare(handle, idle))
            return idle;
        if (idle)
            continue; /* it was dead, and is gone */
        struct quiet quiet;
        quiet_begin(&quiet);
        pthread_mutex_lock(&set->lock);
        unsigned open = set->open;
        struct server *server = find(set, handle, &quiet, patience);
        bool needs_a_housekeeper = set->open > open && set->open > 1;
        if (server)
            hold(handle, server);
        pthread_mutex_unlock(&set->lock);
        quiet_end(&quiet);
        deliver_if_due(set); /* while we waited, some may have been handed over that no thread sleeps for */
        if (needs_a_housekeeper)
            housekeeping_start(recorder_now() + settings()->linger);
        if (!server)
            return NULL;
        if (lease_prepare(handle, server))
            return server;
    }
}

static void say_both_sides(const struct handle *handle) {
    const struct misused what = handle_misused(handle, NULL);
    misuse_happened(MISUSE_BOTH_SIDES, &what, NULL);
}

/* A connection that was open at a fork: ours only if no relative has used it since. */
static struct server *take_inherited(struct handle *handle, struct server *server, enum patience patience) {
    bool same_process = server->generation == process_generation;
    bool ours = server->claim < 0 ? same_process : claim_try(server->claim);
    /* Who only watches lets the program do what it does. */
    if (ours || settings()->mode == MODE_OBSERVE) {
        server->generation = process_generation;
        atomic_store(&server->forked, false);
        hold(handle, server);
        if (!ours)
            say_both_sides(handle);
        return server;
    }
    handle_sayf(handle,
                "pqone: this connection was inherited over fork and process %d uses it; connect again in "
                "this process\n",
                claim_holder(server->claim));
    if (patience == ALL)
        say_both_sides(handle);
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
            if (__builtin_expect(server->forked, 0) && !server_claim(server)) {
                lease_drop(server);
                return take_slowly(handle, patience);
            }
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
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    if (__builtin_expect(descriptor != NULL, 0))
        descriptor_leave(descriptor);
    server_used_now(server);
    atomic_store_explicit(&server->holder, 0, memory_order_relaxed);
    /* Nobody waits while it is rid of its many prepared statements, either. */
    if (__builtin_expect(may_be_cancelled(server) || server->names > PREPARED_MANY, 0)) {
        outlive_cancel(server);
        return;
    }
    atomic_store(&server->lease, LEASE_FREE(number_of(handle)));
    if (__builtin_expect(atomic_load(&set->waiting) != 0, 0)) {
        pthread_mutex_lock(&set->lock);
        wait_hand_over(set);
        pthread_mutex_unlock(&set->lock);
        deliver_if_due(set);
    }
}

void lease_unpin(struct handle *handle, struct server *server, uint32_t lifted) {
    handle->reasons &= ~lifted;
    enum pin_reason left = handle->reasons ? (enum pin_reason)__builtin_ctz(handle->reasons) : PIN_NONE;
    /* That a connect is over makes no session new: what a statement left behind then stays. */
    if (lifted != UINT32_C(1) << PIN_CONNECTING) {
        handle->taint = TAINT_UNTOUCHED;
        for (uint32_t reason = 0; reason < PIN_REASONS; reason++)
            if (handle->reasons >> reason & 1 && pin_row(reason)->taint > handle->taint)
                handle->taint = pin_row(reason)->taint;
    }
    atomic_store(&handle->pin, left);
    atomic_store(&handle->row->pin, left);
    atomic_store(&server->pinned, left != PIN_NONE);
}

void lease_pin(struct handle *handle, struct server *server, enum pin_reason reason, const char *what) {
    const struct pin_row *row = pin_row(reason);
    if (row->taint > handle->taint)
        handle->taint = row->taint;
    enum pin_reason before = atomic_load_explicit(&handle->pin, memory_order_relaxed);
    handle->reasons |= UINT32_C(1) << reason;
    /* The mode and the connect are no news about the session: a better reason takes their place. */
    if (before != PIN_NONE && before != PIN_CONNECTING && before != PIN_MODE)
        return;
    atomic_store(&handle->pin, reason);
    atomic_store(&server->pinned, true);
    atomic_store(&handle->row->pin, reason);
    /* Who only watches shares nothing, so that keeping a connection to itself is no news either. */
    if (reason == PIN_CONNECTING || reason == PIN_MODE || settings()->mode == MODE_OBSERVE)
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
