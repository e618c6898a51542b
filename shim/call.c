/* call.c: what happens around every call that is forwarded to libpq. */
#define _GNU_SOURCE
#include "call.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carried.h"
#include "closing.h"
#include "delivery.h"
#include "lease.h"
#include "pipeline.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "sockets/wishes.h"
#include "statement.h"
#include "transaction.h"
#include "unused.h"
#include "watch/call_site.h"
#include "watch/log.h"
#include "watch/misuse.h"

enum { OUTLINE = 120 };

/* Of the functions that need the handle's own PGconn, those that only look at it. */
static bool only_looks(const char *function) {
    static const char *const functions[] = {"PQsocket", "PQbackendPID", "PQsslStruct",
                                            "PQgetssl", "PQgetgssctx",  "PQinstanceData"};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(function, functions[i]) == 0)
            return true;
    return false;
}

/* Another thread may be inside the call that was found, or have left it by longjmp. Only the other can tell,
 * by coming back: then it finds who came in between. Unless it can be seen waiting for the server this
 * moment; that is said at once, since what two threads do to a PGconn may be a crash. */
static void come_in_between(struct handle *handle, const struct server *server, const struct call *call) {
    if (server && call_waits_elsewhere(handle, server->conn)) {
        const struct misused what = handle_misused(handle, call->function);
        misuse_happened(MISUSE_TWO_THREADS, &what, call->caller);
        return;
    }
    atomic_store_explicit(&handle->intruder_place, call_site_here(call->caller), memory_order_relaxed);
    atomic_store_explicit(&handle->intruder, call->function, memory_order_release);
}

/* The handle's previous call never came back, or has not yet. Nobody can say what the session is in the
 * middle of, so no one else gets it. */
static void abandon(struct handle *handle, const struct call *call, uint64_t inside) {
    struct server *server = lease_held(handle);
    if (call_thread(inside) != process_thread() && !only_looks(call->function))
        come_in_between(handle, server, call);
    atomic_store_explicit(&handle->inside, 0, memory_order_relaxed);
    if (server && server->state != SERVER_OWN)
        lease_pin(handle, server, PIN_ABANDONED, NULL);
}

static struct reading reading_of(const struct handle *handle, const struct server *held) {
    struct reading reading = {.standard_conforming_strings = true,
                              .backslash_safe_encoding = true,
                              .safe_functions = settings()->safe_functions};
    if (held && atomic_load_explicit(&handle->pin, memory_order_relaxed) != PIN_NONE) {
        /* A pinned handle may have changed how its statements are read. */
        const char *strings = handle->libpq->PQparameterStatus(held->conn, "standard_conforming_strings");
        reading.standard_conforming_strings = strings && strcmp(strings, "on") == 0;
        reading.backslash_safe_encoding =
            handle->identity && handle->identity->backslash_safe_encoding &&
            handle->libpq->PQclientEncoding(held->conn) == handle->identity->client_encoding;
    } else if (handle->identity) {
        reading.standard_conforming_strings = handle->identity->standard_conforming_strings;
        reading.backslash_safe_encoding = handle->identity->backslash_safe_encoding;
    }
    return reading;
}

static void pin_for(struct handle *handle, struct server *server, enum pin_reason reason, const char *query,
                    const struct verdict *verdict) {
    char outline[OUTLINE], what[OUTLINE + 80];
    if (!query || !log_wanted() || atomic_load(&handle->pin) != PIN_NONE) {
        lease_pin(handle, server, reason, NULL);
    } else {
        statement_outline(query, outline, sizeof outline);
        if (verdict->culprit_length)
            snprintf(what, sizeof what, "%.*s in \"%s\"",
                     (int)(verdict->culprit_length < 60 ? verdict->culprit_length : 60), verdict->culprit,
                     outline);
        else
            snprintf(what, sizeof what, "\"%s\"", outline);
        lease_pin(handle, server, reason, what);
    }
    if (query && verdict->taint > handle->taint)
        handle->taint = verdict->taint;
}

static void busy_begins(struct handle *handle) {
    if (atomic_exchange_explicit(&handle->busy, true, memory_order_relaxed))
        return;
    struct ledger_header *ledger = recorder();
    struct ledger_target *row = handle->set->row;
    recorder_count_up(&ledger->counters.busy, &ledger->counters.busy_peak);
    if (row)
        recorder_count_up32(&row->busy, &row->busy_peak);
    if (spans_wanted(ledger))
        spans_busy(&handle->spans, handle_span_owner(handle));
}

