/* noise.h: which frames tell a reader nothing about his program. */
#ifndef PQONE_NOISE_H
#define PQONE_NOISE_H

#include "stack.h"

/* The C library's start of a program or thread, libffi, and the files of interpreters: what stands there has
 * nothing to do with this connection. Where an interpreter is part of a program's own file, its functions are
 * recognised only if `language` says that the script's own frames are there to be read instead. */
bool noise_is(const struct frame *frame, enum ledger_language language);

/* Is a file the C or C++ library, the loader or libffi? An interpreter or part of one? By their names. */
bool noise_is_runtime_file(const char *path);
bool noise_is_interpreter(const char *path);

/* Does a script of that path belong to an installed library, and not to the program? */
bool noise_is_library(const char *path);

/* The package that a library's file belongs to: "pytest" of .../site-packages/_pytest/main.py. False: it is
 * in no directory of packages. */
bool noise_package_of(const char *path, char *into, size_t size);

#endif
