/* watch.c: the locks of watch/, and forking with them. */
#include "watch.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#include "recorder.h"

static pthread_mutex_t locks[WATCH_LOCKS] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};

/* A fork in a signal handler may come while its own thread is in here: then there is nothing to take, and
 * both sides give the lock back when the handler returns. */
static _Thread_local bool inside[WATCH_LOCKS];

/* Of the forking thread: two threads may be on their way into fork at once. */
static _Thread_local bool taken[WATCH_LOCKS];
static _Thread_local int forking_pid;

void watch_lock(enum watch_lock which) {
    pthread_mutex_lock(&locks[which]);
    inside[which] = true;
}

void watch_unlock(enum watch_lock which) {
    inside[which] = false;
    pthread_mutex_unlock(&locks[which]);
}

void watch_fork_prepare(void) {
    forking_pid = getpid();
    for (int i = 0; i < WATCH_LOCKS; i++) {
        taken[i] = !inside[i];
        if (taken[i])
            pthread_mutex_lock(&locks[i]);
    }
}

void watch_fork_parent(void) {
    for (int i = WATCH_LOCKS - 1; i >= 0; i--)
        if (taken[i])
            pthread_mutex_unlock(&locks[i]);
}

void watch_fork_child(void) {
    watch_fork_parent();
    recorder_after_fork(forking_pid);
}

void watch_fork_unprepared(void) {
    for (int i = 0; i < WATCH_LOCKS; i++)
        pthread_mutex_init(&locks[i], NULL);
    recorder_after_fork(getppid());
}
