/* roads.c: what dlsym, dlvsym and dlopen are to do for a program that goes to libpq by them. */
#define _GNU_SOURCE
#include "roads.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../settings.h"
#include "../watch/log.h"
#include "../watch/recorder.h"
#include "census.h"
#include "entrances.h"
#include "loader.h"
#include "object.h"
#include "real.h"
#include "rebind.h"

enum { NAME_MAX_LENGTH = 64 };

static atomic_bool in_service; /* our constructor has run */

#if defined __x86_64__
__asm__(".text\n.globl roads_answer\n.hidden roads_answer\n.type roads_answer,@function\nroads_answer:\n"
        ".cfi_startproc\nendbr64\nmovq %rdi,%rax\nret\n.cfi_endproc\n.size roads_answer,.-roads_answer\n");
#elif defined __aarch64__
__asm__(".text\n.globl roads_answer\n.hidden roads_answer\n.type roads_answer,%function\nroads_answer:\n"
        ".cfi_startproc\nhint #34\nret\n.cfi_endproc\n.size roads_answer,.-roads_answer\n");
#else
void roads_answer(void) {}
#endif

static const char *const said_of[ROADS] = {
    [ROAD_NAMESPACE] =
        "is in a namespace of its own (dlmopen), which nothing preloaded can enter: its connections are "
        "neither shared nor watched; load it with dlopen",
    [ROAD_INSIDE] =
        "has a libpq of its own linked in, and calls inside it do not pass through libpqone.so: its "
        "connections may be neither shared nor watched; link it with the shared libpq",
    [ROAD_UNWRITABLE] =
        "was loaded with RTLD_DEEPBIND and its relocations cannot be changed (mprotect is refused): its "
        "connections are neither shared nor watched; load it without RTLD_DEEPBIND",
    [ROAD_MANY] =
        "is one libpq too many for this process: its connections are neither shared nor watched; load "
        "fewer copies",
};

static bool is_off(void) {
    return settings()->disable || settings()->mode == MODE_OFF;
}

void road_closed(enum road road, const char *name) {
    static _Atomic unsigned said;
    if (is_off())
        return;
    atomic_fetch_or(&recorder()->notes, LEDGER_NOTE_ROAD);
    if (!(atomic_fetch_or(&said, 1u << road) & 1u << road))
        log_event(LOG_UNWATCHED, UINT32_MAX, 0, "%s %s", name, said_of[road]);
}

static void *look_up(uintptr_t handle, const char *name, const char *version) {
    void *volatile address =
        version ? loader()->dlvsym((void *)handle, name, version) : loader()->dlsym((void *)handle, name);
    return address;
}

static struct link_map *object_at(const void *address) {
    struct dl_find_object object;
    return _dl_find_object((void *)(uintptr_t)address, &object) == 0 ? object.dlfo_link_map : NULL;
}

static struct link_map *own_map(void) {
    return object_at((const void *)(uintptr_t)own_map);
}

void *roads_exported(const char *name) {
    struct object own;
    const struct link_map *map = own_map();
    return map && object_read_map(&own, map) ? object_symbol(&own, name) : NULL;
}

/* Does the object come before the shim in the order of loading, as the program and earlier preloads do? */
static bool precedes_us(const struct link_map *map) {
    for (const struct link_map *one = own_map(); one; one = one->l_prev)
        if (one == map)
            return true;
    return false;
}

static bool is_in_our_namespace(const struct link_map *map) {
    while (map->l_prev)
        map = map->l_prev;
    return map == _r_debug.r_map;
}

static void *answer(struct loader_call *call, void *address) {
    call->first = (uintptr_t)address;
    return (void *)(uintptr_t)roads_answer;
}

/* The loader itself is to say that there is no such symbol, in its own words. */
static void *not_found(struct loader_call *call, void *real) {
    static _Thread_local char name[NAME_MAX_LENGTH] __attribute__((tls_model("initial-exec")));
    snprintf(name, sizeof name, "%c%s", ROADS_UNFINDABLE, (const char *)call->second);
    call->second = (uintptr_t)name;
    return real;
}

