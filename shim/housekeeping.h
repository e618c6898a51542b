/*
 * housekeeping.h: the thread that closes what lingers, idles or is too old.
 *
 * It runs only while there is something to keep house for: a set without handles, queries that wait for a
 * connection, a set with more than one server connection, one that is being cleaned, an idle timeout that the
 * user set, or a leak threshold (unused.h). A program with one handle on one connection never gets a thread;
 * its connection's age is looked at when it is used.
 */
#ifndef PQONE_HOUSEKEEPING_H
#define PQONE_HOUSEKEEPING_H

#include "process.h"

/* Something will be due at that time (recorder_now()): starts the thread, or wakes it if it meant to sleep
 * longer. Costs a lock when it is awake early enough already, as it is for a program that connects for
 * every request. No lock of the engine may be held. */
void housekeeping_start(int64_t due);

/* At exit: returns when the thread is not inside libpq any more, and it will not be again. */
void housekeeping_stop(void);

void housekeeping_fork(enum fork_side side);

#endif
