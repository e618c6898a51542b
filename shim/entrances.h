/*
 * entrances.h: libpq's functions that make something, once for each copy of libpq in the process.
 *
 * Who comes by a pointer from dlsym has libffi or generated code as its caller, which says nothing of the
 * copy it means. With several copies it gets one of these from dlsym instead of the exported wrapper.
 */
#ifndef PQONE_ENTRANCES_H
#define PQONE_ENTRANCES_H

#include "real.h"

/* The function of that name that goes to that copy; NULL where the exported one will do. */
void *entrance_of(const struct libpq *libpq, const char *name);

#endif
