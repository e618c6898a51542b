/* rebind.c: points relocations of modules to the shim: of deeply bound ones, and with several copies of libpq
 * of all that use one. */
#define _GNU_SOURCE
#include "rebind.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "census.h"
#include "entrances.h"
#include "loader.h"
#include "object.h"
#include "real.h"
#include "roads.h"

#if defined __x86_64__
enum { JUMP_SLOT = R_X86_64_JUMP_SLOT, GLOB_DAT = R_X86_64_GLOB_DAT, WORD = R_X86_64_64 };
#elif defined __aarch64__
enum { JUMP_SLOT = R_AARCH64_JUMP_SLOT, GLOB_DAT = R_AARCH64_GLOB_DAT, WORD = R_AARCH64_ABS64 };
#else /* there dlopen is not intercepted, so nothing is ever expected */
enum { JUMP_SLOT = -1, GLOB_DAT = -1, WORD = -1 };
#endif

enum { OBJECTS = 4096, BINDINGS = 256, USERS = 128 };

struct place {
    struct object object;
    const ElfW(Phdr) * headers;
    size_t header_count;
    uintptr_t begin, end;
};

/* What was bound elsewhere. `base` is written last; a module that calls is loaded, so its row stays. */
struct binding {
    _Atomic uintptr_t base;
    const ElfW(Dyn) * dynamic;
    uint64_t name;
    void *connect_function; /* NULL: what its own scope offers */
};

/* A module that creates connections, and the copy that it is to have. */
struct user {
    uintptr_t base;
    const ElfW(Dyn) * dynamic;
    struct libpq *libpq;
};

struct scan {
    size_t limit; /* objects that are known to be relocated */
    unsigned long long unloads;
    bool again, all;
    char unwritable[256];
    bool first; /* nobody's PQconnectdb comes before ours */
    size_t user_count;
    struct user users[USERS];
};

/* These are touched in a walk over the loader's list alone: its lock guards them. */
static struct place places[OBJECTS];
static size_t place_count;
static size_t looked_at; /* objects at the front of the list that need no look, unless some were unloaded */
static unsigned long long looked_at_unloads;
static struct binding bindings[BINDINGS];

/* Threads that called dlopen and did not come back to us yet; of them those with RTLD_DEEPBIND. */
static atomic_int expected, expected_deep;
static _Thread_local bool expecting __attribute__((tls_model("initial-exec")));
static _Thread_local bool expecting_deep __attribute__((tls_model("initial-exec")));
static _Atomic uint64_t divided_at; /* the census after which every module got its entrances */

static uint64_t hash_name(const char *name) {
    uint64_t hash = 1469598103934665603u;
    while (*name)
        hash = (hash ^ (unsigned char)*name++) * 1099511628211u;
    return hash;
}

static int count_object(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct scan *scan = context;
    scan->limit++;
    scan->unloads = info->dlpi_subs;
    return 0;
}

static int take_mark(struct dl_phdr_info *info, size_t size, void *context) {
    (void)info;
    (void)size;
    struct scan *scan = context;
    dl_iterate_phdr(count_object, scan);
    looked_at = scan->limit;
    looked_at_unloads = scan->unloads;
    return 1;
}

void rebind_expect(bool deep) {
    rebind_look();
    if (!expecting)
        atomic_fetch_add(&expected, 1);
    expecting = true;
    if (!deep || expecting_deep)
        return;
    if (atomic_load(&expected_deep) == 0) {
        struct scan scan = {0};
        dl_iterate_phdr(take_mark, &scan);
    }
    atomic_fetch_add(&expected_deep, 1);
    expecting_deep = true;
}

static int collect(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    if (place_count == OBJECTS)
        return 1;
    struct place *place = &places[place_count++];
    object_read_info(&place->object, info);
    place->headers = info->dlpi_phdr;
    place->header_count = info->dlpi_phnum;
    place->begin = UINTPTR_MAX;
    place->end = 0;
    for (size_t i = 0; i < place->header_count; i++) {
        const ElfW(Phdr) *header = &place->headers[i];
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;
        if (header->p_type != PT_LOAD)
            continue;
        if (begin < place->begin)
            place->begin = begin;
        if (begin + header->p_memsz > place->end)
            place->end = begin + header->p_memsz;
    }
    return 0;
}