/* The program is about to get libpq's `address`: ours in its place, where we have one for that copy. */
static void *hand_out(struct loader_call *call, void *real, void *ours, void *address) {
    struct link_map *map = object_at(address);
    struct object object;
    if (!map || !object_read_map(&object, map) || !object_is_libpq(&object) || !map->l_prev)
        return real;
    if (!is_in_our_namespace(map)) {
        road_closed(ROAD_NAMESPACE, map->l_name);
        return real;
    }
    census_take();
    void *connect_function = object_symbol(&object, "PQconnectdb");
    if (census_count() <= 1) {
        libpq_handed_out(connect_function);
        return answer(call, ours);
    }
    struct libpq *libpq = libpq_with(connect_function);
    if (!libpq) {
        road_closed(ROAD_MANY, map->l_name);
        return real;
    }
    void *entrance = entrance_of(libpq, (const char *)call->second);
    if (entrance)
        return answer(call, entrance);
    /* Of a libpq that is only watched the program has real pointers: nothing but this copy may see them. */
    bool ends = strcmp((const char *)call->second, "PQfinish") == 0;
    return libpq->has_unknown_calls && !ends ? real : answer(call, ours);
}

/* RTLD_DEFAULT: what the caller's scope has besides us. */
static void *by_default(struct loader_call *call, const void *caller, void *real, void *ours,
                        const char *version) {
    const char *name = (const char *)call->second;
    if (look_up((uintptr_t)RTLD_DEFAULT, name, version) != ours)
        return real; /* somebody comes before us */
    void *address = loader_next(name, version);
    struct link_map *map = address ? NULL : object_at(caller);
    if (map && map->l_prev && is_in_our_namespace(map)) {
        void *module = loader()->dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
        address = module ? look_up((uintptr_t)module, name, version) : NULL;
        if (module)
            dlclose(module);
    }
    if (!address)
        return not_found(call, real);
    struct link_map *owner = object_at(address);
    struct object object;
    if (owner && object_read_map(&object, owner) && !object_is_libpq(&object))
        return answer(call, ours); /* another library's wrapper, which comes after us as for everybody */
    return hand_out(call, real, ours, address);
}

static void *by_handle(struct loader_call *call, void *real, void *ours, const char *version) {
    const char *name = (const char *)call->second;
    void *address = look_up(call->first, name, version);
    if (!address)
        return real;
    if (address != ours)
        return hand_out(call, real, ours, address);
    /* The program's own handle, dlopen(NULL), in whose scope we are found whether there is a libpq or not. */
    void *behind = loader_next(name, version);
    return behind ? hand_out(call, real, ours, behind) : not_found(call, real);
}

static void *decide(struct loader_call *call, const void *caller, void *real, const char *version) {
    const char *name = (const char *)call->second;
    void *ours = roads_exported(name);
    if (!ours || strlen(name) >= NAME_MAX_LENGTH - 1 || is_off())
        return real;
    if (call->first == (uintptr_t)RTLD_DEFAULT)
        return by_default(call, caller, real, ours, version);
    if (call->first != (uintptr_t)RTLD_NEXT)
        return by_handle(call, real, ours, version);
    /* Who is before us gets us as the next, but not in place of nothing. */
    const struct link_map *asking = object_at(caller);
    bool gets_us = asking && asking != own_map() && precedes_us(asking);
    return gets_us && !loader_next(name, version) ? not_found(call, real) : real;
}

OBJECT_EARLY static bool concerns_us(const char *name) {
    return atomic_load_explicit(&in_service, memory_order_relaxed) && name;
}

static void *symbol(struct loader_call *call, const void *caller, void *real, const char *version) {
    int error = errno;
    rebind_look();
    void *target =
        object_is_libpq_name((const char *)call->second) ? decide(call, caller, real, version) : real;
    errno = error;
    return target;
}

OBJECT_EARLY void *roads_dlsym(struct loader_call *call, const void *caller) {
    void *real = (void *)(uintptr_t)loader()->dlsym;
    return concerns_us((const char *)call->second) ? symbol(call, caller, real, NULL) : real;
}

OBJECT_EARLY void *roads_dlvsym(struct loader_call *call, const void *caller) {
    void *real = (void *)(uintptr_t)loader()->dlvsym;
    bool ask = concerns_us((const char *)call->second) && call->third;
    return ask ? symbol(call, caller, real, (const char *)call->third) : real;
}

static void expect_module(bool deep) {
    int error = errno;
    if (!is_off())
        rebind_expect(deep);
    errno = error;
}

OBJECT_EARLY void *roads_dlopen(struct loader_call *call, const void *caller) {
    (void)caller;
    if (concerns_us((const char *)call->first))
        expect_module(call->second & RTLD_DEEPBIND);
    return (void *)(uintptr_t)loader()->dlopen;
}

bool roads_at_exit(void) {
    census_take();
    if (census_elsewhere()[0])
        road_closed(ROAD_NAMESPACE, census_elsewhere());
    if (census_inside()[0])
        road_closed(ROAD_INSIDE, census_inside());
    return census_count() > 0;
}

static __attribute__((constructor)) void loaded(void) {
    atomic_store(&in_service, true);
}
