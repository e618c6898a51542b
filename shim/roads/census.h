/*
 * census.h: how many copies of libpq the process has loaded. Extensions bring their own (wheels, plugins),
 * and what is right for one copy is wrong for several.
 */
#ifndef PQONE_CENSUS_H
#define PQONE_CENSUS_H

#include <stdint.h>

/* Looks over the loaded objects, if any came or went since the last time. 40 ns if none did. Waits for nobody
 * but the loader's list, so it may run inside a constructor. */
void census_take(void);

/* Grows with every object that is loaded or unloaded, as of the last census_take(). */
uint64_t census_stamp(void);

/* As of the last census_take(). Copies in other namespaces (dlmopen) are not counted. */
unsigned census_count(void);

/* PQconnectdb of the copy that was loaded first, or NULL. */
void *census_first(void);

/* Name of the first object, the program itself included, that has a libpq of its own linked in and shows its
 * functions; "" if there is none. */
const char *census_inside(void);

/* Name of a libpq in another namespace, "" if there is none. */
const char *census_elsewhere(void);

#endif
