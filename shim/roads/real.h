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

#include "../libpq_newer.h"
#include "../process.h"

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
#include "../libpq_calls.def"
#undef CALL
    __typeof__(&PQlibVersion) PQlibVersion;
    __typeof__(&PQconninfoParse) PQconninfoParse;
    __typeof__(&PQconninfoFree) PQconninfoFree;
    __typeof__(&PQfreemem) PQfreemem;
    __typeof__(&PQresultStatus) PQresultStatus;
    __typeof__(&PQcmdStatus) PQcmdStatus;
    __typeof__(&PQresultErrorMessage) PQresultErrorMessage;
    __typeof__(&PQresultErrorField) PQresultErrorField;
};

enum { LIBPQ_COPIES = 8 };

extern _Atomic(struct libpq *) libpq_only; /* the one copy of the process, while there is but one */
struct libpq *libpq_look_up(const void *caller);

/* The copy that the code at `caller` is bound to. NULL if no libpq is loaded, which a caller of libpq's
 * functions cannot see. A function that this copy is too old to have returns 0 or NULL. Thread-safe. */
static inline struct libpq *libpq_of(const void *caller) {
    struct libpq *libpq = atomic_load_explicit(&libpq_only, memory_order_acquire);
    return __builtin_expect(libpq != NULL, 1) ? libpq : libpq_look_up(caller);
}

/* The same for what makes a PGconn, which may be the first call that a new copy gets. */
struct libpq *libpq_of_creator(const void *caller);

/* The copy that has this PQconnectdb, known or new. NULL if it cannot be taken, or there are too many. */
struct libpq *libpq_with(void *connect_function);

/* The copy that a loaded module is bound to, as the loader tells its modules apart. */
struct libpq *libpq_of_module(uintptr_t base, const void *dynamic);

/* Copies by number, from 0 on in the order of their first use. */
struct libpq *libpq_numbered(unsigned number);
unsigned libpq_number(const struct libpq *libpq);

/* dlsym has given the exported wrappers away for the copy that has this PQconnectdb: who calls them from code
 * that is bound to no libpq means that one, also when there are more copies later. */
void libpq_handed_out(void *connect_function);

/* Does `caller` lie in a copy of libpq? Its own inner calls (PQping to PQconnectStart) come through the
 * same symbols as the program's, and must get the real thing. Call after libpq_of(caller). */
bool libpq_called_itself(const void *caller);

void libpq_fork(enum fork_side side);

#endif
