/* search_pages.c: asks the kernel's pagemap for the pages that a process really has. */
#include "search_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* A word of pagemap. */
#define WORD_PRESENT (UINT64_C(1) << 63)
#define WORD_SWAPPED (UINT64_C(1) << 62)
#define WORD_OF_FILE (UINT64_C(1) << 61)

/* PAGEMAP_SCAN, which steps over holes of any size; the C library's header may be older than the
 * kernel. */
struct scan_argument {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SHADOW (UINT64_C(1) << 42)
enum { IS_OF_FILE = 4, IS_PRESENT = 8, IS_SWAPPED = 16 };
#define SCAN _IOWR('f', 16, struct scan_argument)

bool pages_open(struct pages *pages, pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
    pages->file = open(path, O_RDONLY | O_CLOEXEC);
    pages->page = (uint64_t)sysconf(_SC_PAGESIZE);
    pages->is_coarse = pages->failed = false;
    return pages->file >= 0;
}

void pages_close(struct pages *pages) {
    close(pages->file);
}

void pages_of(struct pages *pages, const struct mapping *mapping) {
    pages->shared = mapping->shared;
    pages->at = mapping->begin;
    pages->end = mapping->end;
    pages->count = pages->next = 0;
    /* Word by word, the terabytes that a runtime reserves, or a sanitizer for its shadow, take longer than
     * anybody waits. */
    if (pages->is_coarse &&
        ((!mapping->readable && !mapping->writable) || mapping->end - mapping->begin > SHADOW))
        pages->at = pages->end;
}

static bool scan(struct pages *pages) {
    struct scan_argument argument = {.size = sizeof argument,
                                     .start = pages->at,
                                     .end = pages->end,
                                     .vec = (uintptr_t)pages->regions,
                                     .vec_len = PAGES_REGIONS,
                                     .category_inverted = pages->shared ? 0 : IS_OF_FILE,
                                     .category_mask = pages->shared ? 0 : IS_OF_FILE,
                                     .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
                                     .return_mask = IS_PRESENT | IS_SWAPPED};
    int count = ioctl(pages->file, SCAN, &argument);
    if (count < 0 || argument.walk_end <= pages->at)
        return false;
    pages->count = (unsigned)count;
    pages->at = argument.walk_end;
    return true;
}

static bool is_worth_reading(const struct pages *pages, uint64_t word) {
    return (word & (WORD_PRESENT | WORD_SWAPPED)) && (pages->shared || !(word & WORD_OF_FILE));
}

static bool read_words(struct pages *pages) {
    uint64_t wanted = (pages->end - pages->at) / pages->page;
    wanted = wanted < PAGES_AT_ONCE ? wanted : PAGES_AT_ONCE;
    ssize_t length = pread(pages->file, pages->words, wanted * 8, (off_t)(pages->at / pages->page * 8));
    if (length < 8)
        return false;
    uint64_t count = (uint64_t)length / 8;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = pages->at + i * pages->page;
        if (!is_worth_reading(pages, pages->words[i]))
            continue;
        if (pages->count > 0 && pages->regions[pages->count - 1].end == begin)
            pages->regions[pages->count - 1].end += pages->page;
        else if (pages->count < PAGES_REGIONS)
            pages->regions[pages->count++] = (struct pages_region){begin, begin + pages->page, 0};
        else {
            count = i; /* the rest the next time */
            break;
        }
    }
    pages->at += count * pages->page;
    return true;
}

bool pages_next(struct pages *pages, uint64_t *begin, uint64_t *end) {
    *begin = *end = pages->at;
    if (pages->next < pages->count) {
        *begin = pages->regions[pages->next].begin;
        *end = pages->regions[pages->next++].end;
        return true;
    }
    if (pages->at >= pages->end)
        return false;
    pages->count = pages->next = 0;
    if (!pages->is_coarse && !scan(pages)) {
        pages->is_coarse = true;
        pages->count = 0;
    }
    if (pages->is_coarse && pages->count == 0 && pages->at < pages->end && !read_words(pages)) {
        pages->failed = true;
        return false;
    }
    return true;
}
