/* closing.c: decides after PQfinish whether a session may serve anybody else. */
#define _GNU_SOURCE
#include "closing.h"

#include "call.h"
#include "claim.h"
#include "delivery.h"
#include "housekeeping.h"
#include "lease.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "starting.h"
#include "transaction.h"
#include "unused.h"
#include "watch/call_site.h"
#include "watch/misuse.h"
#include "watch/runtime.h"

/* Nothing of the session is another's business if it ended, is in the middle of something, or may carry
 * what a reset does not reach. */
static bool must_close(const struct handle *handle, const struct server *server,
                       PGTransactionStatusType status) {
    return server->state != SERVER_OPEN || server->generation != process_generation ||
           handle->taint == TAINT_UNKNOWN || atomic_load(&server->spent) || status == PQTRANS_ACTIVE ||
           status == PQTRANS_UNKNOWN || handle->libpq->PQpipelineStatus(server->conn) != PQ_PIPELINE_OFF;
}

static void clean(struct server *server, bool rollback, bool reset) {
    atomic_store(&server->lease, LEASE_ENGINE);
    if (!server_start_cleaning(server, rollback, reset)) {
        lease_drop(server);
        return;
    }
    lease_settled(server, SETTLE_LATER);
    housekeeping_start(recorder_now());
}

void close_lease(struct handle *handle, struct server *server) {
    struct libpq *libpq = handle->libpq;
    PGTransactionStatusType status = libpq->PQtransactionStatus(server->conn);
    bool shared_by_fork = server->forked && server->generation == process_generation;
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_leave(descriptor);
    atomic_store(&server->pinned, false);
    atomic_store_explicit(&handle->server, NULL, memory_order_relaxed);
    if (must_close(handle, server, status) || (shared_by_fork && !claim_try(server->claim))) {
        if (server->state == SERVER_OPEN)
            lease_drop(server);
        else
            server_close(server);
        return;
    }
    bool rollback = status != PQTRANS_IDLE;
    bool reset = handle->taint == TAINT_RESETTABLE;
    if (rollback || reset) {
        clean(server, rollback, reset);
        return;
    }
    if (handle->reasons & UINT32_C(1) << PIN_TRACE)
        libpq->PQuntrace(server->conn);
    atomic_store(&server->lease, LEASE_ENGINE);
    lease_set_free(server);
}

/* Counts a handle that a runtime's shutdown finishes. True: its row is to be kept, as one of the first of its
 * call site. The look at the stack costs more than a connect that shares: only who watches pays for it. */
static bool was_left(struct handle *handle, struct ledger_site *site, void *caller) {
    enum ledger_runtime runtime =
        settings()->mode == MODE_OBSERVE ? runtime_shutting_down() : LEDGER_NO_RUNTIME;
    if (runtime == LEDGER_NO_RUNTIME)
        return false;
    atomic_fetch_add(&recorder()->counters.left, 1);
    spans_became(&handle->spans, LEDGER_HANDLE_LEFT);
    if (!site || atomic_fetch_add(&site->left, 1) >= LEDGER_LEFT_LISTED ||
        !recorder_handle_may_stay(handle->row))
        return false;
    handle->row->runtime = runtime;
    handle->row->ended = call_site_here(caller);
    return true;
}

/* What the row is to say from now on: FREE, or how the handle ended. */
static enum ledger_handle_state count_out(struct handle *handle, void *caller) {
    struct ledger_header *ledger = recorder();
    struct ledger_site *site = recorder_site(handle->site);
    struct ledger_target *target = handle->set->row;
    if (handle->inherited) { /* this process never counted it in */
        spans_became(&handle->spans, LEDGER_HANDLE_HANDED);
        spans_close(&handle->spans);
        return settings()->mode == MODE_OBSERVE ? LEDGER_HANDLE_HANDED : LEDGER_HANDLE_FREE;
    }
    bool remembered = was_left(handle, site, caller);
    spans_close(&handle->spans);
    atomic_fetch_add(&ledger->counters.handles_finished, 1);
    atomic_fetch_sub(&ledger->counters.handles_alive, 1);
    atomic_fetch_add(&ledger->counters.statements, atomic_load(&handle->row->statements));
    if (site) {
        atomic_fetch_add(&site->finished, 1);
        atomic_fetch_sub(&site->alive, 1);
    }
    if (target)
        atomic_fetch_sub(&target->alive, 1);
    if (handle->busy) {
        atomic_fetch_sub(&ledger->counters.busy, 1);
        if (target)
            atomic_fetch_sub(&target->busy, 1);
    }
    return remembered ? LEDGER_HANDLE_LEFT : LEDGER_HANDLE_FREE;
}

/* Whoever looks for unused handles finds this one no more: only now may its row be another handle's. One that
 * found no row of its own has nothing to remember. */
static void close_row(struct handle *handle, enum ledger_handle_state state) {
    struct ledger_handle *row = handle->row;
    unused_no_more(handle, "finished");
    if (state == LEDGER_HANDLE_FREE || row->address == 0) {
        recorder_handle_close(row);
        return;
    }
    row->ended_monotonic = recorder_now();
    atomic_store_explicit(&row->state, (uint32_t)state, memory_order_release);
}

static void close_now(struct handle *handle, struct server *server, void *caller) {
    struct set *set = handle->set;
    if (server && results_are_kept && server->generation == process_generation)
        transaction_finished(handle, server, caller);
    if (handle->waiter)
        lease_stop_waiting(handle);
    if (handle->posted) {
        delivery_withdraw(handle);
        server = lease_held(handle);
    }
    enum ledger_handle_state state = count_out(handle, caller);
    if (server)
        close_lease(handle, server);
    starting_ends(handle);
    set_remove_handle(set, handle);
    if (handle->descriptor)
        descriptor_free(handle->descriptor);
    close_row(handle, state);
    handle_free(handle);
    set_put(set);
}

void close_at_last(struct handle *handle) {
    close_now(handle, lease_held(handle), handle->finished_at);
}

void close_handle(struct handle *handle, const PGconn *conn, void *caller) {
    if (!handle_retire(handle, conn)) { /* another thread finished it in the same moment */
        handle_was_finished(conn, "PQfinish", caller);
        return;
    }
    struct server *server = lease_held(handle);
    uint64_t inside = atomic_load(&handle->inside);
    if (inside && call_is_on_stack(inside, handle)) {
        const struct misused what = handle_misused(handle, "PQfinish");
        misuse_happened(MISUSE_FINISH_IN_CALL, &what, caller);
        handle->finished_at = caller;
        return;
    }
    if (server && inside && call_waits_elsewhere(handle, server->conn)) {
        const struct misused what = handle_misused(handle, "PQfinish");
        misuse_happened(MISUSE_TWO_THREADS, &what, caller); /* now: the other thread may crash */
    }
    close_now(handle, server, caller);
}