static const struct place *place_of(uintptr_t address) {
    for (size_t i = 0; i < place_count; i++)
        if (address - places[i].begin < places[i].end - places[i].begin)
            return &places[i];
    return NULL;
}

/* As the loader left the page: its RELRO part ends with the last whole page. */
static int protection_of(const struct place *place, uintptr_t page, uintptr_t page_size) {
    int protection = PROT_READ | PROT_WRITE;
    for (size_t i = 0; i < place->header_count; i++) {
        const ElfW(Phdr) *header = &place->headers[i];
        uintptr_t begin = (place->object.base + header->p_vaddr) & -page_size;
        uintptr_t end = place->object.base + header->p_vaddr + header->p_memsz;
        if (header->p_type == PT_LOAD && page >= begin && page < end)
            protection = (header->p_flags & PF_R ? PROT_READ : 0) |
                         (header->p_flags & PF_W ? PROT_WRITE : 0) | (header->p_flags & PF_X ? PROT_EXEC : 0);
    }
    for (size_t i = 0; i < place->header_count; i++) {
        const ElfW(Phdr) *header = &place->headers[i];
        uintptr_t begin = (place->object.base + header->p_vaddr) & -page_size;
        uintptr_t end = (place->object.base + header->p_vaddr + header->p_memsz) & -page_size;
        if (header->p_type == PT_GNU_RELRO && page >= begin && page < end)
            protection &= ~PROT_WRITE;
    }
    return protection;
}

static bool write_slot(const struct place *place, _Atomic uintptr_t *slot, uintptr_t value) {
    uintptr_t page_size = getauxval(AT_PAGESZ), page = (uintptr_t)slot & -page_size;
    int protection = protection_of(place, page, page_size);
    if (!(protection & PROT_WRITE) && mprotect((void *)page, page_size, protection | PROT_WRITE) != 0)
        return false;
    atomic_store(slot, value);
    if (!(protection & PROT_WRITE))
        mprotect((void *)page, page_size, protection);
    return true;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), wanted = strlen(end);
    return length >= wanted && strcmp(text + length - wanted, end) == 0;
}

/* Of libc the loader's functions are wanted: PHP's FFI looks libpq's up by a dlsym that is bound as deeply.
 */
static bool is_bypassed(const struct place *owner, const char *name, uintptr_t value) {
    bool counts = object_is_libpq_name(name) ? object_is_libpq(&owner->object)
                                             : ends_with(owner->object.name, "/libc.so.6");
    return counts && (uintptr_t)object_symbol(&owner->object, name) == value;
}

static void remember(const struct place *place, void *connect_function) {
    struct binding *row = NULL;
    for (size_t i = 0; i < BINDINGS && !row; i++) {
        uintptr_t base = atomic_load(&bindings[i].base);
        if (base == 0 || base == place->object.base)
            row = &bindings[i];
    }
    if (!row)
        return;
    atomic_store(&row->base, 0);
    row->dynamic = place->object.dynamic;
    row->name = hash_name(place->object.name);
    row->connect_function = connect_function;
    atomic_store(&row->base, place->object.base);
}

static bool is_wanted(const char *name) {
    return object_is_libpq_name(name) || (name[0] == 'd' && name[1] == 'l');
}

/* What the slot of a relocation is to hold instead, 0 if it is as it should be. `owner`: whose function it
 * holds now, the module itself if that is decided at the first call. */
