/*
 * process.h: this process's life: load, fork and exit.
 *
 * A child owns none of its parent's connections. Forks are noticed twice: by pthread_atfork, which has the
 * locks in a defined state, and by a page that the kernel wipes in every child, which notices raw clone()
 * too and costs one load.
 *
 * Lock order, everywhere: registry (set.c) > a set > handles > waiters > claims, and the watch's own locks
 * last. No lock is held across a call into libpq; a lease is.
 */
#ifndef PQONE_PROCESS_H
#define PQONE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

enum fork_side { FORK_PREPARE, FORK_PARENT, FORK_CHILD };

extern volatile uint32_t *process_marker; /* 0 in a process that has not been set up since its fork */
extern unsigned process_generation;       /* 1 in the first process, one more in each forked child */
extern bool process_exiting;              /* the destructor ran: leave everything as it is */

/* Sets the process up at its first call, or again in a forked child. */
void process_set_up(void);

static inline void process_check(void) {
    if (__builtin_expect(*process_marker == 0, 0))
        process_set_up();
}

/* This thread's id, cached. */
int process_thread(void);

#endif
