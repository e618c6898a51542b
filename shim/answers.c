/* answers.c: what a handle says of itself. */
#define _GNU_SOURCE
#include "answers.h"

#include <string.h>

#include "call.h"
#include "delivery.h"
#include "lease.h"
#include "pipeline.h"
#include "settings.h"
#include "sockets/descriptor.h"

/* libpq's PGconn if the handle holds one, else NULL. */
static PGconn *held(const struct handle *handle) {
    struct server *server = lease_held(handle);
    return server ? server->conn : NULL;
}

/* The same, if the connection can never be another's: what libpq points to then lives as long as the
 * handle's own PGconn would. */
static PGconn *owned(const struct handle *handle) {
    struct server *server = lease_held(handle);
    return server && server->state != SERVER_OPEN ? server->conn : NULL;
}

/* The question is the same for all that is fixed at the connect: libpq's function, or the field. */
#define FIXED(handle, function, field, otherwise)                  \
    (owned(handle)      ? (handle)->libpq->function(owned(handle)) \
     : handle->identity ? handle->identity->field                  \
                        : (otherwise))

char *answer_PQdb(struct handle *handle) {
    return FIXED(handle, PQdb, db, NULL);
}
char *answer_PQuser(struct handle *handle) {
    return FIXED(handle, PQuser, user, NULL);
}
char *answer_PQpass(struct handle *handle) {
    return FIXED(handle, PQpass, pass, NULL);
}
char *answer_PQhost(struct handle *handle) {
    return FIXED(handle, PQhost, host, NULL);
}
char *answer_PQhostaddr(struct handle *handle) {
    return FIXED(handle, PQhostaddr, hostaddr, NULL);
}
char *answer_PQport(struct handle *handle) {
    return FIXED(handle, PQport, port, NULL);
}
char *answer_PQtty(struct handle *handle) {
    return FIXED(handle, PQtty, tty, NULL);
}
char *answer_PQoptions(struct handle *handle) {
    return FIXED(handle, PQoptions, options, NULL);
}

/* What it would connect with, also while it connects or waits, and then nobody's PGconn can be asked. */
PQconninfoOption *answer_PQconninfo(struct handle *handle) {
    const struct target *target = handle->set->target;
    if (held(handle) || !target)
        return handle->libpq->PQconninfo(held(handle));
    PQconninfoOption *options = handle->libpq->PQconninfoParse("", NULL);
    for (PQconninfoOption *option = options; option && option->keyword; option++) {
        const char *value = target_value(target, option->keyword);
        option->val = value ? strdup(value) : NULL; /* PQconninfoFree() frees it */
    }
    return options;
}

int answer_PQprotocolVersion(struct handle *handle) {
    return FIXED(handle, PQprotocolVersion, protocol_version, 0);
}
int answer_PQfullProtocolVersion(struct handle *handle) {
    return FIXED(handle, PQfullProtocolVersion, full_protocol_version, 0);
}
int answer_PQserverVersion(struct handle *handle) {
    return FIXED(handle, PQserverVersion, server_version, 0);
}
int answer_PQconnectionNeedsPassword(struct handle *handle) {
    return FIXED(handle, PQconnectionNeedsPassword, needs_password, 0);
}
int answer_PQconnectionUsedPassword(struct handle *handle) {
    return FIXED(handle, PQconnectionUsedPassword, used_password, 0);
}
int answer_PQconnectionUsedGSSAPI(struct handle *handle) {
    return FIXED(handle, PQconnectionUsedGSSAPI, used_gssapi, 0);
}
int answer_PQsslInUse(struct handle *handle) {
    return FIXED(handle, PQsslInUse, ssl_in_use, 0);
}
int answer_PQgssEncInUse(struct handle *handle) {
    return FIXED(handle, PQgssEncInUse, gss_in_use, 0);
}
int answer_PQclientEncoding(struct handle *handle) {
    return held(handle)       ? handle->libpq->PQclientEncoding(held(handle))
           : handle->identity ? handle->identity->client_encoding
                              : -1;
}

