/*
 * exec.c: exported functions that execute a program. They hold no logic: watch/escape.c looks at what is
 * executed, and notes what will not be watched.
 *
 * Nothing is changed, neither arguments nor environment: the call is passed on as it is. Without a check (no
 * witness page) that is all that happens. What is here may run in the child of vfork, or of a fork while
 * other threads held any lock: so no allocation, no stdio, no loader; the real functions are looked up at
 * load.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "facade.h"
#include "settings.h"
#include "watch/escape.h"

extern char **environ;

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *,
                           const posix_spawnattr_t *, char *const[], char *const[]);
static struct {
    int (*execve)(const char *, char *const[], char *const[]);
    int (*execv)(const char *, char *const[]);
    int (*execvp)(const char *, char *const[]);
    int (*execvpe)(const char *, char *const[], char *const[]);
    int (*fexecve)(int, char *const[], char *const[]);
    int (*execveat)(int, const char *, char *const[], char *const[], int);
    spawn_function *posix_spawn, *posix_spawnp;
    int (*system)(const char *);
    FILE *(*popen)(const char *, const char *);
} real;

#define FIND(name) *(void **)&real.name = dlsym(RTLD_NEXT, #name)

/* Two threads at once write the same words. */
static void find_real(void) {
    FIND(execve);
    FIND(execv);
    FIND(execvp);
    FIND(execvpe);
    FIND(fexecve);
    FIND(execveat);
    FIND(posix_spawn);
    FIND(posix_spawnp);
    FIND(system);
    FIND(popen);
}

/* The constructor has found them. But what is preloaded after us is constructed before us, and may execute
 * something already then. */
#define REAL(name) (real.name ? real.name : (find_real(), real.name))

/* An exec that returns has failed. */
static int failed(struct witness_row *row, int result) {
    int error = errno;
    witness_take_back(row);
    errno = error;
    return result;
}

EXPORT int execve(const char *path, char *const arguments[], char *const environment[]) {
    struct witness_row *row = escape_look(AT_FDCWD, path, environment, 0);
    return failed(row, REAL(execve)(path, arguments, environment));
}

EXPORT int execv(const char *path, char *const arguments[]) {
    struct witness_row *row = escape_look(AT_FDCWD, path, environ, 0);
    return failed(row, REAL(execv)(path, arguments));
}

EXPORT int execvp(const char *file, char *const arguments[]) {
    struct witness_row *row = escape_look_along_path(file, environ);
    return failed(row, REAL(execvp)(file, arguments));
}

EXPORT int execvpe(const char *file, char *const arguments[], char *const environment[]) {
    struct witness_row *row = escape_look_along_path(file, environment);
    return failed(row, REAL(execvpe)(file, arguments, environment));
}

EXPORT int fexecve(int file, char *const arguments[], char *const environment[]) {
    struct witness_row *row = escape_look(file, "", environment, AT_EMPTY_PATH);
    return failed(row, REAL(fexecve)(file, arguments, environment));
}

EXPORT int execveat(int directory, const char *path, char *const arguments[], char *const environment[],
                    int flags) {
    struct witness_row *row = escape_look(directory, path, environment, flags);
    return failed(row, REAL(execveat)(directory, path, arguments, environment, flags));
}

/* How many words the caller gave; where the list ends, `rest` is behind its NULL. */
static size_t count_words(const char *first, va_list *words) {
    size_t count = 0;
    for (const char *word = first; word; word = va_arg(*words, const char *))
        count++;
    return count;
}

static void take_words(char **into, size_t count, const char *first, va_list *words) {
    for (size_t i = 0; i < count; i++)
        into[i] = i ? va_arg(*words, char *) : (char *)first;
    into[count] = NULL;
    if (count)
        (void)va_arg(*words, char *);
}

/* The list of words that stands behind `first`, on the caller's stack as the C library has it too. */
#define WORDS(arguments, first, words)                                         \
    va_list words;                                                             \
    va_start(words, first);                                                    \
    size_t count_of_##arguments = count_words(first, &words);                  \
    va_end(words);                                                             \
    char **arguments = alloca((count_of_##arguments + 1) * sizeof *arguments); \
    va_start(words, first);                                                    \
    take_words(arguments, count_of_##arguments, first, &words)

EXPORT int execl(const char *path, const char *first, ...) {
    WORDS(arguments, first, words);
    va_end(words);
    struct witness_row *row = escape_look(AT_FDCWD, path, environ, 0);
    return failed(row, REAL(execv)(path, arguments));
}

EXPORT int execlp(const char *file, const char *first, ...) {
    WORDS(arguments, first, words);
    va_end(words);
    struct witness_row *row = escape_look_along_path(file, environ);
    return failed(row, REAL(execvp)(file, arguments));
}

EXPORT int execle(const char *path, const char *first, ...) {
    WORDS(arguments, first, words);
    char *const *environment = va_arg(words, char *const *);
    va_end(words);
    struct witness_row *row = escape_look(AT_FDCWD, path, environment, 0);
    return failed(row, REAL(execve)(path, arguments, environment));
}

EXPORT int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[],
                       char *const environment[]) {
    struct witness_row *row = escape_look(AT_FDCWD, path, environment, 0);
    int error = REAL(posix_spawn)(pid, path, actions, attributes, arguments, environment);
    if (error)
        witness_take_back(row);
    return error;
}

EXPORT int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const arguments[],
                        char *const environment[]) {
    struct witness_row *row = escape_look_along_path(file, environment);
    int error = REAL(posix_spawnp)(pid, file, actions, attributes, arguments, environment);
    if (error)
        witness_take_back(row);
    return error;
}

/* The C library starts its shell without calling any of the above, with whatever the environment is then. */
EXPORT int system(const char *command) {
    if (command)
        escape_look(AT_FDCWD, "/bin/sh", environ, 0);
    return REAL(system)(command);
}

EXPORT FILE *popen(const char *command, const char *type) {
    escape_look(AT_FDCWD, "/bin/sh", environ, 0);
    return REAL(popen)(command, type);
}

/* Before any other constructor of ours or of the program: in a child of theirs it would be too late. */
static __attribute__((constructor(101))) void loaded(void) {
    find_real();
    witness_attach();
    if (witness_page()) {
        settings_remember();
        escape_start();
    }
}
