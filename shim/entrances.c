/* entrances.c: one function per creator and copy of libpq. */
#include "entrances.h"

#include <string.h>

#include "opening.h"

#define CALLER __builtin_return_address(0)
#define PARAMS(k)                                                                                       \
    {                                                                                                   \
        .form = REQUEST_PARAMS, .keywords = keywords, .values = values, .expand_dbname = expand_dbname, \
        .libpq = libpq_numbered(k),                                                                     \
    }
#define CONNINFO(k) \
    { .form = REQUEST_CONNINFO, .conninfo = conninfo, .libpq = libpq_numbered(k) }

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
    {"PQping", EACH(ping_)},
    {"PQpingParams", EACH(ping_params_)},
};

void *entrance_of(const struct libpq *libpq, const char *name) {
    for (size_t i = 0; i < sizeof entrances / sizeof *entrances; i++)
        if (strcmp(entrances[i].name, name) == 0)
            return entrances[i].of_copy[libpq_number(libpq)];
    return NULL;
}
