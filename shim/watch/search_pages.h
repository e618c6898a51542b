/* search_pages.h: which pages of a mapping are in memory or swapped out: the rest was never written. */
#ifndef PQONE_SEARCH_PAGES_H
#define PQONE_SEARCH_PAGES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "search_maps.h"

enum { PAGES_REGIONS = 1024, PAGES_AT_ONCE = 4096 };

struct pages_region {
    uint64_t begin, end, categories;
};

struct pages {
    int file;       /* pagemap */
    uint64_t page;  /* bytes */
    bool is_coarse; /* a kernel before 6.7: a word for each page, also where there are none */
    bool failed;
    bool shared;
    uint64_t at, end; /* what is still to be asked about */
    struct pages_region regions[PAGES_REGIONS];
    uint64_t words[PAGES_AT_ONCE];
    unsigned count, next;
};

/* False, with errno: pagemap cannot be read. */
bool pages_open(struct pages *pages, pid_t pid);
void pages_close(struct pages *pages);

/* Begins with a mapping; then, one after the other, its runs of pages that are worth reading: any of a shared
 * mapping, those of a private one that were written. A run may be empty, so that the caller can look at the
 * clock. False at the end, and when `failed`. */
void pages_of(struct pages *pages, const struct mapping *mapping);
bool pages_next(struct pages *pages, uint64_t *begin, uint64_t *end);

#endif
