/* asynchronous.c: exceptions of the table whose answer decides what the program waits for next, or what a
 * handle without a connection says. */
#define _GNU_SOURCE
#include "carried.h"
#include "delivery.h"
#include "facade.h"
#include "pipeline.h"

EXPORT PGresult *PQgetResult(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQgetResult");
    if (!handle)
        return libpq_of(CALLER)->PQgetResult(conn);
    struct call call;
    CALL_FROM(&call, "PQgetResult");
    if (!(conn = call_begin_result(&call, handle)))
        return call.failure;
    PGresult *result = handle->libpq->PQgetResult(conn);
    call_gave(&call, handle, result);
    carried_answered(handle, call.server, result);
    call_end(&call);
    return result;
}

EXPORT int PQisBusy(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQisBusy");
    if (!handle)
        return libpq_of(CALLER)->PQisBusy(conn);
    struct call call;
    CALL_FROM(&call, "PQisBusy");
    if (!(conn = call_begin_held(&call, handle)))
        return delivery_is_busy(handle);
    int busy = handle->libpq->PQisBusy(conn);
    call.fetched = !busy;
    call_end(&call);
    return busy;
}

EXPORT int PQflush(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQflush");
    if (!handle)
        return libpq_of(CALLER)->PQflush(conn);
    struct call call;
    CALL_FROM(&call, "PQflush");
    if (!(conn = call_begin_held(&call, handle)))
        return 0;
    int left = handle->libpq->PQflush(conn);
    call.unsent = left == 1;
    call_end(&call);
    return left;
}

EXPORT int PQputCopyData(PGconn *conn, const char *buffer, int nbytes) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQputCopyData");
    if (!handle)
        return libpq_of(CALLER)->PQputCopyData(conn, buffer, nbytes);
    struct call call;
    CALL_FROM(&call, "PQputCopyData");
    if (!(conn = call_begin_copy(&call, handle)))
        return -1;
    int queued = handle->libpq->PQputCopyData(conn, buffer, nbytes);
    call.unsent = queued == 0;
    call_end(&call);
    return queued;
}

EXPORT int PQputCopyEnd(PGconn *conn, const char *errormsg) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQputCopyEnd");
    if (!handle)
        return libpq_of(CALLER)->PQputCopyEnd(conn, errormsg);
    struct call call;
    CALL_FROM(&call, "PQputCopyEnd");
    if (!(conn = call_begin_copy(&call, handle)))
        return -1;
    int queued = handle->libpq->PQputCopyEnd(conn, errormsg);
    call.unsent = queued == 0;
    call_end(&call);
    return queued;
}

EXPORT int PQenterPipelineMode(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQenterPipelineMode");
    if (!handle)
        return libpq_of(CALLER)->PQenterPipelineMode(conn);
    struct call call;
    CALL_FROM(&call, "PQenterPipelineMode");
    if (!(conn = call_begin_held(&call, handle)))
        return pipeline_enter(handle);
    int entered = handle->libpq->PQenterPipelineMode(conn);
    call_end(&call);
    return entered;
}

EXPORT int PQexitPipelineMode(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQexitPipelineMode");
    if (!handle)
        return libpq_of(CALLER)->PQexitPipelineMode(conn);
    struct call call;
    CALL_FROM(&call, "PQexitPipelineMode");
    if (!(conn = call_begin_held(&call, handle)))
        return pipeline_exit(handle);
    int left = handle->libpq->PQexitPipelineMode(conn);
    if (left)
        carried_pipeline_over(handle, call.server);
    call_end(&call);
    return left;
}
