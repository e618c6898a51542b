/* carried.c: calls that name a prepared statement of the handle. */
#define _GNU_SOURCE
#include "carried.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lease.h"
#include "outbox.h"
#include "pipeline.h"
#include "settings.h"
#include "statement_scanner.h"

static bool carries(const struct handle *handle) {
    return !handle->natural && settings()->mode == MODE_SHARE && handle->set->target &&
           !handle->set->target->replication;
}

static PGTransactionStatusType status_of(const struct server *server) {
    return server->libpq->PQtransactionStatus(server->conn);
}

static bool went_well(const struct libpq *libpq, const PGresult *result) {
    return libpq->PQresultStatus(result) == PGRES_COMMAND_OK;
}

static void quietly(void *argument, const PGresult *result) {
    (void)argument;
    (void)result;
}

void carried_be_quiet(struct server *server) {
    server->libpq->PQsetNoticeReceiver(server->conn, quietly, NULL);
}

/* A statement that the connection lacks. NULL: libpq did not even send it. */
static PGresult *prepare_there(struct handle *handle, struct server *server, const char *text, int count,
                               const Oid *types, char name[PREPARED_NAME]) {
    struct libpq *libpq = handle->libpq;
    uint64_t number = prepared_next();
    prepared_write_name(number, name);
    carried_be_quiet(server);
    PGresult *result = libpq->PQprepare(server->conn, name, text, count, types);
    server_dress(server, handle);
    if (went_well(libpq, result))
        prepared_put_on(server, number, text, count, types);
    return result;
}

/* If its connection lacks it: would it be read in another way there now than when it was prepared? */
static bool is_settled(const struct handle *handle, const struct prepared *one) {
    return handle->natural || (handle->reparses && one->literal);
}

/* Gives the name that `one` has on the connection, where it is prepared now if it was not. False: that
 * failed, and `failure` is the program's answer. */
static bool place(struct handle *handle, struct server *server, const struct prepared *one,
                  char name[PREPARED_NAME], PGresult **failure) {
    const struct prepared *there = prepared_on(server, one);
    if (there) {
        prepared_write_name(there->number, name);
        return true;
    }
    if (is_settled(handle, one)) {
        snprintf(name, PREPARED_NAME, "%s", prepared_nobodys);
        return true;
    }
    *failure = prepare_there(handle, server, one->text, one->count, one->types, name);
    if (!went_well(handle->libpq, *failure))
        return false;
    handle->libpq->PQclear(*failure);
    *failure = NULL;
    return true;
}

static PGresult *give(struct call *call, struct handle *handle, PGresult *result) {
    call_gave(call, handle, result);
    call_end(call);
    return result;
}

static void forget(struct handle *handle, const char *name) {
    const struct prepared *old = prepared_named(handle->statements, name);
    if (old)
        prepared_remove(&handle->statements, old);
}

void carried_forget_unnamed(struct handle *handle) {
    forget(handle, "");
}

/* A lease that does not end leaves the server no time to be rid of them. */
static void drop_unnamed(struct handle *handle, struct server *server) {
    const struct prepared *old = prepared_named(handle->statements, ""), *there = server->prepared;
    PGTransactionStatusType status = status_of(server);
    while (old && there && there->number != old->number)
        there = there->next;
    if (!old || !there || pipeline_is_on(handle, server) ||
        (status != PQTRANS_IDLE && status != PQTRANS_INTRANS))
        return;
    char text[PREPARED_NAME + 32];
    carried_be_quiet(server);
    carried_write_drop(server, there, text, sizeof text);
    handle->libpq->PQclear(handle->libpq->PQexec(server->conn, text));
    server_dress(server, handle);
}

/* A new one is as bare: the server judges it. */
static PGresult *prepare_new(struct handle *handle, struct server *server, const char *name, const char *text,
                             int count, const Oid *types) {
    char ours[PREPARED_NAME];
    uint64_t number = prepared_next();
    prepared_write_name(number, ours);
    if (!name[0] && server->names > PREPARED_MANY)
        drop_unnamed(handle, server);
    PGresult *result = handle->libpq->PQprepare(server->conn, ours, text, count, types);
    if (result && !name[0])
        carried_forget_unnamed(handle); /* the server drops the unnamed one first, whatever comes */
    if (went_well(handle->libpq, result)) {
        prepared_put_on(server, number, text, count, types);
        prepared_add(&handle->statements, number, name, text, count, types);
    }
    return result;
}

/* What a duplicate name comes to where there is none to collide with. */
static const char refusal[] = "DO $$BEGIN RAISE EXCEPTION 'prepared statement already exists' "
                              "USING ERRCODE = 'duplicate_prepared_statement'; END$$";

