/* delivery.c: hands connections to handles whose query waits for one while their thread goes on. */
#define _GNU_SOURCE
#include "delivery.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grower.h"
#include "growth.h"
#include "housekeeping.h"
#include "lease.h"
#include "offline.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "wait.h"
#include "watch/call_site.h"
#include "watch/log.h"

enum { LOOK_AGAIN = 250000000 }; /* nanoseconds between two looks at who waits */

#define CANCELLED "57014"
#define NO_ROOM "53300"
#define NO_CONNECTION "08006"

static struct waiter *posted(const struct handle *handle) {
    return atomic_load_explicit(&handle->posted, memory_order_relaxed);
}

static void append(struct outbox *outbox, struct letter *letter) {
    if (outbox->last)
        outbox->last->next = letter;
    else
        outbox->first = letter;
    outbox->last = letter;
    outbox->queries += letter->kind <= LETTER_SYNC_UNFLUSHED;
}

/* Out of the queue, with its end known to the owner. Under the set lock. */
static void conclude(struct set *set, struct waiter *waiter, enum turn turn) {
    wait_remove(set, waiter);
    waiter->turn = turn;
    sem_post(&waiter->woken);
}

static void show_failure(const struct handle *handle) {
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_signal(descriptor);
}

static void fail(struct set *set, struct waiter *waiter, enum failure failure) {
    waiter->failure = failure;
    show_failure(waiter->handle);
    conclude(set, waiter, TURN_FAILED);
}

void delivery_fail(struct set *set, struct waiter *waiter, char *problem) {
    waiter->problem = problem;
    fail(set, waiter, FAILURE_LIBPQ);
}

bool delivery_post(struct handle *handle, struct letter *letter, bool pipeline) {
    struct set *set = handle->set;
    struct waiter *waiter = posted(handle);
    bool fresh = !waiter;
    if (fresh && !(waiter = wait_new(handle, true)))
        return false;
    pthread_mutex_lock(&set->lock);
    bool aborted = waiter->turn == TURN_FAILED && waiter->outbox.pipeline;
    bool accepted = waiter->turn == TURN_WAITING || aborted;
    if (accepted) {
        append(&waiter->outbox, letter);
        atomic_store(&handle->queries, waiter->outbox.queries);
    }
    if (fresh) {
        waiter->outbox.pipeline = pipeline;
        waiter->deadline = waiter->seen + settings()->wait_timeout;
        /* Its last connection may be the one that it will get: the lease is not its own before it collects.
         */
        atomic_store(&handle->server, NULL);
        atomic_store(&handle->withdrawn, false);
        atomic_store(&handle->posted, waiter);
        wait_add(set, waiter);
        wait_hand_over(set); /* who released just before saw nobody waiting */
    }
    pthread_mutex_unlock(&set->lock);
    if (aborted)
        show_failure(handle);
    if (fresh) {
        atomic_fetch_add(&recorder()->counters.waits, 1);
        deliver(set);
        housekeeping_start(recorder_now() + LOOK_AGAIN);
    }
    return accepted;
}

/* Without a lock; connection and handle are the deliverer's while the turn is SENDING. */
enum delivered { DELIVERED, UNUSABLE, WITHDRAWN, REFUSED };

static enum delivered send_for(struct waiter *waiter, struct server *server) {
    struct handle *handle = waiter->handle;
    uint64_t number = atomic_load(&handle->number);
    /* A cancel says `withdrawn` and then waits for this to be over: one of the two sees the other. */
    atomic_store(&handle->sending, true);
    if (atomic_load(&handle->withdrawn))
        return WITHDRAWN;
    if (!lease_is_usable(handle, server))
        return UNUSABLE;
    atomic_fetch_add_explicit(&server->row->leases, 1, memory_order_relaxed);
    server->dressed = 0;
    if (!outbox_send(&waiter->outbox, server, number)) {
        waiter->problem = strdup(server->libpq->PQerrorMessage(server->conn));
        lease_drop(server);
        return REFUSED;
    }
    handle->pushes = server->libpq->PQflush(server->conn) == 1;
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_follow(descriptor, server, handle->pushes ? AWAIT_PUSH : AWAIT_INPUT);
    return DELIVERED;
}

