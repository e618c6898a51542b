/*
 * call.h: one call of the program into libpq on a handle, from its lease to what the lease becomes.
 */
#ifndef PQONE_CALL_H
#define PQONE_CALL_H

#include "handle.h"
#include "results.h"

/* Lives on the wrapper's stack. A notice receiver or event procedure runs inside a call and may leave it
 * by longjmp, an exception or thread cancellation; then this frame is no longer on the stack, which the
 * handle's next call finds out. */
struct call {
    const char *function; /* the wrapper's: libpq's function, where it was called, its statement if any */
    void *caller;
    const char *query;
    const PGresult *result; /* what it gives to the program, once it is there */
    uint64_t here;          /* CALL_HERE while the frame is what it says it is */
    struct handle *handle;
    uint64_t number; /* the handle's; another one's by the end if it was finished meanwhile */
    uint64_t outer;  /* the call that this one runs inside of, as handle.inside */
    uint64_t word;   /* this one */
    struct server *server;
    PGresult *failure;   /* of a query that no connection was had for: PQgetResult gives this one */
    enum pin_reason pin; /* what the call pins for, where it is posted */
    const char *text;    /* what is sent: the query, or what goes in its place */
    const struct prepared *statement; /* of the handle's, for a letter */
    uint64_t dropped;                 /* the number of the one that the query drops */
    enum { DROPS_NONE, DROPS_ONE, DROPS_ALL } drops;
    char instead[80];
    bool named;   /* the query was parsed before: a prepared statement's */
    bool taken;   /* the name to prepare is in use */
    bool settled; /* what the connection lacks is not to be had (carried.h) */
    bool sends;   /* it waits for nobody, if it can be helped */
    bool discard_all;
    bool posted;  /* nothing was begun, since the handle waits for a connection, or now has to */
    bool unsent;  /* libpq has output that the socket does not take */
    bool fetched; /* the next move is the program's: it has a result in hand, or one ready */
} __attribute__((aligned(64)));

/* handle.inside: where the call is, and below that as many bits of its thread's id as an address leaves, all
 * that Linux gives to one. In one word, since a frame may be looked at by its own thread only: with another
 * thread its stack may be gone. */
enum { CALL_THREAD_BITS = 22, CALL_THREAD_MASK = (1 << CALL_THREAD_BITS) - 1 };
static inline uint64_t call_word(const struct call *call) {
    return (uint64_t)(uintptr_t)call << 16 | ((unsigned)process_thread() & CALL_THREAD_MASK);
}

/* pid_max goes no higher. */
_Static_assert(CALL_THREAD_MASK >= 4194303 && _Alignof(struct call) >= 1 << (CALL_THREAD_BITS - 16),
               "the two do not overlap");
static inline struct call *call_of_word(uint64_t inside) {
    return (struct call *)(uintptr_t)((inside & ~(uint64_t)CALL_THREAD_MASK) >> 16);
}
static inline int call_thread(uint64_t inside) {
    return (int)(inside & CALL_THREAD_MASK);
}

/* Is this call, found in a handle, in progress on the stack of the thread that asks? */
bool call_is_on_stack(uint64_t inside, const struct handle *handle);

/* Does another thread's call on the handle wait for this connection's server? A thread of which that cannot
 * be seen from outside, because it runs or left by longjmp, does not. Two system calls, where a call is noted
 * at all. */
bool call_waits_elsewhere(const struct handle *handle, const PGconn *conn);

#define CALL_HERE UINT64_C(0x70716f6e6563616c)

/* What every wrapper writes down first, and when libpq has answered with a result. */
#define CALL_FROM(call, name) ((call)->function = (name), (call)->caller = __builtin_return_address(0))
static inline void call_gave(struct call *call, const struct handle *handle, const PGresult *result) {
    call->result = result;
    if (__builtin_expect(atomic_load_explicit(&results_are_kept, memory_order_relaxed), 0) && result)
        results_given(handle, result, call->function, call->caller);
}

/* Before a call that may talk to the server: judges `query` (may be NULL), takes a lease, pins if it must.
 * Returns libpq's own PGconn, or NULL: then the handle's error message says why nothing can be done, and
 * call_end() is not called. */
PGconn *call_begin(struct call *call, struct handle *handle, enum pin_reason pin, const char *query);

/* As call_begin(), for a prepared statement of the handle, of which this is the text. */
PGconn *call_begin_statement(struct call *call, struct handle *handle, const char *text);
PGconn *call_begin_send_statement(struct call *call, struct handle *handle, const char *text);

/* As call_begin(), for a call on the prepared statement `name`. The unnamed one belongs to whoever parsed
 * last: for anybody else there is none. */
PGconn *call_begin_named(struct call *call, struct handle *handle, const char *name);

/* Before a call that has a meaning only inside an exchange. NULL: the handle holds no lease. */
PGconn *call_begin_held(struct call *call, struct handle *handle);

/* For answers that need no call: a connection that was delivered to the handle is taken up. */
void call_look_for_delivery(struct handle *handle);

/* PQsocket where there is no number but libpq's own: pins, so that it stays. */
int call_socket(struct handle *handle);

/* After either: the lease ends when the exchange is over and no transaction is open. Keeps errno. */
void call_end(struct call *call);

/* As call_begin(), but waits for nobody: without a connection `posted` says that post_NAME() is to write the
 * call down (outbox.h), which call_post() takes over: true as what libpq would return. A handle that waits
 * already takes another in pipeline mode only. */
PGconn *call_begin_send(struct call *call, struct handle *handle, enum pin_reason pin, const char *query);
PGconn *call_begin_send_named(struct call *call, struct handle *handle, const char **name);
struct letter;
int call_post(struct call *call, struct letter *letter);

/* As call_begin_send(), for what only has a meaning after a send, or in pipeline mode: `posted` where the
 * handle waits, NULL where it does neither. */
PGconn *call_begin_later(struct call *call, struct handle *handle);

/* As call_begin_send() in pipeline mode; outside of it, libpq's message and NULL. */
PGconn *call_begin_sync(struct call *call, struct handle *handle);

/* As call_begin_held(), for PQgetResult, which waits. NULL: `failure` is the answer. */
PGconn *call_begin_result(struct call *call, struct handle *handle);

/* As call_begin_held(), and says "no COPY in progress", as libpq does, when no lease is held. */
PGconn *call_begin_copy(struct call *call, struct handle *handle);

#endif
