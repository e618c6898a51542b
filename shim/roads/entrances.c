/* entrances.c: one function per copy of libpq, where neither handle nor caller tells which is meant. */
#include "entrances.h"

#include <string.h>

#include "../opening.h"
#include "../results.h"
#include "roads.h"

#define CALLER __builtin_return_address(0)
#define PARAMS(k)                                                                                       \
    {                                                                                                   \
        .form = REQUEST_PARAMS, .keywords = keywords, .values = values, .expand_dbname = expand_dbname, \
        .libpq = libpq_numbered(k),                                                                     \
    }
#define CONNINFO(k) \
    { .form = REQUEST_CONNINFO, .conninfo = conninfo, .libpq = libpq_numbered(k) }

/* The wrapper, which this file cannot name without being one of the facade's. */
static PGresult *exported_make_empty_result(PGconn *conn, ExecStatusType status) {
    static _Atomic(__typeof__(&PQmakeEmptyPGresult)) exported;
    if (!atomic_load(&exported))
        atomic_store(&exported, (__typeof__(&PQmakeEmptyPGresult))roads_exported("PQmakeEmptyPGresult"));
    return atomic_load(&exported)(conn, status);
}

/* As in connect.c, but that the copy is known. */
#define ENTRANCES(k)                                                                                         \
    static PGconn *connectdb_##k(const char *conninfo) {                                                     \
        struct request request = CONNINFO(k);                                                                \
        return open_handle(&request, CALLER, false);                                                         \
    }                                                                                                        \
    static PGconn *connect_start_##k(const char *conninfo) {                                                 \
        struct request request = CONNINFO(k);                                                                \
        return open_handle(&request, CALLER, true);                                                          \
    }                                                                                                        \
    static PGconn *connectdb_params_##k(const char *const *keywords, const char *const *values,              \
                                        int expand_dbname) {                                                 \
        struct request request = PARAMS(k);                                                                  \
        return open_handle(&request, CALLER, false);                                                         \
    }                                                                                                        \
    static PGconn *connect_start_params_##k(const char *const *keywords, const char *const *values,          \
                                            int expand_dbname) {                                             \
        struct request request = PARAMS(k);                                                                  \
        return open_handle(&request, CALLER, true);                                                          \
    }                                                                                                        \
    static PGconn *setdb_login_##k(const char *host, const char *port, const char *options, const char *tty, \
                                   const char *dbname, const char *login, const char *password) {            \
        struct request request = {.form = REQUEST_LOGIN,                                                     \
                                  .login = {host, port, options, tty, dbname, login, password},              \
                                  .libpq = libpq_numbered(k)};                                               \
        return open_handle(&request, CALLER, false);                                                         \
    }                                                                                                        \
    static void clear_##k(PGresult *result) {                                                                \
        struct libpq *known = results_cleared(result);                                                       \
        (known ? known : libpq_numbered(k))->PQclear(result);                                                \
    }                                                                                                        \
    static PGresult *make_empty_result_##k(PGconn *conn, ExecStatusType status) {                            \
        return conn ? exported_make_empty_result(conn, status)                                               \
                    : libpq_numbered(k)->PQmakeEmptyPGresult(conn, status);                                  \
    }                                                                                                        \
    static PGPing ping_##k(const char *conninfo) {                                                           \
        struct request request = CONNINFO(k);                                                                \
        return ping(&request, CALLER);                                                                       \
    }                                                                                                        \
    static PGPing ping_params_##k(const char *const *keywords, const char *const *values,                    \
                                  int expand_dbname) {                                                       \
        struct request request = PARAMS(k);                                                                  \
        return ping(&request, CALLER);                                                                       \
    }

ENTRANCES(0)
ENTRANCES(1)
ENTRANCES(2)
ENTRANCES(3)
ENTRANCES(4)
ENTRANCES(5)
ENTRANCES(6)
ENTRANCES(7)

#define ADDRESS(function) (void *)(uintptr_t)function
#define EACH(stem)                                                                                \
    {                                                                                             \
        ADDRESS(stem##0), ADDRESS(stem##1), ADDRESS(stem##2), ADDRESS(stem##3), ADDRESS(stem##4), \
            ADDRESS(stem##5), ADDRESS(stem##6), ADDRESS(stem##7)                                  \
    }

static const struct {
    const char *name;
    void *of_copy[LIBPQ_COPIES];
} entrances[] = {
    {"PQconnectdb", EACH(connectdb_)},
    {"PQconnectStart", EACH(connect_start_)},
    {"PQconnectdbParams", EACH(connectdb_params_)},
    {"PQconnectStartParams", EACH(connect_start_params_)},
    {"PQsetdbLogin", EACH(setdb_login_)},
    {"PQmakeEmptyPGresult", EACH(make_empty_result_)},
    {"PQclear", EACH(clear_)},
    {"PQping", EACH(ping_)},
    {"PQpingParams", EACH(ping_params_)},
};

static const void *const *row_of(const char *name) {
    for (size_t i = 0; i < sizeof entrances / sizeof *entrances; i++)
        if (strcmp(entrances[i].name, name) == 0)
            return (const void *const *)entrances[i].of_copy;
    return NULL;
}

bool entrance_is_for(const char *name) {
    return row_of(name) != NULL;
}

void *entrance_of(const struct libpq *libpq, const char *name) {
    const void *const *row = row_of(name);
    return row ? (void *)(uintptr_t)row[libpq_number(libpq)] : NULL;
}