/* Under the set lock. */
static void settle(struct set *set, struct waiter *waiter, struct server *server, enum delivered outcome) {
    struct handle *handle = waiter->handle;
    if (outcome == DELIVERED)
        atomic_store(&handle->sent_on, server);
    atomic_store(&handle->sending, false);
    switch (outcome) {
    case DELIVERED:
        conclude(set, waiter, TURN_SENT);
        break;
    case UNUSABLE: /* it is gone; its place in the queue is as it was */
        waiter->granted = NULL;
        waiter->turn = TURN_WAITING;
        wait_hand_over(set);
        break;
    case WITHDRAWN:
        waiter->granted = NULL;
        fail(set, waiter, FAILURE_CANCELLED);
        atomic_store(&server->lease, LEASE_FREE(0));
        wait_hand_over(set);
        break;
    case REFUSED:
        waiter->granted = NULL;
        fail(set, waiter, FAILURE_LIBPQ);
        break;
    }
}

static struct waiter *next_granted(const struct set *set) {
    struct waiter *waiter = set->waiters;
    while (waiter && waiter->turn != TURN_GRANTED)
        waiter = waiter->next;
    return waiter;
}

void deliver(struct set *set) {
    struct quiet quiet; /* left in the middle by a signal handler, a turn would be SENDING for ever */
    struct waiter *waiter;
    quiet_begin(&quiet);
    pthread_mutex_lock(&set->lock);
    while ((waiter = next_granted(set))) {
        struct server *server = waiter->granted;
        waiter->turn = TURN_SENDING;
        pthread_mutex_unlock(&set->lock);
        enum delivered outcome = send_for(waiter, server);
        pthread_mutex_lock(&set->lock);
        settle(set, waiter, server, outcome);
    }
    bool grow = !set->growing && grower_is_wanted(set);
    pthread_mutex_unlock(&set->lock);
    quiet_end(&quiet);
    if (grow)
        grower_start(set);
}

/* Under the set lock, given up where somebody is in the middle of it. GRANTED is nobody's last word. */
static enum turn turn_of(struct set *set, struct waiter *waiter) {
    for (;;) {
        if (waiter->turn == TURN_WAITING && atomic_load(&waiter->handle->withdrawn))
            fail(set, waiter, FAILURE_CANCELLED);
        if (waiter->turn != TURN_SENDING && waiter->turn != TURN_GRANTED)
            return waiter->turn;
        bool granted = waiter->turn == TURN_GRANTED;
        pthread_mutex_unlock(&set->lock);
        if (granted)
            deliver(set);
        else
            sched_yield();
        pthread_mutex_lock(&set->lock);
    }
}

/* What was delivered becomes the handle's own. */
static enum turn take_up(struct handle *handle, struct waiter *waiter, enum turn turn, struct outbox *sent) {
    if (turn != TURN_SENT)
        return turn;
    lease_collect(handle, waiter->granted);
    if (waiter->outbox.pipeline)
        handle->pipelined = false; /* the connection is, now */
    *sent = waiter->outbox;
    waiter->outbox = (struct outbox){NULL, NULL, false, 0};
    atomic_store(&handle->posted, NULL);
    atomic_store(&handle->queries, 0);
    atomic_store(&handle->sent_on, NULL);
    wait_free(waiter);
    return turn;
}

enum turn delivery_collect(struct handle *handle, struct outbox *sent) {
    struct set *set = handle->set;
    struct waiter *waiter = posted(handle);
    wait_no_more(waiter);
    pthread_mutex_lock(&set->lock);
    enum turn turn = turn_of(set, waiter);
    pthread_mutex_unlock(&set->lock);
    return take_up(handle, waiter, turn, sent);
}

/* Fails a waiter under the set lock, and says so without it. */
static void time_is_over(struct set *set, struct waiter *waiter) {
    struct holders noted;
    char holders[700], place[16];
    uint32_t site = waiter->handle->site;
    wait_note_holders(set, &noted);
    unsigned open = waiter->open = set->open;
    waiter->holders = noted;
    fail(set, waiter, FAILURE_TIME);
    atomic_fetch_add(&recorder()->counters.wait_timeouts, 1);
    pthread_mutex_unlock(&set->lock); /* the waiter may be gone from here on */
    wait_name_holders(&noted, HOLDERS_IN_LOG, holders, sizeof holders);
    log_event(
        LOG_WAIT, site, 0,
        "no server connection to %s became free in %g s (PQONE_WAIT_TIMEOUT), the query failed; %u open, "
        "leased by the handles opened at %s; waiting: the handle opened at %s",
        set_name(set), (double)settings()->wait_timeout / 1e9, open, holders, log_site(site, place));
    pthread_mutex_lock(&set->lock);
}

