/* program.h: what a command is, before it is started: can the shim get into it at all? */
#ifndef PQONE_PROGRAM_H
#define PQONE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

/* Looks at what exec would run: the file in PATH, through #! lines to the interpreter. True: the shim will
 * not work there, and `why` holds one sentence that says so. False: nothing speaks against it, or nothing
 * can be said (a file that is not there: exec will tell). */
bool program_is_out_of_reach(const char *command, char *why, size_t size);

/* Does the file at that path define libpq's functions itself, as far as its symbol tables tell? */
bool program_contains_libpq(const char *path);

/* Is it statically linked, without libpq in it? Then nothing can come to it that would call libpq. */
bool program_is_static_without_libpq(const char *path);

#endif
