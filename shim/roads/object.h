/*
 * object.h: a loaded object, read by hand: its dynamic symbols and relocations.
 *
 * Needs neither the loader's lock nor memory, so that it works before any constructor and inside a walk over
 * the loader's list. The caller sees to it that the object stays loaded meanwhile.
 */
#ifndef PQONE_OBJECT_H
#define PQONE_OBJECT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object {
    uintptr_t base; /* load bias */
    const char *name;
    const ElfW(Dyn) * dynamic;
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash, *old_hash; /* one of them */
    const uint16_t *versions;            /* or NULL */
    const ElfW(Rela) * relocations[2];   /* data and plt */
    size_t relocation_count[2];
    const char *soname; /* or "" */
};

/* False if there is no dynamic symbol table. `name` is borrowed. */
bool object_read(struct object *object, uintptr_t base, const ElfW(Dyn) * dynamic, const char *name);
bool object_read_map(struct object *object, const struct link_map *map);
bool object_read_info(struct object *object, const struct dl_phdr_info *info);

/* The address of a symbol that the object defines, in the version that is its default; NULL if none. */
void *object_symbol(const struct object *object, const char *name);

/* The number of dynamic symbols. */
uint32_t object_symbol_count(const struct object *object);

/* What the whole of the object's own libpq would be looked up by: it exports a creator, and what the shim
 * never does. */
bool object_is_libpq(const struct object *object);

/* Does it export anything but libpq's functions? Then libpq was linked into something else. */
bool object_has_more_than_libpq(const struct object *object);

/* Is this the name of something that libpq exports, as far as a name can tell? */
static inline bool object_is_libpq_name(const char *name) {
    return (name[0] == 'P' && name[1] == 'Q') || (name[0] == 'l' && name[1] == 'o' && name[2] == '_');
}

/* Code that may run before a sanitizer's runtime is ready, in a build that has one. */
#define OBJECT_EARLY __attribute__((no_sanitize("address", "undefined", "thread")))

#endif
