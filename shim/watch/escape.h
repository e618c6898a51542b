/*
 * escape.h: a process of a check is about to execute something: will that be watched?
 *
 * Not if its environment lacks our library or the run's name, if its privileges make the loader ignore
 * LD_PRELOAD, if it belongs to a user who cannot write a ledger, or if it has no loader. All of this may run
 * in the child of vfork, or of a fork while other threads held any lock: no allocation, no stdio, no loader.
 */
#ifndef PQONE_ESCAPE_H
#define PQONE_ESCAPE_H

#include "witness.h"

/* Once, when the shim is loaded and there is a witness page. */
void escape_start(void);

/* `path` from `directory`, with execveat's flags. The row that was noted; NULL: it will be watched, or nobody
 * wants to know. Keeps errno. */
struct witness_row *escape_look(int directory, const char *path, char *const environment[], int flags);

/* The same for a name that execvp would search for. */
struct witness_row *escape_look_along_path(const char *file, char *const environment[]);

#endif
