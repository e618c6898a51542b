/* opening.c: gives every PQconnect* a handle, and as few of them as can be a server connection of their own.
 */
#define _GNU_SOURCE
#include "opening.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claim.h"
#include "closing.h"
#include "foreign.h"
#include "growth.h"
#include "housekeeping.h"
#include "lease.h"
#include "quiet.h"
#include "results.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "starting.h"
#include "unused.h"
#include "watch/call_site.h"
#include "watch/log.h"
#include "words.h"

static bool shares(const struct set *set) {
    return set->target && !set->target->replication && settings()->mode == MODE_SHARE;
}

static bool may_reuse(const struct set *set) {
    return set->target && !set->target->replication && settings()->mode != MODE_OBSERVE;
}

static void count_in(struct handle *handle, bool failed) {
    struct ledger_header *ledger = recorder();
    struct ledger_target *target = handle->set->row;
    struct ledger_site *site = recorder_site(handle->site);
    handles_enter_in_ledger();
    atomic_fetch_add(&ledger->counters.handles_opened, 1);
    recorder_count_up(&ledger->counters.handles_alive, &ledger->counters.handles_alive_peak);
    if (failed)
        atomic_fetch_add(&ledger->counters.connects_failed, 1);
    if (site) {
        atomic_fetch_add(&site->opened, 1);
        if (failed)
            atomic_fetch_add(&site->failed, 1);
        recorder_count_up32(&site->alive, &site->alive_peak);
    }
    if (target) {
        atomic_fetch_add(&target->opened, 1);
        recorder_count_up32(&target->alive, &target->alive_peak);
    }
    handle->row = recorder_handle_open(atomic_load(&handle->number), handle_address(handle), handle->site,
                                       set_ledger_target(handle->set),
                                       failed ? LEDGER_HANDLE_FAILED : LEDGER_HANDLE_OPEN);
    if (spans_wanted(ledger))
        spans_open(&handle->spans, handle_span_owner(handle),
                   failed ? LEDGER_HANDLE_FAILED : LEDGER_HANDLE_OPEN);
    unused_watch();
}

/* What PQconnectStart began came to nothing. */
static void count_as_failed(struct handle *handle) {
    struct ledger_site *site = recorder_site(handle->site);
    atomic_fetch_add(&recorder()->counters.connects_failed, 1);
    if (site)
        atomic_fetch_add(&site->failed, 1);
    atomic_store(&handle->row->state, LEDGER_HANDLE_FAILED);
    spans_became(&handle->spans, LEDGER_HANDLE_FAILED);
}

static struct handle *new_handle(struct libpq *libpq, struct set *set, uint32_t site) {
    struct handle *handle = handle_new();
    if (!handle)
        return NULL;
    handle->libpq = libpq;
    handle->set = set; /* its reference is the handle's from here on */
    handle->site = site;
    handle->opened = recorder_now();
    handle->status = CONNECTION_BAD;
    handle->manners.verbosity = PQERRORS_DEFAULT;
    handle->manners.context = PQSHOW_CONTEXT_ERRORS;
    handle->manners.receiver = libpq->default_receiver;
    handle->manners.processor = libpq->default_processor;
    return handle;
}

/* Makes the handle the holder of a PGconn of its own. False: no memory. */
static struct server *give_own(struct handle *handle, PGconn *conn) {
    struct server *server = server_new(handle->libpq, handle->set, conn);
    if (!server)
        return NULL;
    uint64_t number = atomic_load(&handle->number);
    server->dressed = number;
    atomic_store(&server->lease, LEASE_TAKEN(number));
    atomic_store(&handle->server, server);
    return server;
}

static const char *ordinal(unsigned count, char *buffer, size_t size) {
    unsigned tens = count / 10 % 10, ones = tens == 1 ? 0 : count % 10;
    snprintf(buffer, size, "%u%s", count, ones == 1 ? "st" : ones == 2 ? "nd" : ones == 3 ? "rd" : "th");
    return buffer;
}

