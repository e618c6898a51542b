/* caller.c: a module that calls the loader: the RUNPATH and the "next" are its own, not the program's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

void *caller_opens(const char *file);
void *caller_next(const char *name);

void *caller_opens(const char *file) {
    void *volatile handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    return handle;
}

void *caller_next(const char *name) {
    void *volatile address = dlsym(RTLD_NEXT, name);
    return address;
}
