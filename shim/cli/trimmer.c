/* trimmer.c: gives back the room that ledgers of dead processes do not use. */
#include "trimmer.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "ledger_files.h"

enum { PAUSE = 250 * 1000 * 1000 }; /* nanoseconds */

struct trimmer {
    const char *directory;
    pthread_t thread;
    pthread_mutex_t lock; /* guards `stopping` */
    pthread_cond_t stopped;
    bool stopping;
};

static void *trim(void *argument) {
    struct trimmer *trimmer = argument;
    pthread_mutex_lock(&trimmer->lock);
    while (!trimmer->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PAUSE;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&trimmer->stopped, &trimmer->lock, &until);
        pthread_mutex_unlock(&trimmer->lock);
        ledger_files_trim(trimmer->directory);
        pthread_mutex_lock(&trimmer->lock);
    }
    pthread_mutex_unlock(&trimmer->lock);
    return NULL;
}

struct trimmer *trimmer_start(const char *directory) {
    struct trimmer *trimmer = calloc(1, sizeof *trimmer);
    if (!trimmer)
        return NULL;
    trimmer->directory = directory;
    pthread_mutex_init(&trimmer->lock, NULL);
    pthread_cond_init(&trimmer->stopped, NULL);
    /* Signals are for the main thread alone. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&trimmer->thread, NULL, trim, trimmer) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        return trimmer;
    free(trimmer);
    return NULL;
}

void trimmer_stop(struct trimmer *trimmer) {
    if (!trimmer)
        return;
    pthread_mutex_lock(&trimmer->lock);
    trimmer->stopping = true;
    pthread_cond_signal(&trimmer->stopped);
    pthread_mutex_unlock(&trimmer->lock);
    pthread_join(trimmer->thread, NULL);
    pthread_cond_destroy(&trimmer->stopped);
    pthread_mutex_destroy(&trimmer->lock);
    free(trimmer);
}
