/* library.h: where libpqone.so is, and how the program is made to load it. */
#ifndef PQONE_LIBRARY_H
#define PQONE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* The library that belongs to this launcher: beside it, or in the libdir it was installed with. False:
 * `why` holds one sentence. */
bool library_find(char *path, size_t size, char *why, size_t why_size);

/* LD_PRELOAD with `path` in it, given what it was (or NULL). The caller frees; NULL: no memory. */
char *library_preload(const char *path, const char *before);

/* ASAN_OPTIONS with which a program that was built with the address sanitizer starts behind the library,
 * given what they were (or NULL). The program's own choice stays. The caller frees; NULL: no memory. */
char *library_asan_options(const char *before);

#endif
