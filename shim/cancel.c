/* cancel.c: exceptions of the table that take a PGcancel or PGcancelConn, and those that make one. */
#define _GNU_SOURCE
#include "canceller.h"
#include "facade.h"

EXPORT PGcancel *PQgetCancel(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQgetCancel");
    return handle ? (PGcancel *)canceller_if_open(handle) : libpq_of(CALLER)->PQgetCancel(conn);
}

EXPORT void PQfreeCancel(PGcancel *cancel) {
    if (canceller_of(cancel))
        canceller_free(canceller_of(cancel));
    else
        libpq_of(CALLER)->PQfreeCancel(cancel);
}

/* Async-signal-safe, as libpq's. */
EXPORT int PQcancel(PGcancel *cancel, char *errbuf, int errbufsize) {
    return canceller_of(cancel) ? canceller_fire(canceller_of(cancel), errbuf, errbufsize)
                                : libpq_of(CALLER)->PQcancel(cancel, errbuf, errbufsize);
}

EXPORT int PQrequestCancel(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQrequestCancel");
    if (!handle)
        return libpq_of(CALLER)->PQrequestCancel(conn);
    char error[256] = "PQrequestCancel() -- connection is not open\n";
    struct canceller *canceller = canceller_if_open(handle);
    int result = canceller ? canceller_fire(canceller, error, sizeof error) : 0;
    if (canceller)
        canceller_free(canceller);
    if (!result)
        handle_say(handle, error);
    handle->speaks = !result;
    return result;
}

EXPORT PGcancelConn *PQcancelCreate(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQcancelCreate");
    return handle ? (PGcancelConn *)canceller_new(handle) : libpq_of(CALLER)->PQcancelCreate(conn);
}

EXPORT int PQcancelBlocking(PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_blocking(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelBlocking(cancelConn);
}

EXPORT int PQcancelStart(PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_start(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelStart(cancelConn);
}

EXPORT PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_poll(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelPoll(cancelConn);
}

EXPORT ConnStatusType PQcancelStatus(const PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_status(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelStatus(cancelConn);
}

EXPORT int PQcancelSocket(const PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_socket(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelSocket(cancelConn);
}

EXPORT char *PQcancelErrorMessage(const PGcancelConn *cancelConn) {
    return canceller_of(cancelConn) ? canceller_error(canceller_of(cancelConn))
                                    : libpq_of(CALLER)->PQcancelErrorMessage(cancelConn);
}

EXPORT void PQcancelReset(PGcancelConn *cancelConn) {
    if (canceller_of(cancelConn))
        canceller_reset(canceller_of(cancelConn));
    else
        libpq_of(CALLER)->PQcancelReset(cancelConn);
}

EXPORT void PQcancelFinish(PGcancelConn *cancelConn) {
    if (canceller_of(cancelConn))
        canceller_free(canceller_of(cancelConn));
    else
        libpq_of(CALLER)->PQcancelFinish(cancelConn);
}