/* What a duplicate is told apart by, copied under the set lock. */
struct duplicate {
    unsigned count; /* this one included */
    uint32_t first_site;
    int64_t first_opened;
    int backend_pid; /* of a connection that is free this instant, 0 if there is none */
    bool all_taken;  /* there are some, but each is leased or pinned */
};

static bool is_duplicate(struct set *set, struct duplicate *duplicate) {
    pthread_mutex_lock(&set->lock);
    duplicate->count = set->handle_count + 1;
    if (set->handles) {
        duplicate->first_site = set->handles->site;
        duplicate->first_opened = set->handles->opened;
        duplicate->all_taken = set->open > 0;
        for (unsigned i = 0; i < set->open && duplicate->backend_pid == 0; i++)
            if (!(atomic_load(&set->servers[i]->lease) & 1)) {
                duplicate->backend_pid = set->servers[i]->row->backend_pid;
                duplicate->all_taken = false;
            }
    }
    pthread_mutex_unlock(&set->lock);
    return duplicate->count > 1;
}

/* Counts and logs a duplicate; true if the connect is to fail. */
static bool report_duplicate(struct set *set, const struct duplicate *duplicate, uint32_t site) {
    struct ledger_site *row = recorder_site(site);
    struct ledger_target *target = set->row;
    enum on_duplicate wish = settings()->on_duplicate;
    char nth[16], here[16], there[16], how[64];
    atomic_fetch_add(&recorder()->counters.duplicates, 1);
    if (row)
        atomic_fetch_add(&row->duplicates, 1);
    if (target)
        atomic_fetch_add(&target->duplicates, 1);
    if (wish == ON_DUPLICATE_IGNORE)
        return false;
    uint64_t due = log_due(LOG_DUPLICATE, site == CALL_SITE_NONE ? LOG_NOWHERE : site, 0);
    if (!due && wish != ON_DUPLICATE_ABORT)
        return wish == ON_DUPLICATE_FAIL;
    if (wish == ON_DUPLICATE_FAIL)
        snprintf(how, sizeof how, "refused (PQONE_ON_DUPLICATE=fail)");
    else if (wish == ON_DUPLICATE_ABORT)
        snprintf(how, sizeof how, "aborting here (PQONE_ON_DUPLICATE=abort)");
    else if (shares(set) && duplicate->backend_pid)
        snprintf(how, sizeof how, "sharing server connection pid %d", duplicate->backend_pid);
    else if (shares(set) && duplicate->all_taken)
        snprintf(how, sizeof how, "on the next server connection that is free, or a new one");
    else
        snprintf(how, sizeof how, "on a server connection of its own");
    if (due)
        log_say(LOG_DUPLICATE, due, "%s handle for %s, %s; opened at %s; still unfinished: %s, %.1fs",
                ordinal(duplicate->count, nth, sizeof nth), set_name(set), how, log_site(site, here),
                log_site(duplicate->first_site, there),
                (double)(recorder_now() - duplicate->first_opened) / 1e9);
    if (wish == ON_DUPLICATE_ABORT)
        abort();
    return wish == ON_DUPLICATE_FAIL;
}

/* A PQreset can connect what never was connected. */
static void no_longer_failed(struct handle *handle) {
    uint32_t failed = LEDGER_HANDLE_FAILED;
    struct ledger_site *site = recorder_site(handle->site);
    if (!atomic_compare_exchange_strong(&handle->row->state, &failed, LEDGER_HANDLE_OPEN))
        return;
    atomic_fetch_sub(&recorder()->counters.connects_failed, 1);
    if (site)
        atomic_fetch_sub(&site->failed, 1);
    spans_became(&handle->spans, LEDGER_HANDLE_OPEN);
}

