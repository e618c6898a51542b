/*
 * results.h: the PGresults that the program was given and has not cleared. Kept in mode observe only.
 *
 * A fixed table with no lock: a result takes a place by compare and swap when it is given and leaves it when
 * it is cleared. What libpq gives to itself inside a call never comes here. A table that is full counts no
 * further.
 */
#ifndef PQONE_RESULTS_H
#define PQONE_RESULTS_H

#include "handle.h"

extern _Atomic bool results_are_kept;

/* Before the first handle is given out, if the mode wants it; again does no harm. */
void results_start(void);

/* libpq's `function`, called at `caller`, is about to return this result of the handle. Keeps errno. */
void results_given(const struct handle *handle, const PGresult *result, const char *function, void *caller);

/* Before PQclear: the result is forgotten. The copy of libpq that made it, or NULL if it is not known. */
struct libpq *results_forget(const PGresult *result);
static inline struct libpq *results_cleared(const PGresult *result) {
    return __builtin_expect(atomic_load_explicit(&results_are_kept, memory_order_relaxed), 0)
               ? results_forget(result)
               : NULL;
}

/* At exit: one misuse for each pair of opening site and place that left results. No lock may be held. */
void results_report(void);

/* In a forked child, before its first call is answered: what the parent was given is the parent's. */
void results_fork(void);

#endif
