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

#include "watch/log.h"
#include "watch/recorder.h"

enum { COPIES = 8, CALLERS = 64 };

/* A module that called us, and the copy it is bound to. Published whole by `map`, never changed: a module
 * that is unloaded and another mapped in its place differ in link_map or load address. */
struct caller {
    _Atomic(struct link_map *) map;
    ElfW(Addr) load_address;
    struct libpq *libpq;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf: the loader's is never taken under it */
static struct libpq copies[COPIES];
static _Atomic unsigned copy_count;
static struct caller callers[CALLERS];
_Atomic(struct libpq *) libpq_global;

static const char *const known_names[] = {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) #name,
#include "libpq_calls.def"
#undef CALL
#define OTHER(name) #name,
#include "libpq_others.def"
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

/* The number of dynamic symbols, which the GNU hash table does not say but implies. */
static uint32_t symbol_count(const uint32_t *gnu_hash) {
    uint32_t bucket_count = gnu_hash[0], first = gnu_hash[1], bloom_words = gnu_hash[2], last = 0;
    const uint32_t *buckets = gnu_hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chains = buckets + bucket_count;
    for (uint32_t i = 0; i < bucket_count; i++)
        if (buckets[i] > last)
            last = buckets[i];
    if (last < first)
        return first;
    while (!(chains[last - first] & 1))
        last++;
    return last + 1;
}

/* Names of exported PQ* and lo_* functions that the table does not know, comma-separated. */
static void unknown_exports(const struct link_map *map, char *names, size_t size) {
    const ElfW(Sym) *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *gnu_hash = NULL;
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            symbols = (const void *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_STRTAB)
            strings = (const void *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_GNU_HASH)
            gnu_hash = (const void *)entry->d_un.d_ptr;
    }
    names[0] = '\0';
    if (!symbols || !strings || !gnu_hash)
        return;
    for (uint32_t i = 0, count = symbol_count(gnu_hash); i < count; i++) {
        const char *name = strings + symbols[i].st_name;
        if (symbols[i].st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC)
            continue;
        if ((strncmp(name, "PQ", 2) != 0 && strncmp(name, "lo_", 3) != 0) || is_known(name))
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
    void *address = dlsym(library, name);
    if (!address)
        address = (void *)(uintptr_t)missing_call;
    memcpy(slot, &address, sizeof address);
}

static void take_addresses(struct libpq *libpq, void *library) {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) \
    take_address(library, #name, &libpq->name);
#include "libpq_calls.def"
#undef CALL
    take_address(library, "PQlibVersion", &libpq->PQlibVersion);
    take_address(library, "PQconninfoParse", &libpq->PQconninfoParse);
    take_address(library, "PQconninfoFree", &libpq->PQconninfoFree);
    take_address(library, "PQclear", &libpq->PQclear);
    take_address(library, "PQfreemem", &libpq->PQfreemem);
    take_address(library, "PQresultStatus", &libpq->PQresultStatus);
}

static struct libpq *published(const void *function) {
    for (unsigned i = 0, count = atomic_load_explicit(&copy_count, memory_order_acquire); i < count; i++)
        if ((uintptr_t)function - copies[i].begin < copies[i].end - copies[i].begin)
            return &copies[i];
    return NULL;
}

/* Fills in a copy that is not published yet. The loader's lock may be waited for: none of ours is held. */
static bool describe(struct libpq *libpq, void *connect_function, char *unknown, size_t size) {
    struct dl_find_object object;
    if (_dl_find_object(connect_function, &object) != 0)
        return false;
    /* A reference of our own, or the library is unmapped with our connections alive. */
    void *library = dlopen(object.dlfo_link_map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
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

/* libpq's own notice functions, as any PGconn has them; this one is refused before it touches the network. */
static void take_notice_defaults(struct libpq *libpq) {
    PGconn *conn = libpq->PQconnectStart("host=a,b hostaddr=c");
    if (!conn)
        return;
    libpq->default_processor = libpq->PQsetNoticeProcessor(conn, NULL, NULL);
    libpq->default_receiver = libpq->PQsetNoticeReceiver(conn, NULL, NULL);
    libpq->PQfinish(conn);
}

static void say_what_is_unknown(const struct libpq *libpq, const char *names) {
    atomic_fetch_or(&recorder()->notes, LEDGER_NOTE_UNKNOWN_EXPORTS);
    log_event(LOG_UNWATCHED, UINT32_MAX, 0,
              "%s has functions newer than this pqone knows (%s): nothing is shared, connections are only "
              "watched; a newer pqone would share",
              libpq->path, names);
}

/* The copy to which this PQconnectdb belongs, known or new. */
static struct libpq *copy_with(void *connect_function) {
    struct libpq *libpq = published(connect_function), fresh;
    char unknown[256];
    if (libpq || !describe(&fresh, connect_function, unknown, sizeof unknown))
        return libpq;
    take_notice_defaults(&fresh);
    pthread_mutex_lock(&lock);
    unsigned count = atomic_load(&copy_count);
    libpq = published(connect_function);
    bool is_new = !libpq && count < COPIES;
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

struct any_copy {
    void *own_base;
    char names[COPIES][512];
    unsigned count;
};

/* For a caller that no module's scope explains (code made at run time): any libpq that is mapped. */
static int find_any(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct any_copy *any = context;
    if (any->count < COPIES && strstr(info->dlpi_name, "libpq") && (void *)info->dlpi_addr != any->own_base)
        snprintf(any->names[any->count++], sizeof any->names[0], "%s", info->dlpi_name);
    return 0; /* dlopen waits for a lock that this walk's caller must not hold */
}

static void *connect_function_of(const char *object) {
    void *module = dlopen(object, RTLD_LAZY | RTLD_NOLOAD);
    void *function = module ? dlsym(module, "PQconnectdb") : NULL;
    if (module)
        dlclose(module);
    return function;
}

static struct libpq *find_copy(struct link_map *map) {
    void *connect_function = dlsym(RTLD_NEXT, "PQconnectdb");
    if (connect_function) {
        struct libpq *libpq = copy_with(connect_function);
        atomic_store(&libpq_global, libpq);
        return libpq;
    }
    struct dl_find_object own;
    struct any_copy any = {.count = 0};
    if (_dl_find_object((void *)(uintptr_t)find_copy, &own) == 0)
        any.own_base = (void *)own.dlfo_link_map->l_addr;
    if (map && map->l_name[0])
        connect_function = connect_function_of(map->l_name);
    if (!connect_function)
        dl_iterate_phdr(find_any, &any);
    for (unsigned i = 0; i < any.count && !connect_function; i++)
        connect_function = connect_function_of(any.names[i]);
    return connect_function ? copy_with(connect_function) : NULL;
}

struct libpq *libpq_look_up(const void *caller) {
    struct libpq *libpq;
    struct dl_find_object object;
    struct link_map *map = NULL;
    if (_dl_find_object((void *)(uintptr_t)caller, &object) == 0)
        map = object.dlfo_link_map;
    for (size_t i = 0; map && i < CALLERS; i++)
        if (atomic_load_explicit(&callers[i].map, memory_order_acquire) == map &&
            callers[i].load_address == map->l_addr)
            return callers[i].libpq;

    libpq = find_copy(map);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; libpq && map && i < CALLERS; i++) {
        if (atomic_load_explicit(&callers[i].map, memory_order_relaxed))
            continue;
        callers[i].load_address = map->l_addr;
        callers[i].libpq = libpq;
        atomic_store_explicit(&callers[i].map, map, memory_order_release);
        break;
    }
    pthread_mutex_unlock(&lock);
    return libpq;
}

bool libpq_called_itself(const void *caller) {
    return published(caller) != NULL;
}

void libpq_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