void open_completed(struct handle *handle, struct server *server) {
    struct set *set = handle->set;
    no_longer_failed(handle);
    server_established(server);
    handle->identity = server->identity;
    handle->status = CONNECTION_OK;
    bool listed = may_reuse(set) && server->identity && server->row;
    if (listed) {
        pthread_mutex_lock(&set->lock);
        listed = set_add_server(set, server);
        pthread_mutex_unlock(&set->lock);
    }
    if (!listed)
        server->state = SERVER_OWN;
    if (settings()->mode == MODE_SESSION && listed) {
        lease_pin(handle, server, PIN_MODE, NULL);
        lease_say_over_cap(set, handle->site, "with PQONE_MODE=session each handle has one of its own");
        return;
    }
    lease_unpin(handle, server, UINT32_C(1) << PIN_CONNECTING);
    if (listed && atomic_load(&handle->pin) == PIN_NONE)
        lease_release(handle, server);
    if (listed && !settings()->idle_timeout_is_default)
        housekeeping_start(recorder_now());
    if (listed)
        lease_say_over_cap(set, handle->site, "a connect never waits for capacity");
}

static bool is_refused(struct libpq *libpq, const PGconn *conn) {
    return conn && libpq->PQstatus(conn) == CONNECTION_BAD &&
           growth_message_is_refusal(libpq->PQerrorMessage(conn));
}

/* The program's own connect, as it would be without us; room that our idle connections take is made. */
static PGconn *connect_really(struct libpq *libpq, const struct request *request, const struct set *set) {
    PGconn *conn = request_connect(libpq, request);
    if (!is_refused(libpq, conn) || sets_close_idle(set) == 0)
        return conn;
    for (int tries = 0; is_refused(libpq, conn) && growth_wait_for_room(tries); tries++) {
        libpq->PQfinish(conn);
        conn = request_connect(libpq, request);
    }
    return conn;
}

/* Is there an open connection that the new handle may rely on? If none was used just now, one is looked at.
 */
static bool has_live_server(struct handle *handle) {
    struct set *set = handle->set;
    for (;;) {
        bool doubtful = set->open > 0;
        struct server *newest = NULL;
        for (unsigned i = 0; i < set->open; i++) {
            struct server *server = set->servers[i];
            if (atomic_load(&server->lease) & 1 || server_unused_for(server) < LEASE_FRESH)
                doubtful = false;
            if (server->identity && (!newest || server->opened >= newest->opened))
                newest = server;
        }
        if (!newest)
            return false;
        handle->identity = newest->identity;
        if (!doubtful)
            return true;
        unsigned open = set->open;
        pthread_mutex_unlock(&set->lock);
        struct server *server = lease_try(handle); /* drops the dead ones it meets */
        if (server)
            lease_release(handle, server);
        pthread_mutex_lock(&set->lock);
        if (server || set->open >= open) /* or somebody else has it, alive enough for him */
            return set->open > 0;
    }
}

/* Twentieths of a second for which others wait for the first connect. It may have been left by longjmp in a
 * thread that lives on: rather a connection more than a wait for nothing. */
enum { FIRST_PATIENCE = 40 };

/* A connect that was left by longjmp (a timeout's SIGALRM) or whose thread is gone never says it is done. */
static bool first_is_under_way(const struct set *set) {
    return set->first_connecting && set->first_connecting != process_thread() &&
           process_thread_lives(set->first_connecting);
}

enum attached { ATTACHED, CONNECT_FIRST, CONNECT_ALONE };

/* Under single flight: with no connection there, one thread makes it and the others wait for that one. */
static enum attached attach(struct handle *handle) {
    struct set *set = handle->set;
    enum attached outcome = ATTACHED;
    pthread_mutex_lock(&set->lock);
    while (!has_live_server(handle)) {
        if (!first_is_under_way(set)) {
            set->first_connecting = process_thread();
            outcome = CONNECT_FIRST;
            break;
        }
        for (int i = 0; first_is_under_way(set) && i < FIRST_PATIENCE; i++)
            quiet_wait(&set->first_changed, &set->lock);
        if (!has_live_server(handle)) {
            outcome =
                CONNECT_ALONE; /* the first failed, or hangs: each of us finds out for itself, all at once */
            break;
        }
    }
    pthread_mutex_unlock(&set->lock);
    if (outcome != ATTACHED)
        handle->identity = NULL;
    return outcome;
}