static void busy_ends(struct handle *handle) {
    if (!atomic_exchange_explicit(&handle->busy, false, memory_order_relaxed))
        return;
    struct ledger_header *ledger = recorder();
    struct ledger_target *row = handle->set->row;
    if (spans_wanted(ledger))
        spans_idle(&handle->spans);
    atomic_fetch_sub_explicit(&ledger->counters.busy, 1, memory_order_relaxed);
    if (row)
        atomic_fetch_sub_explicit(&row->busy, 1, memory_order_relaxed);
}

static PGconn *enter(struct call *call, struct handle *handle, struct server *server) {
    unused_no_more(handle, "used");
    if (__builtin_expect(atomic_load_explicit(&handle->wishes, memory_order_relaxed) == WISHES_PENDING, 0))
        wishes_fulfil(handle, server);
    call->here = CALL_HERE;
    call->handle = handle;
    call->number = atomic_load_explicit(&handle->number, memory_order_relaxed);
    call->outer = atomic_load_explicit(&handle->inside, memory_order_relaxed);
    call->server = server;
    call->result = NULL;
    call->word = call_word(call);
    atomic_store_explicit(&server->resting, CALL_MOVES, memory_order_relaxed);
    atomic_store_explicit(&handle->inside, call->word, memory_order_relaxed);
    atomic_store_explicit(&handle->speaks, false, memory_order_relaxed);
    struct ledger_handle *row = handle->row;
    atomic_store_explicit(&row->last_used_monotonic, atomic_load_explicit(&handle->now, memory_order_relaxed),
                          memory_order_relaxed);
    /* Nothing is asked yet of a connection that is being opened, and no call would end it. */
    if (!atomic_load_explicit(&handle->busy, memory_order_relaxed) && server->state != SERVER_OPENING)
        busy_begins(handle);
    if (__builtin_expect(handle->pipelined, 0) && server->state == SERVER_OPEN)
        handle->pipelined = !server_enter_pipeline(server);
    return server->conn;
}

/* Another handle's unnamed statement goes; the server then says that there is none. */
static void drop_unnamed(const struct handle *handle, struct server *server) {
    const struct libpq *libpq = handle->libpq;
    uint64_t number = atomic_load_explicit(&handle->number, memory_order_relaxed);
    if (server->parsed_by == number || server->state != SERVER_OPEN ||
        libpq->PQtransactionStatus(server->conn) != PQTRANS_IDLE)
        return;
    libpq->PQclear(libpq->PQexec(server->conn, ""));
    server->parsed_by = number;
}

/* What a letter pins for, it pins from the moment that its connection is the handle's. `read_so`: as its
 * statement was read when it was written; another view of the server may read it in another way. */
static void pin_for_letter(struct handle *handle, struct server *server, const struct letter *letter,
                           const struct identity *read_so) {
    if (server->state == SERVER_OWN || (letter->pin == PIN_NONE && handle->identity == read_so))
        return;
    struct verdict verdict = {.reason = PIN_NONE};
    struct reading reading = reading_of(handle, NULL);
    const char *text = letter->text ? letter->text : letter->statement.text;
    if (text && !letter->drops && !letter->empties)
        verdict = statement_judge(text, &reading);
    enum pin_reason reason =
        letter->pin != PIN_NONE || (letter->number && !letter->taken) ? letter->pin : verdict.reason;
    if (reason != PIN_NONE)
        pin_for(handle, server, reason, text, &verdict);
    handle->rereads |= verdict.rereads || reason == PIN_ENCODING;
    if (reason != PIN_NONE &&
        (verdict.reparses || reason == PIN_PREPARED || (verdict.rereads && carried_holds_literal(handle))))
        carried_surrender(handle, server);
}

static enum turn look_for_delivery(struct handle *handle,
                                   enum turn (*how)(struct handle *, struct outbox *)) {
    struct outbox sent;
    const struct identity *known = handle->identity;
    enum turn turn = how(handle, &sent);
    if (turn == TURN_SENT) {
        for (const struct letter *letter = sent.first; letter; letter = letter->next)
            pin_for_letter(handle, lease_held(handle), letter, known);
        outbox_clear(&sent);
    }
    return turn;
}

