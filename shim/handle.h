/*
 * handle.h: what the program holds as PGconn *.
 *
 * A handle is an address in a range of our own that nothing is mapped to: one per PQconnect*, failed ones
 * too; numbers are never used twice, addresses not before millions of others. So a stale one is recognised, a
 * pointer that we did not mint passes through, and a function of libpq that by-passes us with a handle faults
 * at a telling address instead of reading somebody's memory.
 *
 * Threads: libpq allows one thread at a time in a PGconn, so a handle's fields are its caller's own,
 * except those marked atomic and the list links, which the set's lock guards.
 */
#ifndef PQONE_HANDLE_H
#define PQONE_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pin.h"
#include "process.h"
#include "roads/real.h"
#include "watch/misuse.h"
#include "watch/recorder.h"
#include "watch/spans.h"

struct set;
struct server;
struct call;
struct identity;
struct waiter;
struct descriptor;
struct prepared;

/* What the program set on its PGconn and must find again on whatever server connection it is leased. */
struct manners {
    PQnoticeReceiver receiver;
    void *receiver_argument;
    PQnoticeProcessor processor;
    void *processor_argument;
    PGVerbosity verbosity;
    PGContextVisibility context;
    bool nonblocking;
};

struct parameter {
    struct parameter *next;
    char *value;
    char name[];
};

struct handle {
    _Atomic uint64_t number; /* 1 for the first of the process; 0 while this memory is free */
    struct libpq *libpq;
    struct set *set;                 /* it counts as one of set->handles */
    struct handle *next, *previous;  /* in set->handles */
    _Atomic(struct server *) server; /* used last; held if the server's lease says so (lease.h) */
    struct identity *identity;       /* what it was told of the server; NULL if it never connected */
    _Atomic uint64_t inside;         /* innermost call in progress and whose it is (call.h); 0: none */
    _Atomic uint32_t pin;            /* enum pin_reason: the first that says something of the session */
    uint32_t reasons;                /* all of them, a bit each: only what lifts every one lifts the pin */
    enum taint taint;                /* of the session that it has pinned */
    ConnStatusType status;           /* while it holds no lease */
    _Atomic bool busy;               /* inside an exchange or a transaction */
    bool restyle;                    /* manners changed since its connection was dressed */
    bool refused;                    /* PQONE_ON_DUPLICATE=fail: `error` is all it has */
    _Atomic bool speaks;             /* `error` is what its last call came to, not libpq's message */
    bool opening;       /* PQconnectStart was answered without a connect, and not polled to its end */
    unsigned starts_in; /* the process that its own PQconnectStart goes on in; 0: none does */
    _Atomic int64_t joins_until; /* it waits for another's until then; 0: it does not (starting.h) */
    bool joins_refused;          /* the server had no room for its own connect */
    struct manners manners;
    char *error; /* error message while it holds no lease, or of ours; size bytes */
    size_t error_size;
    struct parameter *parameters;     /* values that PQparameterStatus returned and so must keep */
    _Atomic int64_t now;              /* when its last call began; with PQONE_LEAK_THRESHOLD, ended */
    struct waiter *waiter;            /* its place in the set's queue, while it has one */
    _Atomic(struct waiter *) posted;  /* what it sent waits for a connection (delivery.h) */
    _Atomic unsigned queries;         /* that wait so, and will have results */
    _Atomic(struct server *) sent_on; /* it was delivered there, and not collected yet */
    _Atomic bool sending;             /* somebody is about to deliver it */
    _Atomic bool withdrawn;           /* a cancel came while it waited */
    bool pushes;                      /* its letters are not all out yet, which the program does not know */
    bool unsynced;                    /* in pipeline mode it sent more after its last sync */
    bool pipelined;                   /* in pipeline mode while it holds no connection */
    _Atomic(struct descriptor *) descriptor; /* what PQsocket returns; NULL until it is asked for */
    _Atomic unsigned char wishes;            /* socket options that the program set (wishes.h) */
    bool inherited;                          /* came by fork and was never counted in this process */
    uint32_t site;
    int64_t opened;
    _Atomic unsigned transaction;   /* what its transaction did (transaction.h) */
    _Atomic(const char *) intruder; /* the function with which another thread came into a call, and where */
    _Atomic uint32_t intruder_place;
    void *finished_at;           /* PQfinish was called inside a call, from there: its end closes */
    _Atomic bool warned;         /* a warning that nobody uses it stands (unused.h) */
    struct prepared *statements; /* that PQprepare made, by the program's names (carried.h) */
    bool unproven;               /* one of them was sent, and no answer was seen yet */
    bool natural;                /* its session is its own, and statements go by the program's names there */
    bool rereads;                /* a setting of its session reads them in another way */
    bool reparses; /* until its transaction ends literals may be read in another way than usual */
    struct ledger_handle *row;
    struct spans spans; /* with PQONE_TRACE */
};