static uintptr_t better(const struct object *own, const struct place *place, const ElfW(Rela) * relocation,
                        bool lazy, const struct place **owner) {
    const struct object *object = &place->object;
    int type = (int)ELF64_R_TYPE(relocation->r_info);
    uint32_t index = ELF64_R_SYM(relocation->r_info);
    if (!index || (type != JUMP_SLOT && type != GLOB_DAT && type != WORD))
        return 0;
    const char *name = object->strings + object->symbols[index].st_name;
    if (object->symbols[index].st_shndx != SHN_UNDEF || !is_wanted(name))
        return 0;
    uintptr_t ours = (uintptr_t)object_symbol(own, name);
    uintptr_t addend = type == WORD ? (uintptr_t)relocation->r_addend : 0;
    uintptr_t value = *(const uintptr_t *)(object->base + relocation->r_offset) - addend;
    *owner = ours && value != ours ? place_of(value) : NULL;
    if (!*owner)
        return 0;
    if (*owner == place)
        return lazy && type == JUMP_SLOT ? ours : 0;
    return is_bypassed(*owner, name, value) ? ours + addend : 0;
}

static void look_at(struct scan *scan, const struct object *own, const struct place *place, bool lazy) {
    const struct object *object = &place->object;
    const struct place *libpq = NULL;
    if (!object->symbols || !object->strings || object_is_libpq(object))
        return; /* libpq's calls to itself are its own business */
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < object->relocation_count[part]; i++) {
            const ElfW(Rela) *relocation = &object->relocations[part][i];
            const struct place *owner;
            uintptr_t value = better(own, place, relocation, lazy, &owner);
            if (!value)
                continue;
            if (!write_slot(place, (void *)(object->base + relocation->r_offset), value)) {
                snprintf(scan->unwritable, sizeof scan->unwritable, "%s", object->name);
                return;
            }
            if (object_is_libpq_name(object->strings +
                                     object->symbols[ELF64_R_SYM(relocation->r_info)].st_name))
                libpq = owner;
        }
    if (libpq)
        remember(place, libpq == place ? NULL : object_symbol(&libpq->object, "PQconnectdb"));
}

/* The first call of a walk, which holds the loader's list to its end: collects all objects, inside. */
static bool begin_walk(struct scan *scan, const struct dl_phdr_info *info, struct object *own) {
    struct dl_find_object here;
    scan->again = info->dlpi_subs != scan->unloads;
    if (scan->again || _dl_find_object((void *)(uintptr_t)begin_walk, &here) != 0 ||
        !object_read_map(own, here.dlfo_link_map))
        return false;
    place_count = 0;
    dl_iterate_phdr(collect, NULL);
    return true;
}

static int scan_now(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct scan *scan = context;
    struct object own;
    if (!begin_walk(scan, info, &own))
        return 1;
    /* What is bound at its first call tells nothing of itself; of what came since the mark it is known. */
    bool marked = looked_at_unloads == scan->unloads;
    for (size_t i = marked ? looked_at : 0; i < scan->limit && i < place_count; i++)
        if (places[i].object.base != own.base)
            look_at(scan, &own, &places[i], marked);
    looked_at = scan->limit;
    looked_at_unloads = scan->unloads;
    scan->all = scan->limit >= place_count;
    return 1;
}

/* A walk over objects that are relocated, all that are there now. */
static void walk_relocated(int (*work)(struct dl_phdr_info *, size_t, void *), struct scan *scan) {
    Dl_info nothing;
    for (int tries = 0; tries < 3; tries++) {
        memset(scan, 0, offsetof(struct scan, first));
        dl_iterate_phdr(count_object, scan);
        /* Takes the lock that a dlopen holds until all it loaded is relocated: what was counted, is. */
        dladdr((void *)(uintptr_t)rebind_look, &nothing);
        dl_iterate_phdr(work, scan);
        if (!scan->again)
            break;
    }
    if (scan->unwritable[0])
        road_closed(ROAD_UNWRITABLE, scan->unwritable);
}

static void look_deep(void) {
    struct scan scan = {0};
    walk_relocated(scan_now, &scan);
    if (expecting_deep && scan.all && !scan.again) {
        expecting_deep = false;
        atomic_fetch_sub(&expected_deep, 1);
    }
}

void rebind_look(void) {
    if (atomic_load_explicit(&expected, memory_order_acquire) == 0)
        return;
    if (expecting) {
        expecting = false;
        atomic_fetch_sub(&expected, 1);
    }
    if (atomic_load(&expected_deep) > 0)
        look_deep();
    census_take();
    rebind_divide();
}