/* What no connection was had for is over with its last result. */
static PGresult *failed_result(struct handle *handle) {
    PGresult *result = delivery_failure(handle);
    carried_never_sent(handle);
    if (!handle->posted && handle->busy)
        busy_ends(handle);
    return result;
}

/* As libpq before a new command: what was sent and never fetched is waited for, and thrown away. */
static void wait_for_delivery(struct handle *handle) {
    if (look_for_delivery(handle, delivery_wait) == TURN_FAILED) {
        delivery_withdraw(handle);
        if (handle->busy)
            busy_ends(handle);
    }
}

static inline void start(struct call *call, struct handle *handle) {
    uint64_t outer = atomic_load_explicit(&handle->inside, memory_order_relaxed);
    if (__builtin_expect(outer != 0, 0) && !call_is_on_stack(outer, handle))
        abandon(handle, call, outer);
    call->discard_all = call->posted = call->unsent = call->fetched = false;
    call->named = call->taken = call->settled = false;
    call->query = call->text = NULL;
    call->statement = NULL;
    call->drops = DROPS_NONE;
    atomic_store_explicit(&handle->now, recorder_now(), memory_order_relaxed);
}

static enum pin_reason judge(struct call *call, struct handle *handle, enum pin_reason pin, const char *query,
                             struct verdict *verdict) {
    struct server *held = lease_held(handle);
    if (!query || (held && held->state == SERVER_OWN))
        return pin;
    struct reading reading = reading_of(handle, held);
    *verdict = statement_judge(query, &reading);
    if (__builtin_expect((verdict->traits & STATEMENT_DATABASE_DDL) != 0, 0))
        sets_close_idle(NULL);
    call->discard_all = (verdict->traits & STATEMENT_DISCARD_ALL) != 0;
    if (__builtin_expect(verdict->reason == PIN_PREPARED, 0) && pin == PIN_NONE && !call->named &&
        carried_drops(call, handle, query))
        *verdict = (struct verdict){.reason = PIN_NONE, .traits = verdict->traits, .culprit = query};
    return pin == PIN_NONE ? verdict->reason : pin;
}

/* A new connection gave another view of the server, which may read the text in another way. */
static void judge_again(struct call *call, struct handle *handle, struct verdict *verdict) {
    if (call->query && call->pin == PIN_NONE)
        call->pin = judge(call, handle, PIN_NONE, call->query, verdict);
}

/* With a lease that was had just now. */
static PGconn *begin_on(struct call *call, struct handle *handle, struct server *server,
                        const struct verdict *verdict) {
    const char *query = call->query;
    call->text = query;
    /* Who only watches has nothing to keep apart, not even while it is being opened. */
    if (call->pin != PIN_NONE && server->state != SERVER_OWN && settings()->mode != MODE_OBSERVE)
        pin_for(handle, server, call->pin, query, verdict);
    if (__builtin_expect(carried_is_concerned(call, handle, verdict), 0) && server->state == SERVER_OPEN &&
        settings()->mode == MODE_SHARE)
        carried_mind(call, handle, server, verdict);
    if (query && !call->named)
        server_parses(server, atomic_load_explicit(&handle->number, memory_order_relaxed));
    if (__builtin_expect(atomic_load_explicit(&unused_is_watched, memory_order_relaxed), 0) && query)
        unused_note(handle, query);
    PGconn *conn = enter(call, handle, server);
    atomic_store_explicit(&handle->row->statements, handle->row->statements + 1, memory_order_relaxed);
    return conn;
}

static PGconn *begin(struct call *call, struct handle *handle, enum pin_reason pin, const char *query,
                     bool named) {
    struct verdict verdict = {.reason = PIN_NONE};
    start(call, handle);
    call->query = query;
    call->named = named;
    call->sends = false;
    atomic_store_explicit(&handle->speaks, true, memory_order_relaxed);
    if (__builtin_expect(handle->refused, 0))
        return NULL;
    if (__builtin_expect(atomic_load_explicit(&handle->posted, memory_order_relaxed) != NULL, 0))
        wait_for_delivery(handle);
    const struct identity *known = handle->identity;
    call->pin = judge(call, handle, pin, query, &verdict);
    struct server *server = lease_take(handle);
    if (!server)
        return NULL;
    if (__builtin_expect(handle->identity != known, 0))
        judge_again(call, handle, &verdict);
    return begin_on(call, handle, server, &verdict);
}

