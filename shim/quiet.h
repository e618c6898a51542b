/*
 * quiet.h: while the engine holds a lock for more than an instant, nothing may take its thread away: a signal
 * handler that leaves by longjmp, or a cancellation, would leave the lock behind.
 */
#ifndef PQONE_QUIET_H
#define PQONE_QUIET_H

#include <pthread.h>
#include <signal.h>

struct quiet {
    sigset_t mask;
    int cancel_state;
};

/* Blocks signals and cancellation, and lets them again. For moments only: a signal of the process goes to
 * another thread meanwhile. */
void quiet_begin(struct quiet *quiet);
void quiet_end(const struct quiet *quiet);

/* pthread_cond_wait() for a twentieth of a second at most, and a millisecond's sleep, without cancellation.
 */
void quiet_wait(pthread_cond_t *condition, pthread_mutex_t *lock);
void quiet_nap(void);

#endif
