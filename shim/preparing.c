/* preparing.c: exceptions of the table that name a prepared statement. */
#define _GNU_SOURCE
#include "carried.h"
#include "facade.h"

#define HANDED(name, ...)                                             \
    struct handle *handle = handle_of((const PGconn **)&conn, #name); \
    if (!handle)                                                      \
        return libpq_of(CALLER)->name(conn, __VA_ARGS__);             \
    struct call call;                                                 \
    CALL_FROM(&call, #name);                                          \
    return carried_##name(&call, handle, __VA_ARGS__)

EXPORT PGresult *PQprepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                           const Oid *paramTypes) {
    HANDED(PQprepare, stmtName, query, nParams, paramTypes);
}

EXPORT PGresult *PQexecPrepared(PGconn *conn, const char *stmtName, int nParams,
                                const char *const *paramValues, const int *paramLengths,
                                const int *paramFormats, int resultFormat) {
    HANDED(PQexecPrepared, stmtName, nParams, paramValues, paramLengths, paramFormats, resultFormat);
}

EXPORT PGresult *PQdescribePrepared(PGconn *conn, const char *stmt) {
    HANDED(PQdescribePrepared, stmt);
}

EXPORT PGresult *PQclosePrepared(PGconn *conn, const char *stmt) {
    HANDED(PQclosePrepared, stmt);
}

EXPORT int PQsendPrepare(PGconn *conn, const char *stmtName, const char *query, int nParams,
                         const Oid *paramTypes) {
    HANDED(PQsendPrepare, stmtName, query, nParams, paramTypes);
}

EXPORT int PQsendQueryPrepared(PGconn *conn, const char *stmtName, int nParams,
                               const char *const *paramValues, const int *paramLengths,
                               const int *paramFormats, int resultFormat) {
    HANDED(PQsendQueryPrepared, stmtName, nParams, paramValues, paramLengths, paramFormats, resultFormat);
}

EXPORT int PQsendDescribePrepared(PGconn *conn, const char *stmt) {
    HANDED(PQsendDescribePrepared, stmt);
}

EXPORT int PQsendClosePrepared(PGconn *conn, const char *stmt) {
    HANDED(PQsendClosePrepared, stmt);
}
