/* real.c: finds the copy of libpq that a caller is bound to, and takes its functions' addresses. */
#define _GNU_SOURCE
#include "real.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../watch/log.h"
#include "../watch/recorder.h"
#include "census.h"
#include "loader.h"
#include "object.h"
#include "rebind.h"
#include "roads.h"

enum { CALLERS = 64 };

/* A module that called us, and the copy it is bound to. Published whole by `map`, never changed: a module
 * that is unloaded and another mapped in its place differ in link_map or load address. */
struct caller {
    _Atomic(struct link_map *) map;
    ElfW(Addr) load_address;
    struct libpq *libpq;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: the loader's is never taken under it */
static struct libpq copies[LIBPQ_COPIES];
static _Atomic unsigned copy_count;
static struct caller callers[CALLERS];
_Atomic(struct libpq *) libpq_only;
static _Atomic(void *) handed_out; /* PQconnectdb of the copy whose functions dlsym gave away as ours */

static const char *const known_names[] = {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) #name,
#include "../libpq_calls.def"
#undef CALL
#define OTHER(name) #name,
#include "../libpq_others.def"
#undef OTHER
};

/* Stands in for a function that this copy of libpq is too old to have. */
static intptr_t missing_call(void) {
    return 0;
}

static bool is_known(const char *name) {
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (strcmp(known_names[i], name) == 0)
            return true;
    return false;
}

/* Names of exported PQ* and lo_* functions that the table does not know, comma-separated. */
static void unknown_exports(const struct link_map *map, char *names, size_t size) {
    struct object object;
    names[0] = '\0';
    if (!object_read_map(&object, map))
        return;
    for (uint32_t i = 0, count = object_symbol_count(&object); i < count; i++) {
        const ElfW(Sym) *symbol = &object.symbols[i];
        const char *name = object.strings + symbol->st_name;
        if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC ||
            !object_is_libpq_name(name) || is_known(name))
            continue;
        size_t used = strlen(names);
        if (used + strlen(name) + 3 > size)
            return;
        strcpy(names + used, used ? ", " : "");
        strcat(names, name);
    }
}

/* Stores the function's address through `slot`, a pointer to a function pointer of whatever type. */
static void take_address(void *library, const char *name, void *slot) {
    void *address = loader()->dlsym(library, name);
    if (!address)
        address = (void *)(uintptr_t)missing_call;
    memcpy(slot, &address, sizeof address);
}

static void take_addresses(struct libpq *libpq, void *library) {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) \
    take_address(library, #name, &libpq->name);
#include "../libpq_calls.def"
#undef CALL
    take_address(library, "PQlibVersion", &libpq->PQlibVersion);
    take_address(library, "PQconninfoParse", &libpq->PQconninfoParse);
    take_address(library, "PQconninfoFree", &libpq->PQconninfoFree);
    take_address(library, "PQfreemem", &libpq->PQfreemem);
    take_address(library, "PQresultStatus", &libpq->PQresultStatus);
    take_address(library, "PQcmdStatus", &libpq->PQcmdStatus);
    take_address(library, "PQresultErrorMessage", &libpq->PQresultErrorMessage);
    take_address(library, "PQresultErrorField", &libpq->PQresultErrorField);
}

static struct libpq *published(const void *function) {
    for (unsigned i = 0, count = atomic_load_explicit(&copy_count, memory_order_acquire); i < count; i++)
        if ((uintptr_t)function - copies[i].begin < copies[i].end - copies[i].begin)
            return &copies[i];
    return NULL;
}

/* It may have been unloaded, and something else be where it was. */
static bool is_connect_function(void *function) {
    struct dl_find_object found;
    struct object object;
    return _dl_find_object(function, &found) == 0 && object_read_map(&object, found.dlfo_link_map) &&
           object_symbol(&object, "PQconnectdb") == function;
}

