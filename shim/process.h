/*
 * process.h: this process's life: load, fork and exit.
 *
 * A child owns none of its parent's connections. Forks are noticed twice: by pthread_atfork, which has the
 * locks in a defined state, and by a page that the kernel wipes in every child, which notices raw clone()
 * too and costs one load.
 *
 * Lock order, everywhere: registry (set.c) > a set > handles > waiters > claims; a descriptor's
 * and the relay's (sockets/) are leaves after a set's, the relay's batch before a descriptor's; the watch's
 * own locks last. No lock is held across a call into libpq; a lease is.
 */
#ifndef PQONE_PROCESS_H
#define PQONE_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* FORK_UNPREPARED: a child that raw clone() made, where no handler took the locks before. */
enum fork_side { FORK_PREPARE, FORK_PARENT, FORK_CHILD, FORK_UNPREPARED };

extern _Atomic(_Atomic uint32_t *) process_marker; /* at 0 in a process not set up since its fork */
extern unsigned process_generation;                /* 1 in the first process, one more in each forked child */
extern bool process_exiting;                       /* the destructor ran: leave everything as it is */

/* Sets the process up at its first call, or again in a forked child. */
void process_set_up(void);

static inline bool process_is_set_up(void) {
    _Atomic uint32_t *marker = atomic_load_explicit(&process_marker, memory_order_acquire);
    return __builtin_expect(atomic_load_explicit(marker, memory_order_acquire) != 0, 1);
}

static inline void process_check(void) {
    if (!process_is_set_up())
        process_set_up();
}

/* What a fork does to a lock: taken before, given back on both sides, or made anew where it was not taken. */
void process_fork_lock(pthread_mutex_t *lock, enum fork_side side);

/* This thread's id, cached; and whether one of this process still lives. */
int process_thread(void);
bool process_thread_lives(int thread);

/* After a connect: has threads of ours out of libpq at exit() before what that one has initialised by now is
 * cleaned up, which is done in the reverse order. */
void process_watch_end(bool with_tls);

#endif
