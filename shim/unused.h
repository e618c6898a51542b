/*
 * unused.h: PQONE_LEAK_THRESHOLD: handles that nothing was called on for so long, said while the program
 * runs, and taken back when they are used or finished after all.
 *
 * The housekeeping thread looks; a handle inside a call is in use however long that takes. Only calls that
 * need the handle's connection count: a program that asks its status every second has not used it.
 */
#ifndef PQONE_UNUSED_H
#define PQONE_UNUSED_H

#include "set.h"

extern _Atomic bool unused_is_watched; /* the setting is on and there was a handle */

/* A handle was opened, or one that came by fork was used: somebody must look after it from now on. */
void unused_watch(void);

/* Notes the outline of what is about to be run on the handle. Call only if it is watched. */
void unused_note(struct handle *handle, const char *query);

/* Before a handle is used or finished that was warned of. No lock of the engine may be held. */
void unused_take_back(struct handle *handle, const char *what);
static inline void unused_no_more(struct handle *handle, const char *what) {
    if (__builtin_expect(atomic_load_explicit(&handle->warned, memory_order_relaxed), 0))
        unused_take_back(handle, what);
}

/* Warns of the handles of a set that are over the threshold at `now`, and lowers `next` to when one may be.
 */
void unused_look(struct set *set, int64_t now, int64_t *next);

#endif
