/*
 * real.h: where the real functions are, for the copy of libpq that a caller would have had.
 *
 * The shim links no libpq. A caller's copy is looked up when it first calls: what the global scope
 * offers behind us, else what the caller's own module is bound to (an extension that brought libpq in by
 * dlopen(RTLD_LOCAL)). A copy, once found, stays mapped for the life of the process: server connections
 * may outlive the module that needed it. A PGconn or PGresult never crosses from one copy to another.
 */
#ifndef PQONE_REAL_H
#define PQONE_REAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "libpq_newer.h"
#include "process.h"

struct libpq {
    const char *path;
    uintptr_t begin, end; /* where it is mapped */
    int version;          /* PQlibVersion(): 150018 */
    /* It exports PQ* or lo_* functions that the table does not know. They would be handed our handles and
     * crash, so its callers get real pointers, and are only watched. */
    bool has_unknown_calls;
    PQnoticeReceiver default_receiver; /* libpq's own, as a new PGconn has them */
    PQnoticeProcessor default_processor;

#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) __typeof__(&name) name;
#include "libpq_calls.def"
#undef CALL
    __typeof__(&PQlibVersion) PQlibVersion;
    __typeof__(&PQconninfoParse) PQconninfoParse;
    __typeof__(&PQconninfoFree) PQconninfoFree;
    __typeof__(&PQclear) PQclear;
    __typeof__(&PQfreemem) PQfreemem;
    __typeof__(&PQresultStatus) PQresultStatus;
};

extern _Atomic(struct libpq *) libpq_global; /* what the global scope offers, once that is known */
struct libpq *libpq_look_up(const void *caller);

/* The copy that the code at `caller` is bound to. NULL if no libpq is loaded, which a caller of libpq's
 * functions cannot see. A function that this copy is too old to have returns 0 or NULL. Thread-safe. */
static inline struct libpq *libpq_of(const void *caller) {
    struct libpq *libpq = atomic_load_explicit(&libpq_global, memory_order_acquire);
    return __builtin_expect(libpq != NULL, 1) ? libpq : libpq_look_up(caller);
}

/* Does `caller` lie in a copy of libpq? Its own inner calls (PQping to PQconnectStart) come through the
 * same symbols as the program's, and must get the real thing. Call after libpq_of(caller). */
bool libpq_called_itself(const void *caller);

void libpq_fork(enum fork_side side);

#endif
