/* callbacks.c: exceptions of the table that return nothing, so that no row of it can express them. */
#define _GNU_SOURCE
#include "facade.h"
#include "results.h"

EXPORT void PQtrace(PGconn *conn, FILE *debug_port) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQtrace");
    if (!handle) {
        libpq_of(CALLER)->PQtrace(conn, debug_port);
        return;
    }
    struct call call;
    CALL_FROM(&call, "PQtrace");
    if ((conn = call_begin(&call, handle, PIN_TRACE, NULL))) {
        handle->libpq->PQtrace(conn, debug_port);
        call_end(&call);
    }
}

EXPORT void PQuntrace(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQuntrace");
    if (!handle) {
        libpq_of(CALLER)->PQuntrace(conn);
        return;
    }
    struct call call;
    CALL_FROM(&call, "PQuntrace");
    if ((conn = call_begin_held(&call, handle))) {
        handle->libpq->PQuntrace(conn);
        call_end(&call);
    }
}

EXPORT void PQsetTraceFlags(PGconn *conn, int flags) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQsetTraceFlags");
    if (!handle) {
        libpq_of(CALLER)->PQsetTraceFlags(conn, flags);
        return;
    }
    struct call call;
    CALL_FROM(&call, "PQsetTraceFlags");
    if ((conn = call_begin_held(&call, handle))) {
        handle->libpq->PQsetTraceFlags(conn, flags);
        call_end(&call);
    }
}

EXPORT void PQclear(PGresult *res) {
    struct libpq *libpq = results_cleared(res);
    (libpq ? libpq : libpq_of(CALLER))->PQclear(res);
}
