/* loader.c: finds the loader's functions behind the shim's own: by hand in libc, then in the order of
 * preloading, so that another library's wrappers stay in the chain. */
#define _GNU_SOURCE
#include "loader.h"

#include <dlfcn.h>
#include <link.h>
#include <stdatomic.h>

#include "object.h"

static struct loader functions;
static atomic_bool known;

OBJECT_EARLY static bool is_libc(const char *path) {
    static const char wanted[] = "libc.so.6";
    const char *base = path;
    for (const char *c = path; *c; c++)
        if (*c == '/')
            base = c + 1;
    for (size_t i = 0; i < sizeof wanted; i++)
        if (base[i] != wanted[i])
            return false;
    return true;
}

/* Volatile, or the compiler makes a tail call of it, and "next" is counted from our caller. */
OBJECT_EARLY static void *next_of(void *(*dlsym_of_libc)(void *, const char *), const char *name) {
    void *volatile address = dlsym_of_libc(RTLD_NEXT, name);
    return address;
}

/* Two threads at once write the same words. */
OBJECT_EARLY static void find(void) {
    struct object libc = {0};
    for (const struct link_map *map = _r_debug.r_map; map; map = map->l_next)
        if (is_libc(map->l_name) && object_read_map(&libc, map))
            break;
    void *(*by_hand)(void *, const char *) = object_symbol(&libc, "dlsym");
    struct loader found = {
        .dlsym = next_of(by_hand, "dlsym"),
        .dlvsym = next_of(by_hand, "dlvsym"),
        .dlopen = next_of(by_hand, "dlopen"),
        .dlerror = next_of(by_hand, "dlerror"),
    };
    if (!found.dlsym)
        found.dlsym = by_hand;
    if (!found.dlvsym)
        found.dlvsym = object_symbol(&libc, "dlvsym");
    if (!found.dlopen)
        found.dlopen = object_symbol(&libc, "dlopen");
    if (!found.dlerror)
        found.dlerror = object_symbol(&libc, "dlerror");
    functions = found;
    atomic_store_explicit(&known, true, memory_order_release);
}

OBJECT_EARLY const struct loader *loader(void) {
    if (!atomic_load_explicit(&known, memory_order_acquire))
        find();
    return &functions;
}

void *loader_next(const char *name, const char *version) {
    void *volatile address =
        version ? loader()->dlvsym(RTLD_NEXT, name, version) : loader()->dlsym(RTLD_NEXT, name);
    return address;
}
