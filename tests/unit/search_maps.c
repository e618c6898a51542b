/* search_maps.c: which mappings the search may read. */
#include <criterion/criterion.h>
#include <sys/mman.h>
#include <unistd.h>

#include "watch/search_maps.h"

static bool is_device(const char *path) {
    struct mapping mapping = {.path = path};
    return mapping_is_device(&mapping);
}

Test(search_maps, a_devices_memory_is_left_alone) {
    cr_expect(is_device("/dev/dri/card0"));
    cr_expect(is_device("/dev/mem"));
    cr_expect_not(is_device("/dev/shm/pool"));
    cr_expect_not(is_device("/dev/zero (deleted)"));
    cr_expect_not(is_device("/dev/hugepages/one"));
    cr_expect_not(is_device("/devel/heap"));
    cr_expect_not(is_device(""));
}

Test(search_maps, reads_its_own_mappings) {
    static struct maps maps;
    struct mapping mapping;
    size_t size = 3 * (size_t)sysconf(_SC_PAGESIZE);
    char *wanted = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool found = false, stack = false;
    cr_assert(maps_open(&maps, getpid()));
    while (maps_next(&maps, &mapping)) {
        stack = stack || strcmp(mapping.path, "[stack]") == 0;
        if (mapping.begin != (uintptr_t)wanted)
            continue;
        found = true;
        cr_expect(mapping.end == (uintptr_t)wanted + size && mapping.readable && mapping.writable);
        cr_expect(mapping.shared);
    }
    maps_close(&maps);
    cr_expect(found && stack);
}