PGconn *call_begin(struct call *call, struct handle *handle, enum pin_reason pin, const char *query) {
    return begin(call, handle, pin, query, false);
}
PGconn *call_begin_statement(struct call *call, struct handle *handle, const char *text) {
    return begin(call, handle, PIN_NONE, text, true);
}

static void note_execute(struct handle *handle, const char *name) {
    char text[LEDGER_STATEMENT];
    snprintf(text, sizeof text, "EXECUTE %s", name);
    unused_note(handle, text);
}

PGconn *call_begin_named(struct call *call, struct handle *handle, const char *name) {
    PGconn *conn = call_begin(call, handle, PIN_NONE, NULL);
    if (conn && (!name || !name[0]))
        drop_unnamed(handle, call->server);
    else if (conn && atomic_load_explicit(&unused_is_watched, memory_order_relaxed))
        note_execute(handle, name);
    return conn;
}

PGconn *call_begin_held(struct call *call, struct handle *handle) {
    start(call, handle);
    if (__builtin_expect(atomic_load_explicit(&handle->posted, memory_order_relaxed) != NULL, 0))
        look_for_delivery(handle, delivery_collect);
    struct server *server = lease_held(handle);
    if (!server || (__builtin_expect(server->forked || server->generation != process_generation, 0) &&
                    !(server = lease_take(handle))))
        return NULL;
    return enter(call, handle, server);
}

PGconn *call_begin_result(struct call *call, struct handle *handle) {
    call->failure = NULL;
    if (__builtin_expect(atomic_load_explicit(&handle->posted, memory_order_relaxed) != NULL, 0) &&
        delivery_queries(handle) > 0 && look_for_delivery(handle, delivery_wait) == TURN_FAILED) {
        atomic_store(&handle->speaks, true);
        call->failure = failed_result(handle);
        return NULL;
    }
    return call_begin_held(call, handle);
}

static PGconn *begin_send(struct call *call, struct handle *handle, enum pin_reason pin, const char *query,
                          bool named) {
    struct verdict verdict = {.reason = PIN_NONE};
    if (!handle->set->target || settings()->mode != MODE_SHARE) /* it has its own, or is in trouble */
        return begin(call, handle, pin, query, named);
    handle->unsynced = true;
    start(call, handle);
    call->query = query;
    call->named = named;
    call->sends = true;
    call->handle = handle;
    atomic_store_explicit(&handle->speaks, true, memory_order_relaxed);
    if (__builtin_expect(handle->refused, 0))
        return NULL;
    if (__builtin_expect(atomic_load_explicit(&handle->posted, memory_order_relaxed) != NULL, 0) &&
        look_for_delivery(handle, delivery_collect) != TURN_SENT && !delivery_in_pipeline(handle)) {
        handle_say(handle, "another command is already in progress\n");
        return NULL;
    }
    const struct identity *known = handle->identity;
    call->pin = judge(call, handle, pin, query, &verdict);
    /* What it has prepared has to be there first, which takes an answer, once in a session's life. */
    bool waits = __builtin_expect(handle->statements != NULL, 0) && !handle->pipelined &&
                 !call->discard_all &&
                 (verdict.reparses ||
                  ((verdict.rereads || verdict.reparses_locally) && carried_holds_literal(handle)));
    struct server *server = handle->posted ? NULL : waits ? lease_take(handle) : lease_try(handle);
    if (!server && !waits) {
        handle->reparses |= verdict.reparses_locally;
        call->posted = !lease_held(handle); /* else it is another process's, as the message says */
    }
    if (!server)
        return NULL;
    if (__builtin_expect(handle->identity != known, 0))
        judge_again(call, handle, &verdict);
    return begin_on(call, handle, server, &verdict);
}

PGconn *call_begin_send(struct call *call, struct handle *handle, enum pin_reason pin, const char *query) {
    return begin_send(call, handle, pin, query, false);
}
PGconn *call_begin_send_statement(struct call *call, struct handle *handle, const char *text) {
    return begin_send(call, handle, PIN_NONE, text, true);
}

PGconn *call_begin_send_named(struct call *call, struct handle *handle, const char **name) {
    PGconn *conn = call_begin_send(call, handle, PIN_NONE, NULL);
    if (!conn)
        return NULL;
    if (atomic_load_explicit(&unused_is_watched, memory_order_relaxed) && *name && *name[0])
        note_execute(handle, *name);
    *name = outbox_statement(call->server, call->number, *name);
    return conn;
}