/* Fills in a copy that is not published yet. The loader's lock may be waited for: none of ours is held. */
static bool describe(struct libpq *libpq, void *connect_function, char *unknown, size_t size) {
    struct dl_find_object object;
    if (_dl_find_object(connect_function, &object) != 0)
        return false;
    /* A reference of our own, or the library is unmapped with our connections alive. */
    void *library = loader()->dlopen(object.dlfo_link_map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    if (!library)
        return false;
    memset(libpq, 0, sizeof *libpq);
    libpq->path = strdup(object.dlfo_link_map->l_name);
    libpq->begin = (uintptr_t)object.dlfo_map_start;
    libpq->end = (uintptr_t)object.dlfo_map_end;
    take_addresses(libpq, library);
    libpq->version = libpq->PQlibVersion();
    unknown_exports(object.dlfo_link_map, unknown, size);
    libpq->has_unknown_calls = unknown[0] != '\0';
    return libpq->path != NULL;
}

/* A copy that is not published yet, while this thread asks it: its own inner calls come back to us (PQfinish
 * of libpq 17 calls PQclear), and would begin to describe it once more. */
static _Thread_local struct libpq *being_described __attribute__((tls_model("initial-exec")));

/* libpq's own notice functions, as any PGconn has them; this one is refused before it touches the network. */
static void take_notice_defaults(struct libpq *libpq) {
    struct libpq *outer = being_described;
    being_described = libpq;
    PGconn *conn = libpq->PQconnectStart("host=a,b hostaddr=c");
    if (conn) {
        libpq->default_processor = libpq->PQsetNoticeProcessor(conn, NULL, NULL);
        libpq->default_receiver = libpq->PQsetNoticeReceiver(conn, NULL, NULL);
        libpq->PQfinish(conn);
    }
    being_described = outer;
}

static void say_what_is_unknown(const struct libpq *libpq, const char *names) {
    atomic_fetch_or(&recorder()->notes, LEDGER_NOTE_UNKNOWN_EXPORTS);
    log_event(LOG_UNWATCHED, UINT32_MAX, 0,
              "%s has functions newer than this pqone knows (%s): nothing is shared, connections are only "
              "watched; a newer pqone would share",
              libpq->path, names);
}

struct libpq *libpq_with(void *connect_function) {
    struct libpq *libpq = published(connect_function), fresh;
    char unknown[256];
    if (libpq || !describe(&fresh, connect_function, unknown, sizeof unknown))
        return libpq;
    take_notice_defaults(&fresh);
    pthread_mutex_lock(&lock);
    unsigned count = atomic_load(&copy_count);
    libpq = published(connect_function);
    bool is_new = !libpq && count < LIBPQ_COPIES;
    if (is_new) {
        libpq = &copies[count];
        *libpq = fresh;
        atomic_store_explicit(&copy_count, count + 1, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
    if (is_new && libpq->has_unknown_calls)
        say_what_is_unknown(libpq, unknown);
    struct ledger_header *ledger = recorder();
    if (is_new && !ledger->libpq[0])
        strncpy(ledger->libpq, libpq->path, sizeof ledger->libpq - 1);
    return libpq;
}

static void *connect_function_of(const char *object) {
    void *module = loader()->dlopen(object, RTLD_LAZY | RTLD_NOLOAD);
    void *function = module ? loader()->dlsym(module, "PQconnectdb") : NULL;
    if (module)
        dlclose(module);
    return function;
}

/* Is the object bound to libpq at all? libffi is not, and calls it. */
static bool refers_to_libpq(const struct object *object) {
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < object->relocation_count[part]; i++) {
            uint32_t symbol = ELF64_R_SYM(object->relocations[part][i].r_info);
            if (symbol && object_is_libpq_name(object->strings + object->symbols[symbol].st_name))
                return true;
        }
    return false;
}

/* In the order of what is certain: libpq itself, a module whose binding we changed, then as the loader binds:
 * the global scope, the module's own. What no scope explains (libffi, code made at run time) has our function
 * from dlsym. */
static void *find_connect_function(const struct link_map *map) {
    struct object object;
    void *function = NULL;
    bool readable = map && object_read_map(&object, map), deep = false;
    if (readable && map->l_prev && object_is_libpq(&object))
        return object_symbol(&object, "PQconnectdb");
    deep = rebind_known(map, &function);
    if (deep && !function)
        function = connect_function_of(map->l_name);
    if (!function && !(readable && refers_to_libpq(&object)) && is_connect_function(atomic_load(&handed_out)))
        function = atomic_load(&handed_out);
    if (!function)
        function = loader_next("PQconnectdb", NULL);
    if (!function && map && map->l_name[0])
        function = connect_function_of(map->l_name);
    return function ? function : census_first();
}

/* Adds nothing that is there: two threads may look up one caller at once. */
static void remember_caller(struct link_map *map, struct libpq *libpq) {
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < CALLERS; i++) {
        struct link_map *there = atomic_load_explicit(&callers[i].map, memory_order_relaxed);
        if (there == map && callers[i].load_address == map->l_addr)
            break;
        if (there)
            continue;
        callers[i].load_address = map->l_addr;
        callers[i].libpq = libpq;
        atomic_store_explicit(&callers[i].map, map, memory_order_release);
        break;
    }
    pthread_mutex_unlock(&lock);
}

struct libpq *libpq_look_up(const void *caller) {
    struct libpq *libpq;
    struct dl_find_object object;
    struct link_map *map = NULL;
    if (being_described &&
        (uintptr_t)caller - being_described->begin < being_described->end - being_described->begin)
        return being_described;
    if (_dl_find_object((void *)(uintptr_t)caller, &object) == 0)
        map = object.dlfo_link_map;
    for (size_t i = 0; map && i < CALLERS; i++)
        if (atomic_load_explicit(&callers[i].map, memory_order_acquire) == map &&
            callers[i].load_address == map->l_addr)
            return callers[i].libpq;

    census_take();
    if (census_inside()[0])
        road_closed(ROAD_INSIDE, census_inside());
    void *connect_function = find_connect_function(map);
    libpq = connect_function ? libpq_with(connect_function) : NULL;
    if (libpq && map)
        remember_caller(map, libpq);
    if (libpq && census_count() == 1) {
        atomic_store(&libpq_only, libpq);
        census_take(); /* another thread may have seen a second one just now, and found nothing to undo */
        if (census_count() != 1)
            atomic_store(&libpq_only, NULL);
    }
    return libpq;
}

struct libpq *libpq_of_module(uintptr_t base, const void *dynamic) {
    struct dl_find_object object;
    if (_dl_find_object((void *)(uintptr_t)dynamic, &object) != 0 || object.dlfo_link_map->l_addr != base)
        return NULL;
    void *connect_function = find_connect_function(object.dlfo_link_map);
    return connect_function ? libpq_with(connect_function) : NULL;
}

struct libpq *libpq_of_creator(const void *caller) {
    census_take();
    if (census_count() != 1) {
        atomic_store(&libpq_only, NULL);
        rebind_divide();
    }
    return libpq_of(caller);
}

struct libpq *libpq_numbered(unsigned number) {
    return &copies[number];
}

unsigned libpq_number(const struct libpq *libpq) {
    return (unsigned)(libpq - copies);
}

void libpq_handed_out(void *connect_function) {
    void *nobody = NULL;
    atomic_compare_exchange_strong(&handed_out, &nobody, connect_function);
}

bool libpq_called_itself(const void *caller) {
    return published(caller) != NULL;
}

void libpq_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
