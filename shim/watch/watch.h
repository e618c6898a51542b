/*
 * watch.h: the locks of watch/ and what a fork has to do with them.
 *
 * Lock order: an engine lock, if any, comes before all of these, WATCH_RECORDER before WATCH_OUTLET. No
 * function of the loader (dladdr, dl_iterate_phdr, dlopen) is called with one of them held: a
 * constructor inside dlopen may connect, and so wait for them with the loader's own lock in hand.
 * Call sites, log counting and settings have no lock.
 */
#ifndef PQONE_WATCH_H
#define PQONE_WATCH_H

enum watch_lock { WATCH_RECORDER, WATCH_OUTLET, WATCH_LOCKS };

void watch_lock(enum watch_lock which);
void watch_unlock(enum watch_lock which);

/* For pthread_atfork: prepare after the engine has taken its own locks, parent and child before it gives
 * them back. The child's part forgets the parent's ledger (recorder_after_fork). Async-signal-safe in
 * the child; a fork from a signal handler that interrupted one of our own sections does not deadlock. */
void watch_fork_prepare(void);
void watch_fork_parent(void);
void watch_fork_child(void);

/* In a child that raw clone() made: no handler took anything. */
void watch_fork_unprepared(void);

#endif