static void first_is_done(struct set *set) {
    pthread_mutex_lock(&set->lock);
    set->first_connecting = 0;
    pthread_cond_broadcast(&set->first_changed);
    pthread_mutex_unlock(&set->lock);
}

/* Connects for the handle. False: libpq returned NULL. */
static bool connect_handle(struct handle *handle, const struct request *request) {
    PGconn *conn = connect_really(handle->libpq, request, handle->set);
    struct server *server = conn ? give_own(handle, conn) : NULL;
    if (!server) {
        handle->libpq->PQfinish(conn);
        return false;
    }
    bool failed = handle->libpq->PQstatus(conn) == CONNECTION_BAD;
    set_add_handle(handle->set, handle);
    count_in(handle, failed);
    if (!failed)
        open_completed(handle, server);
    return true;
}

static PGconn *give_up(struct handle *handle) {
    struct set *set = handle->set;
    handle_retire(handle, handle_address(handle));
    handle_free(handle);
    set_put(set);
    return NULL;
}

static PGconn *open_blocking(struct handle *handle, const struct request *request) {
    struct set *set = handle->set;
    if (may_reuse(set) && settings()->mode == MODE_SESSION) {
        struct server *server = lease_try_cleaned(handle);
        if (server) {
            set_add_handle(set, handle);
            count_in(handle, false);
            handle->status = CONNECTION_OK;
            lease_pin(handle, server, PIN_MODE, NULL);
            return handle_address(handle);
        }
    }
    enum attached attached = shares(set) ? attach(handle) : CONNECT_ALONE;
    if (attached == ATTACHED) {
        handle->status = CONNECTION_OK;
        set_add_handle(set, handle);
        count_in(handle, false);
        return handle_address(handle);
    }
    bool connected = connect_handle(handle, request);
    if (attached == CONNECT_FIRST)
        first_is_done(set);
    return connected ? handle_address(handle) : give_up(handle);
}

/* PQconnectStart without a connect: with an open connection, which may be leased, or one that is on its way
 * and is not to be one too many. The polls tell. */
static bool starts_without(struct handle *handle) {
    struct set *set = handle->set;
    pthread_mutex_lock(&set->lock);
    bool live = has_live_server(handle);
    pthread_mutex_unlock(&set->lock);
    if (!live)
        handle->identity = NULL;
    return live || starting_join(handle, false);
}

static PGconn *open_starting(struct handle *handle, const struct request *request) {
    struct set *set = handle->set;
    struct server *server = may_reuse(set) && !shares(set) ? lease_try(handle) : NULL;
    handle->opening = server || (shares(set) && starts_without(handle));
    if (!handle->opening) {
        PGconn *conn = request_start(handle->libpq, request);
        server = conn ? give_own(handle, conn) : NULL;
        if (!server) {
            handle->libpq->PQfinish(conn);
            return give_up(handle);
        }
        server->state = SERVER_OPENING;
    }
    bool failed = !handle->opening && handle->libpq->PQstatus(server->conn) == CONNECTION_BAD;
    set_add_handle(set, handle);
    count_in(handle, failed);
    if (failed)
        server->state = SERVER_OWN;
    else if (server)
        lease_pin(handle, server, PIN_CONNECTING, NULL);
    if (!failed && !handle->opening)
        starting_begins(handle);
    return handle_address(handle);
}

