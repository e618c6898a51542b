/* place.c: finds, makes and checks the directory of the ledgers. */
#include "place.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* After su or sudo the variable may still name another user's directory; it is ours or it is not used. */
static const char *runtime_directory(void) {
    const char *directory = secure_getenv("XDG_RUNTIME_DIR");
    struct stat state;
    if (!directory || directory[0] != '/' || lstat(directory, &state) != 0 || !S_ISDIR(state.st_mode) ||
        state.st_uid != geteuid())
        return NULL;
    return directory;
}

static bool choose(const char *asked, char *path, size_t size) {
    const char *runtime = asked ? NULL : runtime_directory();
    int length;
    if (asked)
        length = snprintf(path, size, "%s", asked);
    else if (runtime)
        length = snprintf(path, size, "%s/pqone", runtime);
    else
        length = snprintf(path, size, "/tmp/pqone-%u", (unsigned)geteuid());
    return length > 0 && (size_t)length < size;
}

/* What is wrong with the directory, or NULL. */
static const char *fault(const char *path) {
    struct stat state;
    /* An odd umask may have taken our own bits from a new directory. */
    if (mkdir(path, 0700) == 0)
        chmod(path, 0700);
    else if (errno != EEXIST)
        return strerrordesc_np(errno);
    if (lstat(path, &state) != 0)
        return strerrordesc_np(errno);
    if (!S_ISDIR(state.st_mode))
        return "it is not a directory";
    if (state.st_uid != geteuid())
        return "it belongs to another user; name a directory of your own";
    /* root's own /tmp is everybody's: chmod there would be the damage. */
    if ((state.st_mode & 077) && (state.st_mode & S_ISVTX))
        return "everybody uses it; name a directory of your own";
    if (state.st_mode & 077)
        return "others have access to it (chmod 0700 would do)";
    return NULL;
}

bool place_of_ledgers(const char *asked, char *path, size_t size, char *why, size_t why_size) {
    int error = errno;
    const char *what = choose(asked, path, size) ? fault(path) : "its name is too long";
    if (what)
        snprintf(why, why_size, "%.128s cannot hold ledgers: %s", path, what);
    errno = error;
    return !what;
}