enum { HANDLE_GRAIN = 16 };

extern uintptr_t handle_range;      /* first address; 0 until the first handle */
extern uintptr_t handle_range_size; /* 0 until the first handle */

/* A new handle, with number and nothing else. NULL when memory or the range is used up. */
struct handle *handle_new(void);

/* Makes the handle that was found at `conn` stale at once (first): false, and it is not to be looked at, if
 * it was meanwhile. Gives its memory back (second), for reuse by other handles. */
bool handle_retire(struct handle *handle, const PGconn *conn);
void handle_free(struct handle *handle);

/* Where in the range a number has its address; the range is a power of two. */
static inline uint64_t handle_place(uint64_t number) {
    return number & (handle_range_size / HANDLE_GRAIN - 1);
}

/* The program's side of it. */
static inline PGconn *handle_address(const struct handle *handle) {
    return (PGconn *)(handle_range +
                      handle_place(atomic_load_explicit(&handle->number, memory_order_relaxed)) *
                          HANDLE_GRAIN);
}

/* The slow half of handle_of(): the handle at an address of ours, or NULL if there is none any more. */
struct handle *handle_look_up(const PGconn *conn);

/* That is misuse: the ledger and the log get it, as a second PQfinish or a use after the first. */
void handle_was_finished(const PGconn *conn, const char *function, void *caller);

/* In an exported wrapper: the handle behind `*conn`, or NULL for a pointer that we did not mint (it is
 * libpq's own, or NULL). A stale handle is misuse: it is logged, and `*conn` becomes NULL, which libpq's
 * functions answer as they answer a missing connection instead of crashing. */
static inline __attribute__((always_inline, no_sanitize_address)) struct handle *
handle_of(const PGconn **conn, const char *function) {
    if ((uintptr_t)*conn - handle_range >= handle_range_size)
        return NULL;
    process_check();
    struct handle *handle = handle_look_up(*conn);
    if (__builtin_expect(handle != NULL, 1))
        return handle;
    handle_was_finished(*conn, function, __builtin_return_address(0)); /* of the wrapper it is inlined in */
    *conn = NULL;
    return NULL;
}

/* As its spans are to name it. */
struct span_owner handle_span_owner(const struct handle *handle);

/* What a misuse of the handle in libpq's `function` (NULL: not known) has to say. */
struct misused handle_misused(const struct handle *handle, const char *function);

/* Keeps a copy of `text` as the handle's own error message ("" to clear). */
void handle_say(struct handle *handle, const char *text);
void handle_sayf(struct handle *handle, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Keeps `value` for the handle under `name` and returns the copy, which stays valid until another value
 * comes. NULL stays NULL. */
const char *handle_keep_parameter(struct handle *handle, const char *name, const char *value);

/* Writes down where the range is: whoever looks at this process from outside has to know. Once there is one,
 * in every ledger. */
void handles_enter_in_ledger(void);

/* Forked child: the parent's lock state means nothing here. */
void handles_fork(enum fork_side side);

#endif
