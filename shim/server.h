/*
 * server.h: a server connection: a real PGconn with a backend behind it. Only the shim holds it.
 *
 * The memory of a struct server is never given back, so that a cancel in a signal handler, or a handle
 * that remembers the connection it used last, may look at a dead one. Whoever holds the lease owns the
 * PGconn; all fields but the atomic ones are the lease holder's, or the set lock's while nobody holds it.
 */
#ifndef PQONE_SERVER_H
#define PQONE_SERVER_H

#include <sys/socket.h>

#include "handle.h"

/* The lease word: the number of the handle, and whether it holds the connection now. Free with a number
 * is a bias: that handle used it last, and takes it back with one compare. */
#define LEASE_FREE(number) ((uint64_t)(number) << 1)
#define LEASE_TAKEN(number) ((uint64_t)(number) << 1 | 1)
#define LEASE_ENGINE UINT64_MAX /* being opened, cleaned, looked at or closed by the shim itself */

enum server_state {
    SERVER_UNUSED,   /* free memory */
    SERVER_OPENING,  /* PQconnectStart; belongs to its handle */
    SERVER_OPEN,     /* counted in its set */
    SERVER_CLEANING, /* rollback or reset sent, answer not read yet; lease is LEASE_ENGINE */
    SERVER_OWN,      /* of one handle alone, never counted: failed connect, observe, replication, broken */
};

/* What the program may ask about its connection without having it: taken once, at the connect, and
 * shared by all connections of a set that are equal in it. Only equal ones may serve one handle. */
struct identity {
    struct identity *next; /* in set->identities; lives as long as the set */
    char *db, *user, *pass, *host, *hostaddr, *port, *tty, *options;
    int protocol_version, full_protocol_version, server_version, client_encoding;
    int needs_password, used_password, used_gssapi, ssl_in_use, gss_in_use;
    char **parameters;            /* name, value, name, value, …, NULL */
    char **ssl_attributes;        /* likewise */
    char *text;                   /* all of it in one string, to compare */
    struct sockaddr_storage peer; /* the server's address */
    socklen_t peer_length;        /* 0: not known */
    bool standard_conforming_strings;
    bool backslash_safe_encoding;
};

struct descriptor;
struct prepared;

struct server {
    _Atomic uint64_t lease;
    _Atomic uint32_t cancelling; /* cancels under way: it must not change hands meanwhile */
    _Atomic bool cancelled;      /* one was sent since the server last answered */
    _Atomic bool spent;          /* the program drives a cancel of it: nobody else gets it any more */
    _Atomic bool pinned;         /* by the handle that holds the lease */
    _Atomic int holder;          /* thread that took the lease; 0 while it is just taking it */
    enum server_state state;     /* under the set lock */
    PGconn *conn;
    struct libpq *libpq;
    struct set *set;
    struct identity *identity;
    _Atomic(PGcancel *) cancel; /* libpq's, made with the connection because a signal handler can't */
    _Atomic(struct descriptor *) descriptor; /* the number that mirrors its socket (sockets/) */
    _Atomic unsigned armed; /* what the relay waits for, and which relay (relay.c); 0: nothing */
    _Atomic int64_t
        resting; /* since when the next move is the program's; SERVER_MOVES, or CALL_MOVES inside a call */
    _Atomic bool unread;       /* it rests because an answer is there that nobody reads */
    uint64_t parsed_by;        /* number of the handle whose unnamed statement the session may hold */
    bool parses_unproven;      /* that one was sent in a pipeline, which may have failed before it */
    uint64_t dressed;          /* number of the handle whose manners it has */
    struct prepared *prepared; /* what is prepared there, by names of ours (prepared.h) */
    unsigned names;            /* of ours that were made since it had none */
    enum taint taint;          /* while it is being cleaned */
    int syncs;                 /* answers that cleaning still waits for */
    unsigned generation;       /* the process that may use it (process.h) */
    _Atomic bool forked;       /* it was open at a fork: two processes have its descriptor */
    int claim;                 /* its place in the table of who uses it (fork.c), -1: none */
    int64_t opened;
    _Atomic int64_t last_used;
    uint64_t socket_device, socket_inode; /* what the descriptor was, before we close a number */
    _Atomic int kept;                     /* the number that is kept open for libpq (numbers.h), or -1 */
    struct ledger_server *row;
    struct server *next; /* free memory */
};

