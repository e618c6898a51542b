/* pace.c: tells a thread that is behind from one that waits. */
#define _GNU_SOURCE
#include "pace.h"

#include <time.h>

#include "wait.h"

enum { ON_ITS_WAY = 50000000, PATIENCE = 500000000 }; /* nanoseconds */

/* The kernel's name of a thread's clock, which the C library tells of a pthread_t alone. */
enum { OF_A_THREAD = 4, OF_TIME_RUN = 2 };

/* Stands still while the thread sleeps; -1: it is no more. */
static int64_t clock_of(int thread) {
    struct timespec time;
    clockid_t clock = (clockid_t)(~(unsigned)thread << 3 | OF_A_THREAD | OF_TIME_RUN);
    return clock_gettime(clock, &time) == 0 ? time.tv_sec * INT64_C(1000000000) + time.tv_nsec : -1;
}

bool pace_runs(struct pace *pace, int thread, int64_t now) {
    int64_t clock = clock_of(thread);
    if (pace->thread != thread || pace->clock != clock)
        *pace = (struct pace){thread, now, clock};
    return clock >= 0 && now - pace->ran < ON_ITS_WAY;
}

/* In a transaction it is not free after the answer; that is seen when this has been fetched. */
static bool is_for_it_to_fetch(const struct server *server, const struct waiter *waiter, int64_t now) {
    int64_t resting = atomic_load(&server->resting);
    return resting > 0 && now - resting < PATIENCE && atomic_load(&server->unread) &&
           atomic_load(&server->holder) == waiter->thread && !atomic_load(&server->pinned) &&
           (!waiter->handle->identity || waiter->handle->identity == server->identity);
}

bool pace_is_behind(struct pace *pace, const struct set *set, const struct waiter *waiter) {
    int64_t now = recorder_now();
    if (!pace_runs(pace, waiter->thread, now) || wait_is_asleep(waiter->thread))
        return false;
    for (unsigned i = 0; i < set->open; i++)
        if (is_for_it_to_fetch(set->servers[i], waiter, now))
            return true;
    return false;
}