struct server *open_own_start(struct handle *handle) {
    const struct target *target = handle->set->target;
    if (!target)
        return NULL;
    PGconn *conn = handle->libpq->PQconnectStartParams(target->keywords, target->values, 0);
    struct server *server = conn ? give_own(handle, conn) : NULL;
    if (!server)
        handle->libpq->PQfinish(conn);
    else if (handle->libpq->PQstatus(conn) != CONNECTION_BAD)
        server->state = SERVER_OPENING;
    return server;
}

static bool is_off(void) {
    return settings()->disable || settings()->mode == MODE_OFF;
}

static PGconn *pass_through(struct libpq *libpq, const struct request *request, bool start) {
    return start ? request_start(libpq, request) : request_connect(libpq, request);
}

PGconn *open_handle(const struct request *request, void *caller, bool start) {
    struct libpq *libpq = request->libpq ? request->libpq : libpq_of_creator(caller);
    if (!libpq)
        return NULL;
    if (!request->libpq && libpq_called_itself(caller))
        return pass_through(libpq, request, start);
    process_check();
    if (is_off()) {
        atomic_fetch_or(&recorder()->notes, LEDGER_NOTE_OFF);
        return pass_through(libpq, request, start);
    }
    results_start();
    uint32_t site = call_site_here(caller);
    struct target *target = target_resolve(libpq, request);
    struct set *set = set_get(libpq, target);
    if (!set)
        return NULL;
    if (libpq->has_unknown_calls)
        return foreign_opened(set, site, pass_through(libpq, request, start));
    struct duplicate duplicate = {.first_site = CALL_SITE_NONE};
    bool refuse = is_duplicate(set, &duplicate) && report_duplicate(set, &duplicate, site);
    struct handle *handle = new_handle(libpq, set, site);
    if (!handle) {
        set_put(set);
        return NULL;
    }
    if (refuse) {
        char name[200];
        handle->refused = true;
        handle->speaks = true;
        set_add_handle(set, handle);
        count_in(handle, true);
        handle_sayf(handle,
                    "pqone: duplicate refused (PQONE_ON_DUPLICATE=fail): this process has an unfinished "
                    "handle for %s, "
                    "opened at %s\n",
                    set_name(set), call_site_name(duplicate.first_site, name, sizeof name));
        return handle_address(handle);
    }
    return start ? open_starting(handle, request) : open_blocking(handle, request);
}

PGPing ping(const struct request *request, void *caller) {
    struct libpq *libpq = request->libpq ? request->libpq : libpq_of_creator(caller);
    if (!libpq)
        return PQPING_NO_ATTEMPT;
    struct words words;
    PGPing answer;
    if (settings()->via && !is_off() && words_of_request(&words, libpq, request)) {
        answer = libpq->PQpingParams(words.keywords, words.values, words.expand_dbname);
        words_free(&words, libpq);
    } else if (request->form == REQUEST_PARAMS) {
        answer = libpq->PQpingParams(request->keywords, request->values, request->expand_dbname);
    } else {
        answer = libpq->PQping(request->conninfo);
    }
    return answer;
}

/* What the program is to wait for, its number shows. */
static void show_wait(const struct handle *handle, struct server *server, PostgresPollingStatusType status) {
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    if (descriptor && status != PGRES_POLLING_FAILED && lease_held(handle) == server)
        descriptor_follow(descriptor, server, status == PGRES_POLLING_WRITING ? AWAIT_ROOM : AWAIT_INPUT);
}

/* libpq may close its socket and open another, and the relay is not to look at what has the number meanwhile.
 */
static void hide_wait(const struct handle *handle) {
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    if (descriptor)
        descriptor_leave(descriptor);
}

/* PQconnectStart found an open connection, and this handle's may have been it: the first poll is the last. */
static PostgresPollingStatusType poll_open_one(struct handle *handle, struct server *server) {
    handle->opening = false;
    handle->status = CONNECTION_OK;
    if (!server)
        return PGRES_POLLING_OK;
    if (settings()->mode == MODE_SESSION)
        lease_pin(handle, server, PIN_MODE, NULL);
    lease_unpin(handle, server, UINT32_C(1) << PIN_CONNECTING);
    if (atomic_load(&handle->pin) == PIN_NONE)
        lease_release(handle, server);
    return PGRES_POLLING_OK;
}