enum { SERVER_MOVES = 0, CALL_MOVES = -1 };

/* Its socket has something to read, of which no call is reading. */
static inline void server_answered(struct server *server) {
    int64_t nobody = SERVER_MOVES;
    if (atomic_load_explicit(&server->resting, memory_order_relaxed) != SERVER_MOVES)
        return;
    atomic_store_explicit(&server->unread, true, memory_order_relaxed);
    atomic_compare_exchange_strong(&server->resting, &nobody, recorder_now());
}

static inline int64_t server_last_used(const struct server *server) {
    return atomic_load_explicit(&server->last_used, memory_order_relaxed);
}
static inline void server_used_now(struct server *server) {
    atomic_store_explicit(&server->last_used, recorder_now(), memory_order_relaxed);
}
static inline int64_t server_unused_for(const struct server *server) {
    return recorder_now() - server_last_used(server);
}

/* Memory for a server connection, with lease LEASE_ENGINE. Never NULL: aborts nothing, waits for nothing;
 * when malloc fails it returns NULL. */
struct server *server_new(struct libpq *libpq, struct set *set, PGconn *conn);

/* The connect went well: notes descriptor, cancel key, identity and ledger row. Not under the set lock. */
void server_established(struct server *server);

/* Makes a connection that was open at a fork this process's, if no relative uses it. A connection without
 * a place in the table belongs to the process that made it. */
bool server_claim(struct server *server);

/* Before libpq replaces what is behind the PGconn (PQreset): the old cancel key and ledger row go. */
void server_forget(struct server *server);

/* Ends the connection and gives the memory back. politely: with Terminate, if this process is the one that
 * uses it; silently otherwise. The caller holds the lease and has taken it out of the set. */
void server_close(struct server *server);

/* What server_close() does in a process that does not use the connection, or at exit. */
void server_close_silently(struct server *server);
void server_say_goodbye(struct server *server);

/* In a forked child, for a connection that a thread of the parent was in the middle of using: closes the
 * descriptor and leaves the PGconn, whose state nobody knows, alone. */
void server_abandon(struct server *server);

/* False: the program closed the number under libpq, and it may be something else of the program's by now.
 * Before a connection changes hands, when the program may well believe that it is gone. */
bool server_has_its_descriptor(const struct server *server);

/* Has the other side closed it? Costs one poll when nothing has come. Reads what has come (parameter
 * status, notices) with no notice receiver of the program's. The caller holds the lease. */
bool server_is_dead(struct server *server);

/* The handle of that number sends a text that becomes the session's unnamed statement. */
static inline void server_parses(struct server *server, uint64_t number) {
    if (server->parsed_by != number)
        server->parses_unproven = server->libpq->PQpipelineStatus(server->conn) != PQ_PIPELINE_OFF;
    server->parsed_by = number;
}

/* Pipeline mode on a connection of which another handle may have had the last answer row by row. */
bool server_enter_pipeline(struct server *server);

/* Sends what makes the session new (ROLLBACK, DISCARD ALL, or nothing) without waiting; server_settle() reads
 * the answers, blocking for `timeout` nanoseconds at most, and tells whether it is clean: also of a cancel,
 * which can no longer hit the next query once the server has answered something after it. SETTLE_LATER: the
 * time is over, nothing is lost. */
bool server_start_cleaning(struct server *server, bool rollback, bool reset);
enum settle { SETTLE_CLEAN, SETTLE_LATER, SETTLE_BROKEN };
enum settle server_settle(struct server *server, int64_t timeout);

/* Gives the connection the manners of a handle. The caller holds the lease. */
void server_dress(struct server *server, const struct handle *handle);

/* The value of a parameter in an identity's list, or NULL. */
const char *identity_value(char *const *list, const char *name);
struct identity *identity_of(struct libpq *libpq, PGconn *conn);
void identity_free(struct identity *identity);

void servers_fork(enum fork_side side);

#endif
