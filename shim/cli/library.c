/* library.c: where libpqone.so is, and how the program is made to load it. */
#include "library.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined __x86_64__ && !defined __ILP32__
#define MULTIARCH "x86_64-linux-gnu"
#elif defined __aarch64__
#define MULTIARCH "aarch64-linux-gnu"
#elif defined __i386__
#define MULTIARCH "i386-linux-gnu"
#elif defined __riscv
#define MULTIARCH "riscv64-linux-gnu"
#elif defined __powerpc64__
#define MULTIARCH "powerpc64le-linux-gnu"
#elif defined __s390x__
#define MULTIARCH "s390x-linux-gnu"
#elif defined __arm__
#define MULTIARCH "arm-linux-gnueabihf"
#else
#define MULTIARCH "lib"
#endif

/* The build directory first, then where `make install` and a distribution's package put it. */
static const char *const places[] = {
    "libpqone.so",
    "../lib/pqone/libpqone.so",
    "../lib/" MULTIARCH "/pqone/libpqone.so",
    "../lib/" MULTIARCH "/libpqone.so",
    "../lib/libpqone.so",
    "../lib64/pqone/libpqone.so",
    "../lib64/libpqone.so",
};

bool library_find(char *path, size_t size, char *why, size_t why_size) {
    char self[PATH_MAX], candidate[PATH_MAX + 64], resolved[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) {
        snprintf(why, why_size, "/proc/self/exe cannot be read, so libpqone.so cannot be found beside it");
        return false;
    }
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(candidate, sizeof candidate, "%s/%s", self, places[i]);
        if (!realpath(candidate, resolved) || access(resolved, R_OK) != 0)
            continue;
        /* ld.so splits LD_PRELOAD at these two and expands the third, and knows no quoting. */
        if (strpbrk(resolved, " :$")) {
            snprintf(why, why_size, "LD_PRELOAD cannot express the path %s: it holds a space, a colon or a $",
                     resolved);
            return false;
        }
        snprintf(path, size, "%s", resolved);
        return true;
    }
    snprintf(why, why_size,
             "libpqone.so is neither beside %s/pqone nor in ../lib/pqone or ../lib/%s from there", self,
             MULTIARCH);
    return false;
}

/* The runtimes of sanitizers refuse to start unless they are loaded before everything else. */
static bool wants_to_be_first(const char *entry, size_t length) {
    static const char *const runtimes[] = {"libasan",  "libtsan",   "liblsan",
                                           "libubsan", "libhwasan", "libclang_rt"};
    const char *slash = memrchr(entry, '/', length);
    const char *base = slash ? slash + 1 : entry;
    size_t rest = length - (size_t)(base - entry);
    for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
        if (rest >= strlen(runtimes[i]) && memcmp(base, runtimes[i], strlen(runtimes[i])) == 0)
            return true;
    return false;
}

/* Adds the entries of `before` that are runtimes, or those that are not, and never `path` itself: under a
 * launcher inside a launcher it is there already. */
static void append(char *list, const char *before, const char *path, bool runtimes) {
    for (const char *at = before; *at;) {
        size_t length = strcspn(at, " :");
        if (length && wants_to_be_first(at, length) == runtimes &&
            !(length == strlen(path) && memcmp(at, path, length) == 0)) {
            if (*list)
                strcat(list, ":");
            strncat(list, at, length);
        }
        at += length;
        at += strspn(at, " :");
    }
}

char *library_preload(const char *path, const char *before) {
    if (!before)
        before = "";
    char *list = calloc(1, strlen(path) + strlen(before) + 3);
    if (!list)
        return NULL;
    append(list, before, path, true);
    if (*list)
        strcat(list, ":");
    strcat(list, path);
    append(list, before, path, false);
    return list;
}

/* gcc's runtime, which a program is linked with, insists on being the first in the list. Behind libpqone.so,
 * which takes nothing that it wants, it works as well. To preload it in front instead would bring it into
 * every child, whether built with it or not, and miss a child that was while the program was not. */
char *library_asan_options(const char *before) {
    static const char order[] = "verify_asan_link_order";
    char *options = NULL;
    if (!before)
        before = "";
    if (strstr(before, order))
        return strdup(before);
    return asprintf(&options, "%s%s%s=0", before, *before ? ":" : "", order) > 0 ? options : NULL;
}