/* Its name is taken: the server says so of the name that it has there. */
static PGresult *prepare_taken(struct handle *handle, struct server *server, const struct prepared *old,
                               const char *text, int count, const Oid *types) {
    char ours[PREPARED_NAME];
    PGresult *failure = NULL;
    if (is_settled(handle, old) && !prepared_on(server, old))
        return handle->libpq->PQexecParams(server->conn, refusal, 0, NULL, NULL, NULL, NULL, 0);
    if (!place(handle, server, old, ours, &failure))
        return failure;
    PGresult *result = handle->libpq->PQprepare(server->conn, ours, text, count, types);
    if (went_well(handle->libpq, result)) { /* the first never came to be, in a pipeline that failed */
        uint64_t number = old->number;
        char *name = strdup(old->name);
        prepared_remove(&handle->statements, old);
        if (name)
            prepared_add(&handle->statements, number, name, text, count, types);
        free(name);
    }
    return result;
}

/* Would the statement be carried? Else the call pins, and goes as it came. */
static bool is_for_us(const struct handle *handle, const char *name, const char *text) {
    return name && text &&
           ((name[0] && prepared_named(handle->statements, name)) ||
            (carries(handle) && !((handle->reparses || handle->rereads) && prepared_holds_literal(text)) &&
             !prepared_fixes_time(text)));
}

PGresult *carried_PQprepare(struct call *call, struct handle *handle, const char *name, const char *text,
                            int count, const Oid *types) {
    bool ours = is_for_us(handle, name, text);
    PGconn *conn =
        call_begin(call, handle, ours || !name || !text ? PIN_NONE : PIN_PREPARED, ours ? NULL : text);
    if (!conn)
        return NULL;
    const struct prepared *old = prepared_named(handle->statements, name);
    if (old && name[0])
        return give(call, handle, prepare_taken(handle, call->server, old, text, count, types));
    if (ours && !handle->natural)
        return give(call, handle, prepare_new(handle, call->server, name, text, count, types));
    if (ours && !name[0]) {
        carried_forget_unnamed(handle);
        call->server->parsed_by = call->number;
    }
    return give(call, handle, handle->libpq->PQprepare(conn, name, text, count, types));
}

/* Its plan gives other columns by now. The server finds that out before it runs anything. */
static bool is_outdated(const struct server *server, const PGresult *result) {
    const struct libpq *libpq = server->libpq;
    const char *state, *function;
    return libpq->PQresultStatus(result) == PGRES_FATAL_ERROR &&
           (state = libpq->PQresultErrorField(result, PG_DIAG_SQLSTATE)) && strcmp(state, "0A000") == 0 &&
           (function = libpq->PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION)) &&
           strcmp(function, "RevalidateCachedQuery") == 0 && status_of(server) == PQTRANS_IDLE;
}

PGresult *carried_PQexecPrepared(struct call *call, struct handle *handle, const char *name, int count,
                                 const char *const *values, const int *lengths, const int *formats,
                                 int result_format) {
    struct libpq *libpq = handle->libpq;
    char ours[PREPARED_NAME];
    const struct prepared *one = prepared_named(handle->statements, name);
    PGconn *conn = one ? call_begin_statement(call, handle, one->text) : call_begin_named(call, handle, name);
    if (!conn)
        return NULL;
    if (!one || !(one = prepared_named(handle->statements, name)))
        return give(call, handle,
                    libpq->PQexecPrepared(conn, outbox_statement(call->server, call->number, name), count,
                                          values, lengths, formats, result_format));
    PGresult *result = NULL;
    for (int tries = 0; place(handle, call->server, one, ours, &result); tries++) {
        result = libpq->PQexecPrepared(conn, ours, count, values, lengths, formats, result_format);
        const struct prepared *there = prepared_on(call->server, one);
        if (tries > 0 || is_settled(handle, one) || !there || !is_outdated(call->server, result))
            break;
        prepared_remove(&call->server->prepared, there);
        if (prepared_on(call->server, one))
            tries--; /* an equal one, which may be outdated as well */
        libpq->PQclear(result);
        result = NULL;
    }
    return give(call, handle, result);
}

PGresult *carried_PQdescribePrepared(struct call *call, struct handle *handle, const char *name) {
    char ours[PREPARED_NAME];
    const struct prepared *one = prepared_named(handle->statements, name);
    PGconn *conn = one ? call_begin(call, handle, PIN_NONE, NULL) : call_begin_named(call, handle, name);
    PGresult *failure = NULL;
    if (!conn)
        return NULL;
    if (!one || !(one = prepared_named(handle->statements, name)))
        return give(
            call, handle,
            handle->libpq->PQdescribePrepared(conn, outbox_statement(call->server, call->number, name)));
    if (!place(handle, call->server, one, ours, &failure))
        return give(call, handle, failure);
    return give(call, handle, handle->libpq->PQdescribePrepared(conn, ours));
}

