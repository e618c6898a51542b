/* escape.c: tells whether what is executed will be watched, and notes it where it will not. */
#define _GNU_SOURCE
#include "escape.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static bool preloaded; /* we came by LD_PRELOAD, and not by /etc/ld.so.preload */

static const char *value_of(char *const environment[], const char *name) {
    size_t length = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

/* As the loader splits it. */
static bool names_us(const char *list) {
    static const char own[] = "libpqone.so";
    while (list && *list) {
        size_t length = strcspn(list, " :");
        if (length >= sizeof own - 1 && memcmp(list + length - (sizeof own - 1), own, sizeof own - 1) == 0 &&
            (length == sizeof own - 1 || list[length - sizeof own] == '/'))
            return true;
        list += length;
        list += strspn(list, " :");
    }
    return false;
}

static bool takes_us_along(char *const environment[]) {
    const char *run = value_of(environment, "PQONE_RUN"),
               *directory = value_of(environment, "PQONE_LEDGER_DIR");
    return run && strcmp(run, witness_run()) == 0 && directory &&
           strcmp(directory, witness_directory()) == 0 &&
           (!preloaded || names_us(value_of(environment, "LD_PRELOAD")));
}

/* `pqone check -- pqone check -- CMD`: the inner one has changed the variables for its own program. */
static bool is_of_another_run(char *const environment[]) {
    const char *run = value_of(environment, "PQONE_RUN");
    return run && *run && strcmp(run, witness_run()) != 0 && names_us(value_of(environment, "LD_PRELOAD"));
}

/* A ledger is written into a directory of one's own, and access() would tell of capabilities that end with
 * the exec. In a user namespace both have another number. */
static bool is_of_another_user(void) {
    struct stat status;
    return witness_page()->owner != geteuid() &&
           (stat(witness_directory(), &status) != 0 || status.st_uid != geteuid());
}

/* The loader's secure-execution mode: LD_PRELOAD does nothing there. See ld.so(8). */
static bool is_privileged(int directory, const char *path, int flags) {
    struct stat status;
    struct statvfs system;
    if (fstatat(directory, path, &status, flags & AT_EMPTY_PATH) != 0 || !S_ISREG(status.st_mode))
        return false;
    bool another_user = (status.st_mode & S_ISUID) && status.st_uid != getuid();
    bool another_group =
        (status.st_mode & S_ISGID) && (status.st_mode & S_IXGRP) && status.st_gid != getgid();
    bool capable =
        getuid() != 0 && directory == AT_FDCWD && getxattr(path, "security.capability", NULL, 0) > 0;
    if (!another_user && !another_group && !capable)
        return false;
    /* There the kernel ignores all of that. */
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 &&
           (directory != AT_FDCWD || statvfs(path, &system) != 0 || !(system.f_flag & ST_NOSUID));
}

/* "/proc/self/fd/N", by hand: snprintf may allocate. */
static void name_descriptor(int file, char *into, size_t size) {
    static const char directory[] = "/proc/self/fd/";
    char digits[12];
    size_t count = 0, at = sizeof directory - 1;
    do
        digits[count++] = (char)('0' + file % 10);
    while ((file /= 10) > 0);
    memcpy(into, directory, at);
    while (count > 0 && at + 1 < size)
        into[at++] = digits[--count];
    into[at] = '\0';
}

/* An ELF file that asks for no loader. The loader itself, run as a command, honours LD_PRELOAD all the same.
 */
static bool is_static(int file, const char *path) {
    ElfW(Ehdr) header;
    const char *base = strrchr(path, '/');
    base = base ? base + 1 : path;
    if (pread(file, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        strncmp(base, "ld-", 3) == 0 || strncmp(base, "ld.", 3) == 0)
        return false;
    for (unsigned i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) part;
        off_t at = (off_t)(header.e_phoff + (size_t)i * header.e_phentsize);
        if (pread(file, &part, sizeof part, at) != (ssize_t)sizeof part || part.p_type == PT_INTERP)
            return false;
    }
    return header.e_phnum > 0;
}

/* The launcher looks inside, and may be in another directory: so under its absolute path. */
static struct witness_row *note_static(int directory, const char *path, int flags) {
    char link[32], target[PATH_MAX];
    struct witness_row *row = NULL;
    bool given = flags & AT_EMPTY_PATH && !*path;
    int file = given ? directory : openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0)
        return NULL;
    name_descriptor(file, link, sizeof link);
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length > 0) {
        target[length] = '\0';
        if (is_static(file, target))
            row = witness_note_once(WITNESS_STATIC, target);
    }
    if (!given)
        close(file);
    return row;
}

/* ctypes looks for a library by it, in every process of a test suite. It does not use libpq, and must not
 * take the rows of those who may. */
static bool is_of_the_loader(const char *path) {
    static const char name[] = "/sbin/ldconfig";
    size_t length = strlen(path);
    return length >= sizeof name - 1 && strcmp(path + length - (sizeof name - 1), name) == 0;
}

struct witness_row *escape_look(int directory, const char *path, char *const environment[], int flags) {
    struct witness_row *row = NULL;
    if (!witness_page() || !path)
        return NULL;
    int error = errno;
    const char *name = *path ? path : "a program by its descriptor";
    if (!takes_us_along(environment) && is_of_the_loader(name))
        row = witness_note_once(WITNESS_ESCAPED, name);
    else if (!takes_us_along(environment))
        row = witness_note(is_of_another_run(environment) ? WITNESS_OTHER_RUN : WITNESS_ESCAPED, name);
    else if (is_privileged(directory, path, flags))
        row = witness_note(WITNESS_PRIVILEGED, name);
    else if (is_of_another_user())
        row = witness_note(WITNESS_OTHER_USER, name);
    else
        row = note_static(directory, path, flags);
    errno = error;
    return row;
}

/* As execvp finds it: the first that can be executed. Returns `file` itself where there is none. */
static const char *search(const char *file, char *into, size_t size) {
    const char *places = getenv("PATH");
    if (!file || strchr(file, '/'))
        return file;
    if (!places)
        places = "/bin:/usr/bin";
    for (;;) {
        size_t length = strcspn(places, ":"), name = strlen(file);
        if (length + name + 2 <= size) {
            memcpy(into, places, length);
            into[length] = '/';
            memcpy(into + length + (length > 0), file, name + 1);
            if (access(into, X_OK) == 0)
                return into;
        }
        if (!places[length])
            return file;
        places += length + 1;
    }
}

struct witness_row *escape_look_along_path(const char *file, char *const environment[]) {
    char path[PATH_MAX];
    if (!witness_page() || !file)
        return NULL;
    int error = errno;
    const char *found = search(file, path, sizeof path);
    struct witness_row *row = escape_look(AT_FDCWD, found, environment, 0);
    errno = error;
    return row;
}

void escape_start(void) {
    preloaded = names_us(getenv("LD_PRELOAD"));
}
