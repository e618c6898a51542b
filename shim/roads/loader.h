/*
 * loader.h: the loader's own dlsym, dlvsym, dlopen and dlerror, or those of whoever comes after the shim.
 *
 * The shim exports functions of these names, so it cannot call them by name. They look at their return
 * address (RTLD_NEXT, RUNPATH): do not let a call that matters become a tail call by accident.
 */
#ifndef PQONE_LOADER_H
#define PQONE_LOADER_H

#include <stdbool.h>

struct loader {
    void *(*dlsym)(void *handle, const char *name);
    void *(*dlvsym)(void *handle, const char *name, const char *version);
    void *(*dlopen)(const char *file, int flags);
    char *(*dlerror)(void);
};

/* Never NULL, all there. Works before any constructor; takes no lock and no memory. */
const struct loader *loader(void);

/* dlsym(RTLD_NEXT, name) as seen from the shim: the global scope behind it. `version` may be NULL. */
void *loader_next(const char *name, const char *version);

#endif
