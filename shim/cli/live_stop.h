/*
 * live_stop.h: stops all threads of another process and lets them go on as if nothing had been.
 *
 * By PTRACE_SEIZE, so that the kernel lets them go on even if we are killed meanwhile. A signal that comes to
 * one of them while it is stopped is handed over when it is let go.
 */
#ifndef PQONE_LIVE_STOP_H
#define PQONE_LIVE_STOP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stopped_thread {
    pid_t id;
    int signal;      /* to be delivered when it goes on, 0 for none */
    bool is_stopped; /* else it could not be, or has ended */
};

struct stopped {
    struct stopped_thread *threads;
    size_t count, capacity;
};

/* False, with errno: not allowed, or a thread did not stop within a second. Then nothing is stopped. */
bool stop_process(pid_t pid, struct stopped *stopped);
void release_process(struct stopped *stopped);

#endif
