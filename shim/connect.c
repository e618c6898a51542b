/* connect.c: exceptions of the table that make and end handles; they need their caller's address, or have
 * no PGconn yet. */
#define _GNU_SOURCE
#include "closing.h"
#include "facade.h"
#include "foreign.h"
#include "opening.h"

EXPORT PGconn *PQconnectdb(const char *conninfo) {
    struct request request = {.form = REQUEST_CONNINFO, .conninfo = conninfo};
    return open_handle(&request, CALLER, false);
}

EXPORT PGconn *PQconnectdbParams(const char *const *keywords, const char *const *values, int expand_dbname) {
    struct request request = {
        .form = REQUEST_PARAMS, .keywords = keywords, .values = values, .expand_dbname = expand_dbname};
    return open_handle(&request, CALLER, false);
}

EXPORT PGconn *PQsetdbLogin(const char *pghost, const char *pgport, const char *pgoptions, const char *pgtty,
                            const char *dbName, const char *login, const char *pwd) {
    struct request request = {.form = REQUEST_LOGIN,
                              .login = {pghost, pgport, pgoptions, pgtty, dbName, login, pwd}};
    return open_handle(&request, CALLER, false);
}

EXPORT PGconn *PQconnectStart(const char *conninfo) {
    struct request request = {.form = REQUEST_CONNINFO, .conninfo = conninfo};
    return open_handle(&request, CALLER, true);
}

EXPORT PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values,
                                    int expand_dbname) {
    struct request request = {
        .form = REQUEST_PARAMS, .keywords = keywords, .values = values, .expand_dbname = expand_dbname};
    return open_handle(&request, CALLER, true);
}

EXPORT PostgresPollingStatusType PQconnectPoll(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQconnectPoll");
    return handle ? open_poll(handle, false) : libpq_of(CALLER)->PQconnectPoll(conn);
}

EXPORT void PQfinish(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQfinish");
    if (handle) {
        close_handle(handle, conn, CALLER);
        return;
    }
    struct libpq *libpq = foreign_finished(conn);
    (libpq ? libpq : libpq_of(CALLER))->PQfinish(conn);
}

EXPORT void PQreset(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQreset");
    if (handle)
        open_again(handle);
    else
        libpq_of(CALLER)->PQreset(conn);
}

EXPORT int PQresetStart(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQresetStart");
    return handle ? open_again_start(handle) : libpq_of(CALLER)->PQresetStart(conn);
}

EXPORT PostgresPollingStatusType PQresetPoll(PGconn *conn) {
    struct handle *handle = handle_of((const PGconn **)&conn, "PQresetPoll");
    return handle ? open_poll(handle, true) : libpq_of(CALLER)->PQresetPoll(conn);
}

EXPORT PGPing PQping(const char *conninfo) {
    struct request request = {.form = REQUEST_CONNINFO, .conninfo = conninfo};
    return ping(&request, CALLER);
}

EXPORT PGPing PQpingParams(const char *const *keywords, const char *const *values, int expand_dbname) {
    struct request request = {
        .form = REQUEST_PARAMS, .keywords = keywords, .values = values, .expand_dbname = expand_dbname};
    return ping(&request, CALLER);
}