void call_look_for_delivery(struct handle *handle) {
    look_for_delivery(handle, delivery_collect);
}

int call_socket(struct handle *handle) {
    struct call call;
    CALL_FROM(&call, "PQsocket");
    PGconn *conn = call_begin(&call, handle, PIN_SOCKET, NULL);
    if (!conn)
        return -1;
    int number = handle->libpq->PQsocket(conn);
    call_end(&call);
    return number;
}

PGconn *call_begin_later(struct call *call, struct handle *handle) {
    PGconn *conn = call_begin_held(call, handle);
    call->handle = handle;
    call->pin = PIN_NONE;
    call->posted = !conn && handle->posted;
    return conn;
}

PGconn *call_begin_sync(struct call *call, struct handle *handle) {
    bool begins = handle->pipelined && !handle->posted;
    PGconn *conn = begins ? call_begin_send(call, handle, PIN_NONE, NULL) : call_begin_later(call, handle);
    handle->unsynced = false;
    if (begins)
        return conn;
    call->posted = call->posted && delivery_in_pipeline(handle);
    if (!conn && !call->posted) {
        handle_say(handle, "cannot send pipeline when not in pipeline mode\n");
        atomic_store(&handle->speaks, true);
    }
    return conn;
}

int call_post(struct call *call, struct letter *letter) {
    struct handle *handle = call->handle;
    const struct identity *read_so = handle->identity;
    int error = errno, result = 1;
    bool text = letter->text;
    while (!delivery_post(handle, letter, handle->pipelined)) {
        enum turn turn = handle->posted ? look_for_delivery(handle, delivery_collect) : TURN_FAILED;
        if (turn == TURN_WAITING)
            continue;
        if (turn == TURN_SENT && call_begin_held(call, handle)) {
            pin_for_letter(handle, call->server, letter, read_so);
            result = letter_send(letter, call->server, call->number);
            call_end(call);
        } else if (!handle->posted) {
            handle_say(handle, "out of memory\n");
            result = 0;
        }
        free(letter);
        errno = error;
        return result;
    }
    handle_say(handle, "");
    unused_no_more(handle, "used");
    if (call->query && atomic_load_explicit(&unused_is_watched, memory_order_relaxed))
        unused_note(handle, call->query);
    if (!handle->busy)
        busy_begins(handle);
    if (text)
        atomic_store_explicit(&handle->row->statements, handle->row->statements + 1, memory_order_relaxed);
    errno = error;
    return 1;
}

/* The program itself made its session new: what pinned it is gone. */
static void session_is_new(struct handle *handle, struct server *server) {
    uint32_t lifted = 0;
    for (uint32_t reason = 0; reason < PIN_REASONS; reason++)
        if (reason != PIN_MODE && pin_row(reason)->taint == TAINT_RESETTABLE)
            lifted |= UINT32_C(1) << reason;
    if (handle->taint != TAINT_UNKNOWN)
        lease_unpin(handle, server, lifted);
    carried_discarded(handle, server);
}

/* The session ended under the handle. It keeps the remains, as without us: its next calls get libpq's own
 * error, and PQreset and PQfinish work on them. Others need not wait for it. */
static void keep_remains(struct handle *handle, struct server *server) {
    handle->status = CONNECTION_BAD;
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    if (descriptor)
        descriptor_leave(descriptor);
    if (server->state != SERVER_OPEN)
        return;
    struct set *set = server->set;
    pthread_mutex_lock(&set->lock);
    set_remove_server(set, server);
    pthread_mutex_unlock(&set->lock);
}

/* The handle's innermost call is not this one: a callback was left by longjmp inside it, which is the
 * program's business, or another thread came in while this one was on its way. */
static void look_for_intruder(struct handle *handle, struct call *call) {
    const char *function = atomic_exchange_explicit(&handle->intruder, NULL, memory_order_acquire);
    if (!function) {
        atomic_store_explicit(&handle->inside, call->outer, memory_order_relaxed);
        return;
    }
    const struct misused what = handle_misused(handle, function);
    misuse_found(MISUSE_TWO_THREADS, &what,
                 atomic_load_explicit(&handle->intruder_place, memory_order_relaxed), 1);
}

/* What was delivered is pushed out by the handle's own calls, without which libpq would not send more. Then
 * the connection becomes blocking again, if the program's is. */
