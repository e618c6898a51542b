/* incarnation.h: which process it was: a pid alone is used again, with its start time it is not. */
#ifndef PQONE_INCARNATION_H
#define PQONE_INCARNATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat, clock ticks since boot; 0 if there is no such process or it is a zombie. */
uint64_t incarnation_start(pid_t pid);

/* Does this very process still run? */
bool incarnation_is_alive(pid_t pid, uint64_t start);

/* Reads "PID-START" from the beginning of a name; false if it is none. `rest` (or NULL) gets what follows. */
bool incarnation_from_name(const char *name, pid_t *pid, uint64_t *start, const char **rest);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t incarnation_clock(void);

#endif
