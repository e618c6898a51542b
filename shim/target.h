/*
 * target.h: what a PQconnect* really asks for, so that equal requests can be told from different ones.
 *
 * A target is the resolved conninfo (URI, PG* environment, service file, defaults, password and every
 * option) and who asks: effective uid and gid, KRB5CCNAME, and the identity and mtime of the files that
 * decide how libpq authenticates. libpq itself resolves it: a PQconnectStart that is made to fail, before
 * it touches network or password file, by a port list that does not match its hosts.
 */
#ifndef PQONE_TARGET_H
#define PQONE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "process.h"
#include "roads/real.h"

enum { LOGIN_PARTS = 7 };

/* A connect as the program wrote it. Borrows everything. */
struct request {
    enum { REQUEST_CONNINFO, REQUEST_PARAMS, REQUEST_LOGIN } form;
    const char *conninfo;
    const char *const *keywords, *const *values;
    int expand_dbname;
    const char *login[LOGIN_PARTS]; /* host, port, options, tty, dbname, user, password */
    struct libpq *libpq;            /* the copy that is meant; NULL: the caller's */
};

struct target {
    char *key; /* every word that must be equal; never logged, it holds the password */
    size_t key_length;
    uint64_t hash;
    char *name;                      /* user@host:port/dbname, for people */
    const char **keywords, **values; /* the resolved conninfo, NULL-terminated, to connect again with */
    bool replication;
    unsigned references;
};

/* The target of a request; the caller gives it back with target_release(). NULL when libpq refuses the
 * conninfo (let libpq say why) or it cannot be resolved. Thread-safe; takes no lock across libpq. */
struct target *target_resolve(struct libpq *libpq, const struct request *request);
void target_release(struct target *target);

/* The real connect, with the program's own words and PQONE_VIA's after them: blocking, or the start of a
 * non-blocking one. */
PGconn *request_connect(struct libpq *libpq, const struct request *request);
PGconn *request_start(struct libpq *libpq, const struct request *request);

/* The value of a keyword in a target's resolved conninfo, or NULL. */
const char *target_value(const struct target *target, const char *keyword);

void targets_fork(enum fork_side side);

#endif
