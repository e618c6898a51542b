/*
 * runners.h: processes of a run that had not ended when its command had, by their environment at their start.
 *
 * They are found whether they used libpq or not; what they still hold, or inherited, is not judged.
 */
#ifndef PQONE_RUNNERS_H
#define PQONE_RUNNERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct runner {
    pid_t pid;
    uint64_t start; /* as incarnation_start() has it */
    char program[256];
    struct reserved {
        uint64_t begin, end;
    } * reserved; /* addresses that are reserved without being memory, as the shim's are for its handles */
    size_t reserved_count;
};

struct runners {
    struct runner *runners;
    size_t count;
};

/* Those of other users, and those that have overwritten their environment, are not found. */
void runners_find(const char *run, struct runners *into);
/* Have all of them gone on until now? */
bool runners_are_alive(const struct runners *runners);
void runners_release(struct runners *runners);

/* Has it reserved memory at that address? Forked children keep their parent's addresses, and an exec does
 * not. */
bool runner_has_reserved(const struct runner *runner, uint64_t address);

#endif
