/* watch.c: the locks of watch/, and forking with them. */
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "recorder.h"

/* Error-checking, so that a fork in a signal handler sees that its own thread holds the lock. */
static pthread_mutex_t locks[WATCH_LOCKS] = {PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP,
                                             PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP};

/* Of the forking thread: two threads may be on their way into fork at once. */
static _Thread_local bool taken[WATCH_LOCKS];
static _Thread_local int forking_pid;

void watch_lock(enum watch_lock which) {
    pthread_mutex_lock(&locks[which]);
}

void watch_unlock(enum watch_lock which) {
    pthread_mutex_unlock(&locks[which]);
}

void watch_fork_prepare(void) {
    forking_pid = getpid();
    for (int i = 0; i < WATCH_LOCKS; i++)
        taken[i] = pthread_mutex_lock(&locks[i]) == 0;
}

void watch_fork_parent(void) {
    for (int i = WATCH_LOCKS - 1; i >= 0; i--)
        if (taken[i])
            pthread_mutex_unlock(&locks[i]);
}

/* Not unlocked: an error-checking mutex remembers its owner's thread id, and the child's is another. */
void watch_fork_child(void) {
    for (int i = 0; i < WATCH_LOCKS; i++)
        locks[i] = (pthread_mutex_t)PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    recorder_after_fork(forking_pid);
}