/* Is this the slot of a function that has entrances, and does it hold the exported one, or will it? */
static const char *entrance_name(const struct object *own, const struct place *place,
                                 const ElfW(Rela) * relocation, bool first) {
    const struct object *object = &place->object;
    int type = (int)ELF64_R_TYPE(relocation->r_info);
    uint32_t index = ELF64_R_SYM(relocation->r_info);
    if (!index || (type != JUMP_SLOT && type != GLOB_DAT && type != WORD) ||
        object->symbols[index].st_shndx != SHN_UNDEF)
        return NULL;
    const char *name = object->strings + object->symbols[index].st_name;
    if (!object_is_libpq_name(name) || !entrance_is_for(name))
        return NULL;
    uintptr_t value = *(const uintptr_t *)(object->base + relocation->r_offset);
    bool lazy = first && type == JUMP_SLOT && value - place->begin < place->end - place->begin;
    return lazy || value == (uintptr_t)object_symbol(own, name) ? name : NULL;
}

/* With a copy known, writes; without, says whether there is anything to write. */
static bool divide_object(struct scan *scan, const struct object *own, const struct place *place,
                          const struct libpq *libpq) {
    const struct object *object = &place->object;
    if (!object->symbols || !object->strings || object->base == own->base || object_is_libpq(object))
        return false;
    for (int part = 0; part < 2; part++)
        for (size_t i = 0; i < object->relocation_count[part]; i++) {
            const ElfW(Rela) *relocation = &object->relocations[part][i];
            const char *name = entrance_name(own, place, relocation, scan->first);
            if (name && !libpq)
                return true;
            if (name && !write_slot(place, (void *)(object->base + relocation->r_offset),
                                    (uintptr_t)entrance_of(libpq, name))) {
                snprintf(scan->unwritable, sizeof scan->unwritable, "%s", object->name);
                return false;
            }
        }
    return false;
}

static int find_users(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct scan *scan = context;
    struct object own;
    if (!begin_walk(scan, info, &own))
        return 1;
    for (size_t i = 0; i < scan->limit && i < place_count && scan->user_count < USERS; i++)
        if (divide_object(scan, &own, &places[i], NULL)) {
            struct user *user = &scan->users[scan->user_count++];
            user->base = places[i].object.base;
            user->dynamic = places[i].object.dynamic;
        }
    return 1;
}

static int give_entrances(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    struct scan *scan = context;
    struct object own;
    if (!begin_walk(scan, info, &own))
        return 1;
    for (size_t i = 0; i < scan->limit && i < place_count; i++)
        for (size_t j = 0; j < scan->user_count; j++)
            if (scan->users[j].libpq && scan->users[j].base == places[i].object.base &&
                scan->users[j].dynamic == places[i].object.dynamic)
                divide_object(scan, &own, &places[i], scan->users[j].libpq);
    return 1;
}

void rebind_divide(void) {
    uint64_t stamp = census_stamp();
    if (census_count() < 2 || atomic_load(&divided_at) == stamp)
        return;
    struct scan *scan = calloc(1, sizeof *scan);
    if (!scan)
        return;
    scan->first = loader()->dlsym(RTLD_DEFAULT, "PQconnectdb") == roads_exported("PQconnectdb");
    walk_relocated(find_users, scan);
    /* Which copy is whose the loader has to be asked, in between: not with its list in hand. */
    for (size_t i = 0; i < scan->user_count; i++)
        scan->users[i].libpq = libpq_of_module(scan->users[i].base, scan->users[i].dynamic);
    if (scan->user_count)
        walk_relocated(give_entrances, scan);
    atomic_store(&divided_at, stamp);
    free(scan);
}

bool rebind_known(const struct link_map *map, void **connect_function) {
    for (size_t i = 0; map && i < BINDINGS; i++)
        if (atomic_load(&bindings[i].base) == map->l_addr && bindings[i].dynamic == map->l_ld &&
            bindings[i].name == hash_name(map->l_name)) {
            *connect_function = bindings[i].connect_function;
            return true;
        }
    return false;
}