/* What it joined came to nothing, or takes too long. */
static PostgresPollingStatusType connect_after_all(struct handle *handle) {
    handle->opening = false;
    struct server *server = open_own_start(handle);
    if (!server || server->state != SERVER_OPENING) {
        count_as_failed(handle);
        return PGRES_POLLING_FAILED;
    }
    lease_pin(handle, server, PIN_CONNECTING, NULL);
    starting_begins(handle);
    show_wait(handle, server, PGRES_POLLING_WRITING);
    return PGRES_POLLING_WRITING;
}

/* A poll of a handle that has no connection of its own. */
static PostgresPollingStatusType poll_joined(struct handle *handle) {
    struct set *set = handle->set;
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_leave(descriptor); /* first: what comes from here on makes it readable again */
    pthread_mutex_lock(&set->lock);
    bool live = has_live_server(handle);
    bool waits = !live && starting_joins_still(handle);
    pthread_mutex_unlock(&set->lock);
    if (waits)
        return PGRES_POLLING_READING;
    starting_ends(handle);
    if (live)
        return poll_open_one(handle, NULL);
    handle->identity = NULL;
    return connect_after_all(handle);
}

/* The server has no room for one more: as a blocking connect would, the handle takes part in what the set
 * has, or waits for what others are about to have. */
static PostgresPollingStatusType take_part(struct handle *handle, struct server *server) {
    struct set *set = handle->set;
    if (!shares(set) || !growth_message_is_refusal(handle->libpq->PQerrorMessage(server->conn)))
        return PGRES_POLLING_FAILED;
    pthread_mutex_lock(&set->lock);
    bool live = has_live_server(handle);
    pthread_mutex_unlock(&set->lock);
    if (!live)
        handle->identity = NULL;
    if (!live && !starting_join(handle, true))
        return PGRES_POLLING_FAILED;
    lease_unpin(handle, server, UINT32_C(1) << PIN_CONNECTING);
    close_lease(handle, server);
    handle->restyle = true;
    handle->opening = !live;
    if (live)
        handle->status = CONNECTION_OK;
    return live ? PGRES_POLLING_OK : PGRES_POLLING_READING;
}

PostgresPollingStatusType open_poll(struct handle *handle, bool reset) {
    struct server *server = lease_held(handle);
    if (!server && handle->opening)
        return poll_joined(handle);
    if (!server)
        return handle->status == CONNECTION_OK ? PGRES_POLLING_OK : PGRES_POLLING_FAILED;
    if (server->generation != process_generation || atomic_load(&server->forked)) {
        if (!lease_take(handle)) /* claims it, or says whose it is */
            return PGRES_POLLING_FAILED;
    }
    if (handle->opening)
        return poll_open_one(handle, server);
    struct libpq *libpq = handle->libpq;
    if (server->state != SERVER_OPENING)
        return reset ? libpq->PQresetPoll(server->conn) : libpq->PQconnectPoll(server->conn);
    hide_wait(handle);
    PostgresPollingStatusType status =
        reset ? libpq->PQresetPoll(server->conn) : libpq->PQconnectPoll(server->conn);
    if (status == PGRES_POLLING_OK) {
        open_completed(handle, server);
        starting_ends(handle);
    } else if (status == PGRES_POLLING_FAILED) {
        server->state = SERVER_OWN;
        handle->status = CONNECTION_BAD;
        starting_ends(handle);
        PostgresPollingStatusType shared = reset ? PGRES_POLLING_FAILED : take_part(handle, server);
        if (shared != PGRES_POLLING_FAILED)
            return shared;
        if (!reset)
            count_as_failed(handle);
    }
    show_wait(handle, server, status);
    return status;
}