enum turn delivery_wait(struct handle *handle, struct outbox *sent) {
    struct set *set = handle->set;
    struct waiter *waiter = posted(handle);
    struct quiet quiet;
    enum turn turn;
    wait_no_more(waiter); /* its last sleep may have been left by longjmp */
    quiet_begin(&quiet);
    pthread_mutex_lock(&set->lock);
    while ((turn = turn_of(set, waiter)) == TURN_WAITING) {
        if (recorder_now() >= waiter->deadline) {
            time_is_over(set, waiter);
            continue;
        }
        /* The thread that sleeps cannot free what it holds itself. */
        if (!waiter->stuck && !set->growing && !wait_can_help(set, handle)) {
            waiter->stuck = true;
            pthread_mutex_unlock(&set->lock);
            deliver(set);
            pthread_mutex_lock(&set->lock);
            continue;
        }
        wait_sleep(set, waiter, &quiet);
    }
    pthread_mutex_unlock(&set->lock);
    quiet_end(&quiet);
    return take_up(handle, waiter, turn, sent);
}

struct waiter *delivery_first_unserved(const struct set *set) {
    struct waiter *waiter = set->waiters;
    while (waiter && !(waiter->posted && waiter->turn == TURN_WAITING))
        waiter = waiter->next;
    return waiter;
}

/* Under the set lock. */
static struct waiter *late_one(struct set *set, int64_t now) {
    struct waiter *waiter = set->waiters;
    while (waiter && !(waiter->posted && waiter->turn == TURN_WAITING && now >= waiter->deadline))
        waiter = waiter->next;
    return waiter;
}

void delivery_look(struct set *set, int64_t now, int64_t *next) {
    struct waiter *late;
    if (!atomic_load(&set->posted))
        return;
    pthread_mutex_lock(&set->lock);
    while ((late = late_one(set, now)))
        time_is_over(set, late);
    for (struct waiter *waiter = set->waiters, *following; waiter; waiter = following) {
        following = waiter->next;
        if (!waiter->posted || waiter->turn != TURN_WAITING)
            continue;
        if (atomic_load(&waiter->handle->withdrawn)) {
            fail(set, waiter, FAILURE_CANCELLED);
            continue;
        }
        int64_t again = waiter->deadline < now + LOOK_AGAIN ? waiter->deadline : now + LOOK_AGAIN;
        waiter->stuck = !wait_posted_can_end(set, waiter, now);
        *next = again < *next ? again : *next;
    }
    pthread_mutex_unlock(&set->lock);
    deliver(set);
}

bool delivery_is_busy(const struct handle *handle) {
    const struct waiter *waiter = posted(handle);
    if (!waiter || waiter->outbox.queries == 0)
        return false;
    pthread_mutex_lock(&handle->set->lock);
    bool failed = waiter->turn == TURN_FAILED;
    pthread_mutex_unlock(&handle->set->lock);
    return !failed;
}

unsigned delivery_queries(const struct handle *handle) {
    return atomic_load_explicit(&handle->queries, memory_order_relaxed);
}

bool delivery_in_pipeline(const struct handle *handle) {
    return posted(handle) && posted(handle)->outbox.pipeline;
}

static void say_that_time_is_over(const struct handle *handle, const struct waiter *waiter, char *text,
                                  size_t size) {
    char holders[700];
    wait_name_holders(&waiter->holders, HOLDERS_IN_MESSAGE, holders, sizeof holders);
    snprintf(
        text, size,
        "pqone: no server connection to %s became free in %g s (PQONE_WAIT_TIMEOUT); %u open, leased by the "
        "handles opened at %s",
        set_name(handle->set), (double)settings()->wait_timeout / 1e9, waiter->open, holders);
}

