/*
 * roads.h: the ways to libpq besides being linked with it: dlsym, dlvsym, RTLD_DEEPBIND, namespaces.
 *
 * The exported stubs (dynlink.c) ask here before each call of the loader, and then jump: to the loader's own
 * function with the registers as they were, so that it sees its true caller, or to `roads_answer`, which
 * returns what was put into `first`.
 */
#ifndef PQONE_ROADS_H
#define PQONE_ROADS_H

#include <stdbool.h>
#include <stdint.h>

/* The three argument registers of the intercepted call, in memory. */
struct loader_call {
    uintptr_t first, second, third;
};

/* Where to jump. May run before any constructor. Keep errno, and what dlerror() will say. */
void *roads_dlsym(struct loader_call *call, const void *caller);
void *roads_dlvsym(struct loader_call *call, const void *caller);
void *roads_dlopen(struct loader_call *call, const void *caller);
void roads_answer(void);

/* Stands before a name that must not be found, in the loader's error text; dlerror() takes it out. */
#define ROADS_UNFINDABLE '\001'

/* The shim's own export of that name, NULL if there is none. */
void *roads_exported(const char *name);

enum road {
    ROAD_NAMESPACE,  /* a libpq in a namespace of dlmopen */
    ROAD_INSIDE,     /* a libpq inside another module */
    ROAD_UNWRITABLE, /* relocations that cannot be changed */
    ROAD_MANY,       /* more copies than there are entrances for */
    ROADS
};

/* A road that cannot be taken, and whose: in the ledger's notes, and once in the log. */
void road_closed(enum road road, const char *name);

/* What can only be said at the end. True if there is a libpq in this process. */
bool roads_at_exit(void);

#endif
