/* reopening.c: PQreset, a fresh session for one handle. */
#define _GNU_SOURCE
#include "claim.h"
#include "closing.h"
#include "delivery.h"
#include "lease.h"
#include "opening.h"
#include "prepared.h"
#include "sockets/descriptor.h"
#include "sockets/wishes.h"
#include "starting.h"

/* The connection that PQreset is to renew, taken out of its set, or NULL: the handle holds none and none
 * is free, or what it holds is another process's. */
static struct server *take_for_reset(struct handle *handle) {
    struct server *server = lease_held(handle);
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (descriptor)
        descriptor_leave(descriptor); /* libpq is about to close the socket that it mirrors */
    if (server &&
        (server->generation != process_generation || (server->forked && !claim_try(server->claim)))) {
        close_lease(handle, server); /* silently: it is not ours to end */
        handle->reasons = 0;
        handle->taint = TAINT_UNTOUCHED;
        atomic_store(&handle->pin, PIN_NONE);
        server = NULL;
    }
    if (!server)
        server = lease_try(handle);
    if (!server)
        return NULL;
    if (server->state == SERVER_OPEN) {
        pthread_mutex_lock(&server->set->lock);
        set_remove_server(server->set, server);
        pthread_mutex_unlock(&server->set->lock);
    }
    return server;
}

/* The session is new: of what pinned the handle, only what is not of the session stays. */
static void forget_session(struct handle *handle, struct server *server) {
    const uint32_t stays = UINT32_C(1) << PIN_EVENTS | UINT32_C(1) << PIN_TRACE | UINT32_C(1) << PIN_MODE;
    lease_unpin(handle, server, ~stays);
}

/* What it sent or set and no connection was had for yet is not sent any more, and what it joined not waited
 * for. */
static void forget_sent(struct handle *handle) {
    wishes_forget(handle); /* of the old socket */
    handle->pipelined = false;
    handle->opening = false;
    starting_ends(handle);
    if (handle->posted)
        delivery_withdraw(handle);
    prepared_clear(&handle->statements);
    handle->unproven = handle->natural = handle->reparses = handle->rereads = false;
}

void open_again(struct handle *handle) {
    struct libpq *libpq = handle->libpq;
    if (handle->refused)
        return;
    forget_sent(handle);
    struct server *server = take_for_reset(handle);
    if (!server) {
        /* Nothing is free: a connection more is as fresh as any. */
        if ((server = lease_take(handle)))
            lease_release(handle, server);
        else
            handle->status = CONNECTION_BAD;
        return;
    }
    server_forget(server);
    libpq->PQreset(server->conn);
    forget_session(handle, server);
    if (libpq->PQstatus(server->conn) == CONNECTION_OK)
        open_completed(handle, server);
    else
        handle->status = CONNECTION_BAD;
}

int open_again_start(struct handle *handle) {
    struct libpq *libpq = handle->libpq;
    if (handle->refused)
        return 0;
    forget_sent(handle);
    struct server *server = take_for_reset(handle);
    if (!server) { /* all are in use: one more, for which nobody is waited for */
        server = open_own_start(handle);
        if (!server || server->state != SERVER_OPENING)
            return 0;
        handle->status = CONNECTION_BAD;
        lease_pin(handle, server, PIN_CONNECTING, NULL);
        return 1;
    }
    server_forget(server);
    int started = libpq->PQresetStart(server->conn);
    forget_session(handle, server);
    handle->status = CONNECTION_BAD;
    if (started) {
        server->state = SERVER_OPENING;
        lease_pin(handle, server, PIN_CONNECTING, NULL);
    }
    return started;
}
