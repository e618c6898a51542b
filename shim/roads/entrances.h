/*
 * entrances.h: libpq's functions that are given no handle, once for each copy of libpq in the process.
 *
 * Who comes by a pointer from dlsym has libffi or generated code as its caller, which says nothing of the
 * copy it means; so does a wrapper that ends in a tail call. With several copies dlsym gives one of these
 * instead of the exported wrapper, and rebind.h puts them into the modules.
 */
#ifndef PQONE_ENTRANCES_H
#define PQONE_ENTRANCES_H

#include "real.h"

/* Is there one for the function of that name? */
bool entrance_is_for(const char *name);

/* The function of that name that goes to that copy; NULL where the exported one will do. */
void *entrance_of(const struct libpq *libpq, const char *name);

#endif
