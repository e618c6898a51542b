/* quiet.c: sleeping where nothing may take the thread away. */
#include "quiet.h"

#include <time.h>

enum { MOMENT = 50000000 }; /* nanoseconds */

void quiet_begin(struct quiet *quiet) {
    sigset_t all;
    sigfillset(&all);
    /* What a fault in our own code raises must arrive. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &all, &quiet->mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &quiet->cancel_state);
}

void quiet_end(const struct quiet *quiet) {
    pthread_setcancelstate(quiet->cancel_state, NULL);
    pthread_sigmask(SIG_SETMASK, &quiet->mask, NULL);
}

void quiet_wait(pthread_cond_t *condition, pthread_mutex_t *lock) {
    struct timespec until;
    int state;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += MOMENT;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_cond_timedwait(condition, lock, &until);
    pthread_setcancelstate(state, NULL);
}

void quiet_nap(void) {
    struct timespec moment = {0, 1000000};
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    nanosleep(&moment, NULL);
    pthread_setcancelstate(state, NULL);
}
