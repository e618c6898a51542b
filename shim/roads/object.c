/* object.c: reads a loaded object's dynamic section: symbols by name, relocations. */
#define _GNU_SOURCE
#include "object.h"

#include <elf.h>
#include <string.h>

enum { HIDDEN_VERSION = 0x8000 };

/* glibc relocates these addresses in place, but not in what it cannot write to (the vdso). */
OBJECT_EARLY static const void *at(const struct object *object, const ElfW(Dyn) * entry) {
    uintptr_t address = entry->d_un.d_ptr;
    return (const void *)(address < object->base ? address + object->base : address);
}

OBJECT_EARLY static void read_entry(struct object *object, const ElfW(Dyn) * entry, size_t *soname) {
    switch (entry->d_tag) {
    case DT_SYMTAB:
        object->symbols = at(object, entry);
        break;
    case DT_STRTAB:
        object->strings = at(object, entry);
        break;
    case DT_GNU_HASH:
        object->gnu_hash = at(object, entry);
        break;
    case DT_HASH:
        object->old_hash = at(object, entry);
        break;
    case DT_VERSYM:
        object->versions = at(object, entry);
        break;
    case DT_RELA:
        object->relocations[0] = at(object, entry);
        break;
    case DT_RELASZ:
        object->relocation_count[0] = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    case DT_JMPREL:
        object->relocations[1] = at(object, entry);
        break;
    case DT_PLTRELSZ:
        object->relocation_count[1] = entry->d_un.d_val / sizeof(ElfW(Rela));
        break;
    case DT_SONAME:
        *soname = entry->d_un.d_val;
        break;
    default:
        break;
    }
}

OBJECT_EARLY bool object_read(struct object *object, uintptr_t base, const ElfW(Dyn) * dynamic,
                              const char *name) {
    static const struct object nothing;
    size_t soname = 0;
    bool with_addends = true;
    *object = nothing;
    object->base = base;
    object->name = name ? name : "";
    object->dynamic = dynamic;
    if (!dynamic)
        return false;
    for (const ElfW(Dyn) *entry = dynamic; entry->d_tag != DT_NULL; entry++) {
        read_entry(object, entry, &soname);
        if (entry->d_tag == DT_PLTREL)
            with_addends = entry->d_un.d_val == DT_RELA;
    }
    if (!object->relocations[0])
        object->relocation_count[0] = 0;
    if (!object->relocations[1] || !with_addends)
        object->relocation_count[1] = 0;
    object->soname = object->strings && soname ? object->strings + soname : "";
    return object->symbols && object->strings && (object->gnu_hash || object->old_hash);
}

OBJECT_EARLY bool object_read_map(struct object *object, const struct link_map *map) {
    return object_read(object, map->l_addr, map->l_ld, map->l_name);
}

bool object_read_info(struct object *object, const struct dl_phdr_info *info) {
    for (size_t i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            return object_read(object, info->dlpi_addr,
                               (const void *)(info->dlpi_addr + info->dlpi_phdr[i].p_vaddr), info->dlpi_name);
    return false;
}

OBJECT_EARLY static bool equal(const char *left, const char *right) {
    while (*left && *left == *right)
        left++, right++;
    return *left == *right;
}

/* Is symbol `i` a definition of that name that an unversioned reference would take? */
OBJECT_EARLY static bool is_definition(const struct object *object, uint32_t i, const char *name) {
    const ElfW(Sym) *symbol = &object->symbols[i];
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 &&
           !(object->versions && object->versions[i] & HIDDEN_VERSION) &&
           equal(object->strings + symbol->st_name, name);
}

OBJECT_EARLY static uint32_t find_hashed(const struct object *object, const char *name) {
    enum { WORD = sizeof(ElfW(Addr)), BITS = WORD * 8 };
    const uint32_t *table = object->gnu_hash;
    uint32_t bucket_count = table[0], first = table[1], bloom_words = table[2], shift = table[3], hash = 5381;
    const ElfW(Addr) *bloom = (const ElfW(Addr) *)(table + 4);
    const uint32_t *buckets = (const uint32_t *)(bloom + bloom_words), *chains = buckets + bucket_count;
    for (const char *c = name; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    if (bucket_count == 0 || bloom_words == 0)
        return 0;
    ElfW(Addr) word = bloom[hash / BITS % bloom_words];
    if (!(word >> (hash % BITS) & word >> ((hash >> shift) % BITS) & 1))
        return 0;
    uint32_t i = buckets[hash % bucket_count];
    if (i < first)
        return 0;
    for (;; i++) {
        uint32_t here = chains[i - first];
        if ((here | 1) == (hash | 1) && is_definition(object, i, name))
            return i;
        if (here & 1)
            return 0;
    }
}

OBJECT_EARLY void *object_symbol(const struct object *object, const char *name) {
    uint32_t i = 0;
    if (object->gnu_hash) {
        i = find_hashed(object, name);
    } else {
        uint32_t count = object->old_hash[1];
        for (i = 1; i < count && !is_definition(object, i, name); i++)
            ;
        if (i >= count)
            i = 0;
    }
    return i ? (void *)(object->base + object->symbols[i].st_value) : NULL;
}

/* The GNU hash table does not say how many symbols there are, but implies it. */
uint32_t object_symbol_count(const struct object *object) {
    if (!object->gnu_hash)
        return object->old_hash[1];
    uint32_t bucket_count = object->gnu_hash[0], first = object->gnu_hash[1];
    uint32_t bloom_words = object->gnu_hash[2], last = 0;
    const uint32_t *buckets = object->gnu_hash + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
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

bool object_is_libpq(const struct object *object) {
    return object_symbol(object, "PQlibVersion") && object_symbol(object, "PQconnectdb") &&
           object_symbol(object, "PQfinish");
}

/* libpq also exports helpers of its own: PQExpBuffer's, pg_*, and the linker's. */
static bool belongs_to_libpq(const char *name) {
    return object_is_libpq_name(name) || strstr(name, "PQ") || strncmp(name, "pg", 2) == 0 ||
           strncmp(name, "pq", 2) == 0 || name[0] == '_';
}

bool object_has_more_than_libpq(const struct object *object) {
    if (strstr(object->name, "libpq") || strstr(object->soname, "libpq"))
        return false;
    for (uint32_t i = 1, count = object_symbol_count(object); i < count; i++) {
        const ElfW(Sym) *symbol = &object->symbols[i];
        if (symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
            !belongs_to_libpq(object->strings + symbol->st_name))
            return true;
    }
    return false;
}