/* The handle's one is no more; the name to close on the connection. */
static void close_one(struct handle *handle, struct server *server, const struct prepared *one,
                      char name[PREPARED_NAME]) {
    const struct prepared *there = prepared_on(server, one);
    if (there)
        prepared_write_name(there->number, name);
    else
        snprintf(name, PREPARED_NAME, "%s", prepared_nobodys);
    if (there)
        prepared_remove(&server->prepared, there);
    prepared_remove(&handle->statements, one);
}

PGresult *carried_PQclosePrepared(struct call *call, struct handle *handle, const char *name) {
    char ours[PREPARED_NAME];
    const struct prepared *one = prepared_named(handle->statements, name);
    PGconn *conn = one ? call_begin(call, handle, PIN_NONE, NULL) : call_begin_named(call, handle, name);
    if (!conn)
        return NULL;
    if (!one || !(one = prepared_named(handle->statements, name)))
        return give(call, handle,
                    handle->libpq->PQclosePrepared(conn, outbox_statement(call->server, call->number, name)));
    if (pipeline_is_on(handle, call->server)) /* libpq refuses */
        snprintf(ours, sizeof ours, "%s", prepared_nobodys);
    else
        close_one(handle, call->server, one, ours);
    return give(call, handle, handle->libpq->PQclosePrepared(conn, ours));
}

/* Kept at once: in a pipeline it is executed before the answer comes. */
static void keep_unproven(struct handle *handle, struct server *server, uint64_t number, const char *name,
                          const char *text, int count, const Oid *types) {
    if (!name[0])
        carried_forget_unnamed(handle);
    struct prepared *kept = prepared_add(&handle->statements, number, name, text, count, types);
    struct prepared *there = server ? prepared_put_on(server, number, text, count, types) : NULL;
    if (there)
        there->unproven = true;
    if (kept)
        kept->unproven = handle->unproven = true;
}

/* Refused for the name that the statement has there; where it has none the error is made. */
int carried_send_taken(struct server *server, const struct prepared *old, const char *text, int count,
                       const Oid *types) {
    const struct libpq *libpq = server->libpq;
    const struct prepared *there = prepared_on(server, old);
    char ours[PREPARED_NAME];
    if (there) {
        prepared_write_name(there->number, ours);
        return libpq->PQsendPrepare(server->conn, ours, text, count, types);
    }
    server->parsed_by = 0;
    return libpq->PQsendQueryParams(server->conn, refusal, 0, NULL, NULL, NULL, NULL, 0);
}

static int send_new(struct call *call, struct handle *handle, const char *name, const char *text, int count,
                    const Oid *types) {
    char ours[PREPARED_NAME];
    struct prepared unknown = {.number = prepared_next()};
    const struct prepared *old = name[0] ? prepared_named(handle->statements, name) : NULL;
    struct server *server = call->posted ? NULL : call->server;
    int sent;
    if (old && server)
        return carried_send_taken(server, old, text, count, types);
    prepared_write_name(unknown.number, ours);
    if (server) {
        sent = handle->libpq->PQsendPrepare(server->conn, ours, text, count, types);
    } else {
        call->statement = old ? old : &unknown;
        call->taken = old != NULL;
        sent = post_PQsendPrepare(call, ours, text, count, types);
    }
    /* Posting may have come too late: then it was sent. */
    if (sent && !old)
        keep_unproven(handle, server, unknown.number, name, text, count, types);
    return sent;
}

int carried_PQsendPrepare(struct call *call, struct handle *handle, const char *name, const char *text,
                          int count, const Oid *types) {
    bool ours = is_for_us(handle, name, text);
    PGconn *conn =
        call_begin_send(call, handle, ours || !name || !text ? PIN_NONE : PIN_PREPARED, ours ? NULL : text);
    int sent = 0;
    if (!conn && !call->posted)
        return 0;
    ours = ours && (!handle->natural || prepared_named(handle->statements, name));
    if (ours)
        sent = send_new(call, handle, name, text, count, types);
    else if (!conn)
        sent = post_PQsendPrepare(call, name, text, count, types);
    else
        sent = handle->libpq->PQsendPrepare(conn, name, text, count, types);
    if (conn)
        call_end(call);
    return sent;
}