static enum await push(struct handle *handle, struct server *server) {
    if (handle->libpq->PQflush(server->conn) == 1)
        return AWAIT_PUSH;
    handle->pushes = false;
    if (!handle->manners.nonblocking)
        handle->libpq->PQsetnonblocking(server->conn, 0);
    return AWAIT_INPUT;
}

/* The lease goes on: who is next to move, the program or the server, and what its number is to show. */
static void stay(struct handle *handle, struct server *server, const struct call *call,
                 PGTransactionStatusType status) {
    bool rests = status != PQTRANS_ACTIVE || call->fetched || call->result;
    atomic_store_explicit(&server->unread, status == PQTRANS_ACTIVE, memory_order_relaxed);
    atomic_store_explicit(&server->resting, rests ? recorder_now() : SERVER_MOVES, memory_order_relaxed);
    enum await await = AWAIT_INPUT;
    if (call->unsent && handle->manners.nonblocking) {
        handle->pushes = false; /* the program knows now, and sees to it */
        await = AWAIT_ROOM;
    } else if (__builtin_expect(handle->pushes, 0)) {
        await = push(handle, server);
    }
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    if (__builtin_expect(descriptor != NULL, 0))
        descriptor_follow(descriptor, server, await);
}

void call_end(struct call *call) {
    int saved_errno = errno;
    struct handle *handle = call->handle;
    struct server *server = call->server;
    struct libpq *libpq = handle->libpq;
    call->here = 0;
    if (__builtin_expect(atomic_load_explicit(&handle->number, memory_order_relaxed) != call->number, 0)) {
        errno = saved_errno; /* another thread finished it: its memory may be another handle's by now */
        return;
    }
    /* A long call was in use to its end, which the housekeeper must know before it sees nobody inside. */
    if (__builtin_expect(atomic_load_explicit(&unused_is_watched, memory_order_relaxed), 0))
        atomic_store_explicit(&handle->now, recorder_now(), memory_order_relaxed);
    if (__builtin_expect(atomic_load_explicit(&handle->inside, memory_order_relaxed) != call->word, 0))
        look_for_intruder(handle, call);
    else
        atomic_store_explicit(&handle->inside, call->outer, memory_order_release);
    if (call->outer)
        return;
    PGTransactionStatusType status = libpq->PQtransactionStatus(server->conn);
    if (status == PQTRANS_IDLE && pipeline_is_at_rest(handle, server)) {
        if (atomic_load_explicit(&handle->busy, memory_order_relaxed))
            busy_ends(handle);
        transaction_ends(handle);
        if (__builtin_expect(handle->unproven || server->parses_unproven, 0))
            carried_pipeline_over(handle, server); /* all its answers were read, and none was an error */
        if (call->discard_all && libpq->PQerrorMessage(server->conn)[0] == '\0')
            session_is_new(handle, server);
        if (__builtin_expect(handle->reparses, 0))
            handle->reparses = false;
        if (atomic_load_explicit(&handle->pin, memory_order_relaxed) == PIN_NONE &&
            server->state == SERVER_OPEN) {
            /* From here on somebody else may have it: what the handle is asked next it answers itself. */
            const char *error = libpq->PQerrorMessage(server->conn);
            if (error[0] != '\0' || handle->error_size)
                handle_say(handle, error);
            lease_release(handle, server);
        } else {
            stay(handle, server, call, status);
        }
    } else if (status == PQTRANS_UNKNOWN && server->state != SERVER_OPENING) {
        handle->pushes = false;
        if (atomic_load_explicit(&handle->busy, memory_order_relaxed))
            busy_ends(handle);
        keep_remains(handle, server);
    } else {
        if (__builtin_expect(atomic_load_explicit(&results_are_kept, memory_order_relaxed), 0) &&
            status != PQTRANS_UNKNOWN)
            transaction_goes_on(handle, call, status);
        if (__builtin_expect(call->discard_all, 0))
            carried_discarded(handle, server); /* sent, with no transaction that it would be refused in */
        if (server->state != SERVER_OPENING)
            stay(handle, server, call, status);
    }
    if (__builtin_expect(handle->finished_at != NULL, 0))
        close_at_last(handle);
    errno = saved_errno;
}

PGconn *call_begin_copy(struct call *call, struct handle *handle) {
    PGconn *conn = call_begin_held(call, handle);
    if (!conn)
        handle_say(handle, "no COPY in progress\n");
    return conn;
}