ConnStatusType answer_PQstatus(struct handle *handle) {
    if (handle->opening)
        return CONNECTION_STARTED;
    return held(handle) ? handle->libpq->PQstatus(held(handle)) : handle->status;
}

/* Whoever asks may not be the thread that is in a call on the handle: what was delivered is not collected
 * here. */
PGTransactionStatusType answer_PQtransactionStatus(struct handle *handle) {
    if (held(handle))
        return handle->libpq->PQtransactionStatus(held(handle));
    if (delivery_queries(handle) > 0)
        return PQTRANS_ACTIVE;
    return handle->status == CONNECTION_OK ? PQTRANS_IDLE : PQTRANS_UNKNOWN;
}

PGpipelineStatus answer_PQpipelineStatus(struct handle *handle) {
    return held(handle) ? handle->libpq->PQpipelineStatus(held(handle)) : pipeline_status(handle);
}

char *answer_PQerrorMessage(struct handle *handle) {
    static char none[] = "";
    if (held(handle) && !handle->speaks)
        return handle->libpq->PQerrorMessage(held(handle));
    return handle->error ? handle->error : none;
}

/* A configuration reload reaches an idle session with its next exchange, whoever's that is. So a session of
 * the set is asked if one is free this instant; the handle keeps the text, for the pointer is the program's.
 */
const char *answer_PQparameterStatus(struct handle *handle, const char *name) {
    struct libpq *libpq = handle->libpq;
    if (owned(handle) || !name)
        return libpq->PQparameterStatus(held(handle), name);
    if (held(handle))
        return handle_keep_parameter(handle, name, libpq->PQparameterStatus(held(handle), name));
    if (!name || !handle->identity)
        return NULL;
    struct server *server = handle->posted ? NULL : lease_try(handle);
    if (!server)
        return identity_value(handle->identity->parameters, name);
    const char *value = handle_keep_parameter(handle, name, libpq->PQparameterStatus(server->conn, name));
    lease_release(handle, server);
    return value;
}

/* For no connection libpq names the attributes of its own TLS library, and for "library" that one. */
const char *answer_PQsslAttribute(struct handle *handle, const char *name) {
    if (owned(handle))
        return handle->libpq->PQsslAttribute(owned(handle), name);
    return name && handle->identity ? identity_value(handle->identity->ssl_attributes, name) : NULL;
}

const char *const *answer_PQsslAttributeNames(struct handle *handle) {
    return handle->libpq->PQsslAttributeNames(held(handle));
}

int answer_PQisnonblocking(struct handle *handle) {
    return handle->manners.nonblocking;
}

/* A handle that shares has a number of its own for life; any other has its connection's socket. Where no
 * number can be made the handle keeps its connection instead. */
int answer_PQsocket(struct handle *handle) {
    struct descriptor *descriptor = atomic_load_explicit(&handle->descriptor, memory_order_relaxed);
    struct server *server = lease_held(handle);
    int socket = server ? handle->libpq->PQsocket(server->conn) : -1;
    bool shares = handle->set->target && !handle->set->target->replication && settings()->mode == MODE_SHARE;
    if (server ? socket < 0 : handle->status != CONNECTION_OK && !handle->opening)
        return -1;
    if (descriptor)
        return descriptor_number(descriptor);
    if (server && (!shares || server->state == SERVER_OWN))
        return socket;
    if (handle->reasons & UINT32_C(1) << PIN_SOCKET || !(descriptor = descriptor_new(handle)))
        return call_socket(handle);
    atomic_store(&handle->descriptor, descriptor);
    if (__builtin_expect(handle->posted != NULL, 0))
        call_look_for_delivery(handle);              /* what was delivered before had no number to show it */
    if (handle->posted && !delivery_is_busy(handle)) /* nor had what failed before */
        descriptor_signal(descriptor);
    if ((server = lease_held(handle)))
        descriptor_follow(descriptor, server,
                          server->state == SERVER_OPENING ? AWAIT_ROOM
                          : handle->pushes                ? AWAIT_PUSH
                                                          : AWAIT_INPUT);
    return descriptor_number(descriptor);
}