int carried_send(struct server *server, const struct prepared *one, bool settled, int count,
                 const char *const *values, const int *lengths, const int *formats, int result_format) {
    const struct libpq *libpq = server->libpq;
    const struct prepared *there = prepared_on(server, one);
    char name[PREPARED_NAME];
    Oid *types = NULL;
    if (there || settled || count < one->count || count > 65535) {
        snprintf(name, sizeof name, "%s", prepared_nobodys);
        if (there)
            prepared_write_name(there->number, name);
        return libpq->PQsendQueryPrepared(server->conn, name, count, values, lengths, formats, result_format);
    }
    if (one->count > 0 && (types = calloc((size_t)count, sizeof *types)))
        memcpy(types, one->types, (size_t)one->count * sizeof *types);
    if (one->count > 0 && !types)
        return 0;
    int sent = libpq->PQsendQueryParams(server->conn, one->text, count, types, values, lengths, formats,
                                        result_format);
    if (sent)
        server->parsed_by = 0; /* a named one of the handle's: nobody's unnamed one */
    free(types);
    return sent;
}

int carried_PQsendQueryPrepared(struct call *call, struct handle *handle, const char *name, int count,
                                const char *const *values, const int *lengths, const int *formats,
                                int result_format) {
    struct libpq *libpq = handle->libpq;
    const struct prepared *one = prepared_named(handle->statements, name);
    bool unsaid = !name; /* libpq refuses */
    PGconn *conn =
        one ? call_begin_send_statement(call, handle, one->text) : call_begin_send_named(call, handle, &name);
    if (!conn && !call->posted)
        return 0;
    if (one)
        one = prepared_named(handle->statements, name);
    if (!conn) {
        call->statement = one;
        call->settled = one && is_settled(handle, one);
        return post_PQsendQueryPrepared(call, name, count, values, lengths, formats, result_format);
    }
    int sent;
    if (unsaid)
        sent = libpq->PQsendQueryPrepared(conn, NULL, count, values, lengths, formats, result_format);
    else if (one)
        sent = carried_send(call->server, one, is_settled(handle, one), count, values, lengths, formats,
                            result_format);
    else
        sent = libpq->PQsendQueryPrepared(conn, outbox_statement(call->server, call->number, name), count,
                                          values, lengths, formats, result_format);
    call_end(call);
    return sent;
}

/* There is no message that describes a text: what the connection lacks is prepared, and waited for. */
int carried_PQsendDescribePrepared(struct call *call, struct handle *handle, const char *name) {
    char ours[PREPARED_NAME];
    PGresult *failure = NULL;
    const struct prepared *one = prepared_named(handle->statements, name);
    bool may_wait = one && !handle->posted && !handle->pipelined;
    handle->unsynced = true; /* the connection may be in pipeline mode */
    PGconn *conn = may_wait ? call_begin(call, handle, PIN_NONE, NULL)
                   : one    ? call_begin_send(call, handle, PIN_NONE, NULL)
                            : call_begin_send_named(call, handle, &name);
    if (!conn && !call->posted)
        return 0;
    if (one)
        one = prepared_named(handle->statements, name);
    if (!conn) {
        call->statement = one;
        return post_PQsendDescribePrepared(call, name);
    }
    may_wait = status_of(call->server) != PQTRANS_ACTIVE && !pipeline_is_on(handle, call->server);
    const char *asked = one ? prepared_nobodys : outbox_statement(call->server, call->number, name);
    if (one && (may_wait || prepared_on(call->server, one)) &&
        place(handle, call->server, one, ours, &failure))
        asked = ours;
    if (failure) { /* its error is what describing gives, too */
        handle->libpq->PQclear(failure);
        asked = NULL;
    }
    int sent = asked
                   ? handle->libpq->PQsendDescribePrepared(call->server->conn, asked)
                   : handle->libpq->PQsendPrepare(call->server->conn, "", one->text, one->count, one->types);
    if (!asked)
        call->server->parsed_by = 0;
    call_end(call);
    return sent;
}

int carried_PQsendClosePrepared(struct call *call, struct handle *handle, const char *name) {
    char ours[PREPARED_NAME];
    const struct prepared *one = prepared_named(handle->statements, name);
    PGconn *conn =
        one ? call_begin_send(call, handle, PIN_NONE, NULL) : call_begin_send_named(call, handle, &name);
    if (!conn && !call->posted)
        return 0;
    if (one)
        one = prepared_named(handle->statements, name);
    if (!conn) {
        call->statement = one;
        int posted = post_PQsendClosePrepared(call, name);
        if (posted)
            forget(handle, name);
        return posted;
    }
    if (one && (status_of(call->server) != PQTRANS_ACTIVE || pipeline_is_on(handle, call->server)))
        close_one(handle, call->server, one, ours);
    else
        one = NULL;
    int sent = handle->libpq->PQsendClosePrepared(
        conn, one ? ours : outbox_statement(call->server, call->number, name));
    call_end(call);
    return sent;
}
