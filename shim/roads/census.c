/* census.c: counts the copies of libpq among the loaded objects. */
#define _GNU_SOURCE
#include "census.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#include "object.h"

/* How many objects ever came and went, over the number of copies (8 bits): one word, never torn. */
static _Atomic uint64_t latest;
static _Atomic(void *) first_copy;
static char inside[256], elsewhere[256];

/* What is known of the objects at the front of the loader's list, which only grows at its end unless some
 * were unloaded. Touched inside a walk over that list alone: its lock guards them. */
static struct {
    unsigned long long unloads;
    size_t objects;
    unsigned copies;
    void *first;
} front;

static int visit(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    size_t *index = context;
    struct object object;
    if ((*index)++ < front.objects)
        return 0;
    front.objects++;
    if (!object_read_info(&object, info) || !object_is_libpq(&object))
        return 0;
    bool is_program = !info->dlpi_name || !info->dlpi_name[0];
    if (!inside[0] && (is_program || object_has_more_than_libpq(&object)))
        snprintf(inside, sizeof inside, "%s", is_program ? "the program itself" : info->dlpi_name);
    if (is_program)
        return 0; /* it comes before us: what it defines, everybody takes from there */
    if (front.copies++ == 0)
        front.first = object_symbol(&object, "PQconnectdb");
    return 0;
}

/* The first call of a walk; the loader's lock is held through the walk inside it. */
static int take(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    (void)context;
    uint64_t stamp = (info->dlpi_adds + info->dlpi_subs) << 8;
    if ((atomic_load(&latest) & ~UINT64_C(0xff)) == stamp)
        return 1;
    if (front.unloads != info->dlpi_subs) {
        front.unloads = info->dlpi_subs;
        front.objects = 0;
        front.copies = 0;
        front.first = NULL;
    }
    size_t index = 0;
    dl_iterate_phdr(visit, &index);
    atomic_store(&first_copy, front.first);
    atomic_store(&latest, stamp | (front.copies < 255 ? front.copies : 255));
    return 1;
}

void census_take(void) {
    dl_iterate_phdr(take, NULL);
}

uint64_t census_stamp(void) {
    return atomic_load_explicit(&latest, memory_order_acquire) >> 8;
}

unsigned census_count(void) {
    return atomic_load_explicit(&latest, memory_order_acquire) & 0xff;
}

void *census_first(void) {
    return atomic_load(&first_copy);
}

const char *census_inside(void) {
    return inside;
}

/* The loader's lists of the other namespaces, where it is new enough to show them to debuggers. */
static const struct r_debug_extended *other_namespaces(void) {
    const struct r_debug_extended *all = NULL;
    for (const ElfW(Dyn) *entry = _r_debug.r_map->l_ld; entry && entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == DT_DEBUG)
            all = (const void *)entry->d_un.d_ptr;
    return all && all->base.r_version >= 2 ? all->r_next : NULL;
}

const char *census_elsewhere(void) {
    for (const struct r_debug_extended *one = other_namespaces(); one; one = one->r_next)
        for (const struct link_map *map = one->base.r_map; map; map = map->l_next) {
            struct object object;
            if (object_read_map(&object, map) && object_is_libpq(&object)) {
                snprintf(elsewhere, sizeof elsewhere, "%s", map->l_name);
                return elsewhere;
            }
        }
    return "";
}
