/* launch.h: a program started with libpqone.so in it, and what is left of it: common to `run` and `check`. */
#ifndef PQONE_LAUNCH_H
#define PQONE_LAUNCH_H

#include <limits.h>
#include <stdint.h>

#include "child.h"
#include "ledger_files.h"
#include "log_relay.h"
#include "options.h"

struct witness_page;

/* What one run has in hand; `directory` is "" when there is no place for ledgers. */
struct launch {
    struct options options;
    char id[64], directory[PATH_MAX], library[PATH_MAX];
    struct log_relay *relay;
    struct child child;
    int64_t child_end;
    struct witness_page *witness; /* of a check, while there is a place; NULL else */
    bool checks;                  /* `check`: what cannot be watched has to be known */
    bool silent; /* not one byte of ours on any stream, unless the program cannot be started */
};

/* PQONE_DISABLE, or mode off. */
bool launch_is_off(const struct launch *launch);

/* Ledgers and log lines of every process of this run come to one directory, also of those whose
 * environment has lost XDG_RUNTIME_DIR. False: there is no such place, and `why` tells. A check needs room
 * for its witness besides. */
bool launch_find_place(struct launch *launch, char *why, size_t size);

/* Runs the program of options.rest to its end, with its environment set for the shim. 0, or the exit status
 * of `pqone` when it could not be started, which has been said then. The log is complete when it returns. */
int launch_run(struct launch *launch);

/* The ledgers of all processes of the run; the end of the program itself is told in them. */
void launch_ledgers(const struct launch *launch, struct ledger_list *into);

#endif