static PGresult *failure_result(struct handle *handle, struct waiter *waiter) {
    char text[1200];
    const char *sqlstate = NO_CONNECTION;
    switch (waiter->failure) {
    case FAILURE_TIME:
        say_that_time_is_over(handle, waiter, text, sizeof text);
        sqlstate = NO_ROOM;
        break;
    case FAILURE_CANCELLED:
        snprintf(text, sizeof text, "canceling statement due to user request");
        sqlstate = CANCELLED;
        break;
    default:
        snprintf(text, sizeof text, "pqone: no server connection to %s could be had: %s",
                 set_name(handle->set), waiter->problem ? waiter->problem : "out of memory");
        if (waiter->problem && growth_message_is_refusal(waiter->problem))
            sqlstate = NO_ROOM;
    }
    text[strcspn(text, "\n")] = '\0';
    return offline_error(handle, sqlstate, text);
}

static void end_failure(struct handle *handle, struct waiter *waiter) {
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_leave(descriptor);
    atomic_store(&handle->posted, NULL);
    atomic_store(&handle->queries, 0);
    wait_free(waiter);
}

static void drop_first(struct outbox *outbox) {
    struct letter *letter = outbox->first;
    outbox->first = letter->next;
    if (!outbox->first)
        outbox->last = NULL;
    free(letter);
}

/* The letter whose result is next; what has none is skipped. */
static struct letter *next_letter(struct outbox *outbox) {
    while (outbox->first && outbox->first->kind > LETTER_SYNC_UNFLUSHED)
        drop_first(outbox);
    return outbox->first;
}

/* Nothing is left to fetch. A pipeline stays aborted up to its next sync, whatever is still sent into it. */
static void rest_failed(struct handle *handle, struct waiter *waiter) {
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (!waiter->aborted)
        end_failure(handle, waiter);
    else if (descriptor)
        descriptor_leave(descriptor);
}

PGresult *delivery_failure(struct handle *handle) {
    struct waiter *waiter = posted(handle);
    struct libpq *libpq = handle->libpq;
    struct outbox *outbox = &waiter->outbox;
    struct letter *letter = next_letter(outbox);
    bool is_sync = letter && (letter->kind == LETTER_SYNC || letter->kind == LETTER_SYNC_UNFLUSHED);
    PGresult *result = NULL;
    if (letter && is_sync) {
        result = libpq->PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_SYNC);
        waiter->aborted = false;
    } else if (letter && !waiter->answered) {
        result = waiter->aborted ? libpq->PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_ABORTED)
                                 : failure_result(handle, waiter);
        waiter->aborted = outbox->pipeline;
    }
    waiter->answered = letter && !is_sync && !waiter->answered;
    if (letter && !waiter->answered)
        drop_first(outbox);
    /* As in libpq, a pipeline is over with its last sync: the program may leave it without another look. */
    if ((!result || is_sync) && !next_letter(outbox))
        rest_failed(handle, waiter);
    return result;
}

bool delivery_exit_pipeline(struct handle *handle) {
    struct waiter *waiter = posted(handle);
    pthread_mutex_lock(&handle->set->lock);
    bool over = waiter->turn == TURN_FAILED && !next_letter(&waiter->outbox);
    pthread_mutex_unlock(&handle->set->lock);
    if (over)
        end_failure(handle, waiter);
    return over;
}

void delivery_withdraw(struct handle *handle) {
    struct set *set = handle->set;
    struct waiter *waiter = posted(handle);
    struct outbox sent;
    pthread_mutex_lock(&set->lock);
    enum turn turn = turn_of(set, waiter);
    if (turn == TURN_WAITING)
        conclude(set, waiter, TURN_FAILED);
    pthread_mutex_unlock(&set->lock);
    if (take_up(handle, waiter, turn, &sent) == TURN_SENT)
        outbox_clear(&sent);
    else
        end_failure(handle, waiter);
}

void delivery_cancel(struct handle *handle) {
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    atomic_store(&handle->withdrawn, true);
    if (descriptor)
        descriptor_ring(descriptor);
    /* Whoever sends takes no signals meanwhile, so it is another thread than this. */
    while (atomic_load(&handle->sending))
        sched_yield();
}
