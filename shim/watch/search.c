/* search.c: looks through a process's memory for handles. */
#include "search.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "ledger.h"
#include "search_heap.h"
#include "search_maps.h"
#include "search_pages.h"

enum { PAGE = 4096, BUFFER = 128 * 1024, PLACES_MAX = 1 << 22, TAIL = 8192 };

#define ADDRESS_BITS UINT64_C(0xffffffffffff)

/* Mapped for the search; nothing in it looks like a handle. */
struct search_work {
    uint64_t wanted[PLACES_MAX / 64], found[PLACES_MAX / 64];
    struct search_hit hits[SEARCH_HITS];
    struct maps maps;
    struct pages pages;
    uint64_t buffer[BUFFER / 8];
};

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* On a busy machine the work is no less, but takes longer. */
static bool is_over(const struct search *search) {
    return now(CLOCK_THREAD_CPUTIME_ID) > search->work_deadline || now(CLOCK_MONOTONIC) > search->deadline;
}

static bool is_set(const uint64_t *bits, uint32_t place) {
    return bits[place / 64] >> place % 64 & 1;
}
static void set(uint64_t *bits, uint32_t place) {
    bits[place / 64] |= UINT64_C(1) << place % 64;
}

static int open_memory(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool search_begin(struct search *search, pid_t pid, uint64_t range, uint64_t range_size, int64_t patience,
                  char *why, size_t size) {
    memset(search, 0, sizeof *search);
    search->pid = pid;
    search->range = range;
    search->range_size = range_size;
    search->work_deadline = now(CLOCK_THREAD_CPUTIME_ID) + patience;
    search->deadline = now(CLOCK_MONOTONIC) + 4 * patience;
    search->memory = -1;
    if (range_size / SEARCH_GRAIN > PLACES_MAX) {
        snprintf(why, size, "the range of handles is too large");
        return false;
    }
    void *work = mmap(NULL, sizeof *search->work, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (work == MAP_FAILED) {
        snprintf(why, size, "no memory for the search: %s", strerrordesc_np(errno));
        return false;
    }
    search->work = work;
    if (!pages_open(&search->work->pages, pid)) {
        snprintf(why, size, "/proc/%d/pagemap cannot be read: %s", (int)pid, strerrordesc_np(errno));
        munmap(work, sizeof *search->work);
        return false;
    }
    search->memory = open_memory(pid);
    if (pid == getpid())
        search_leave_out(search, (uintptr_t)work, (uintptr_t)work + sizeof *search->work);
    return true;
}

void search_end(struct search *search) {
    if (search->memory >= 0)
        close(search->memory);
    pages_close(&search->work->pages);
    munmap(search->work, sizeof *search->work);
    search->work = NULL;
}

void search_want(struct search *search, uint64_t address) {
    if (address - search->range < search->range_size)
        set(search->work->wanted, (uint32_t)((address - search->range) / SEARCH_GRAIN));
}

bool search_found(const struct search *search, uint64_t address) {
    return address - search->range < search->range_size &&
           is_set(search->work->found, (uint32_t)((address - search->range) / SEARCH_GRAIN));
}

/* More gaps than there is room for are looked at: that finds too much, never too little. */
void search_leave_out(struct search *search, uint64_t begin, uint64_t end) {
    if (search->gap_count < SEARCH_GAPS && begin < end)
        search->gaps[search->gap_count++] = (struct search_span){begin, end};
}

void search_add_thread(struct search *search, uint64_t stack, uint64_t block) {
    if (search->thread_count < SEARCH_THREADS)
        search->threads[search->thread_count++] = (struct search_thread){stack, block};
}

/* The handle that a word is, also with tags or as a small integer of Ruby's; UINT32_MAX for none. */
static inline uint32_t place_of(const struct search *search, uint64_t word) {
    uint64_t plain = (word & ADDRESS_BITS) - search->range;
    if (plain < search->range_size)
        return (uint32_t)(plain / SEARCH_GRAIN);
    uint64_t shifted = (word >> 1 & ADDRESS_BITS) - search->range;
    return shifted < search->range_size ? (uint32_t)(shifted / SEARCH_GRAIN) : UINT32_MAX;
}

/* An integer of Python's: count of references, type, size or tag, then digits. One that was freed has a link
 * where its count was, which is an address or nothing. */
static uint32_t place_of_digits(const struct search *search, uint64_t at, uint64_t word) {
    const uint64_t most = UINT64_C(1) << 33;
    uint64_t header[3], address = (word >> 32 << 30 | (word & 0x3fffffff)) - search->range;
    if (address >= search->range_size || (word & 0xc0000000) ||
        !search_read(search, at - sizeof header, header, sizeof header) || header[0] == 0 ||
        header[0] >= most)
        return UINT32_MAX;
    return (uint32_t)(address / SEARCH_GRAIN);
}

static void hit(struct search *search, uint64_t at, uint32_t place) {
    struct search_work *work = search->work;
    if (!is_set(work->wanted, place) || is_set(work->found, place))
        return;
    if (at - search->heap.begin < search->heap.end - search->heap.begin && search->hit_count < SEARCH_HITS)
        work->hits[search->hit_count++] = (struct search_hit){at, place};
    else
        set(work->found, place);
}

void search_word(struct search *search, uint64_t word) {
    uint32_t place = place_of(search, word);
    if (place != UINT32_MAX && is_set(search->work->wanted, place))
        set(search->work->found, place);
}

/* This loop reads every word that the process has: three compares each, in registers. */
static void scan(struct search *search, uint64_t at, const uint64_t *words, size_t count) {
    const uint64_t range = search->range, size = search->range_size, digits = range >> 30;
    for (size_t i = 0; i < count; i++) {
        uint64_t word = words[i];
        if (__builtin_expect((word & ADDRESS_BITS) - range < size ||
                                 (word >> 1 & ADDRESS_BITS) - range < size || (word >> 32) - digits <= 1,
                             0)) {
            uint32_t place = place_of(search, word);
            if (place == UINT32_MAX)
                place = place_of_digits(search, at + i * 8, word);
            if (place != UINT32_MAX)
                hit(search, at + i * 8, place);
        }
    }
}

/* How many bytes could be read. The mem file has what the process made unreadable too, and asks for no system
 * call that a sandbox would kill it for; a process that must not dump core has no such file for itself. */
static size_t read_some(const struct search *search, uint64_t at, void *into, size_t size) {
    struct iovec here = {into, size}, there = {(void *)(uintptr_t)at, size};
    ssize_t length = search->memory >= 0 ? pread(search->memory, into, size, (off_t)at)
                                         : process_vm_readv(search->pid, &here, 1, &there, 1, 0);
    return length > 0 ? (size_t)length : 0;
}

bool search_read(const struct search *search, uint64_t at, void *into, size_t size) {
    return !is_over(search) && read_some(search, at, into, size) == size;
}

/* Pages that are gone by now are left out: nothing points anywhere from there. */
static void scan_run(struct search *search, uint64_t at, uint64_t end) {
    while (at < end && !is_over(search)) {
        size_t size = end - at < BUFFER ? end - at : BUFFER;
        size_t length = read_some(search, at, search->work->buffer, size);
        scan(search, at, search->work->buffer, length / 8);
        at += length < size ? (length / PAGE + 1) * PAGE : size;
    }
}

/* Around the gaps. Both ends are multiples of eight, or are made so by looking at a little more. */
static void scan_around(struct search *search, uint64_t at, uint64_t end, size_t gap) {
    for (; gap < search->gap_count; gap++) {
        uint64_t begin = search->gaps[gap].begin & ~UINT64_C(7), after = search->gaps[gap].end & ~UINT64_C(7);
        if (begin >= end || after <= at)
            continue;
        if (begin > at)
            scan_around(search, at, begin, gap + 1);
        at = after;
        if (at >= end)
            return;
    }
    scan_run(search, at, end);
}

static bool scan_mapping(struct search *search, const struct mapping *mapping, char *why, size_t size) {
    struct pages *pages = &search->work->pages;
    uint64_t begin, end;
    pages_of(pages, mapping);
    while (pages_next(pages, &begin, &end)) {
        scan_around(search, begin, end, 0);
        if (is_over(search)) {
            snprintf(why, size, "its memory takes too long to look through");
            return false;
        }
    }
    if (pages->failed)
        snprintf(why, size, "/proc/%d/pagemap cannot be read", (int)search->pid);
    return !pages->failed;
}

/* Nothing but the shim has its own data, and a ledger is full of handles' addresses. */
static void leave_out_the_shim(struct search *search, const struct mapping *mapping) {
    ElfW(Ehdr) header;
    ElfW(Phdr) segment;
    if (mapping->offset != 0 || !search_read(search, mapping->begin, &header, sizeof header) ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_phentsize != sizeof segment)
        return;
    for (int i = 0; i < header.e_phnum && i < 32; i++)
        if (search_read(search, mapping->begin + header.e_phoff + (uint64_t)i * sizeof segment, &segment,
                        sizeof segment) &&
            segment.p_type == PT_LOAD && (segment.p_flags & PF_W))
            search_leave_out(search, mapping->begin + segment.p_vaddr,
                             mapping->begin + segment.p_vaddr + segment.p_memsz);
}

static bool is_ledger(const struct mapping *mapping) {
    const char *suffix = strstr(mapping->path, LEDGER_SUFFIX);
    size_t length = sizeof LEDGER_SUFFIX - 1;
    return suffix && (suffix[length] == '\0' || strcmp(suffix + length, " (deleted)") == 0);
}

/* The block of a thread that the C library made begins with its own address, twice. */
static uint64_t block_at_end(struct search *search, const struct mapping *mapping) {
    uint64_t *words = search->work->buffer;
    if (mapping->end - mapping->begin < 2 * TAIL || !search_read(search, mapping->end - TAIL, words, TAIL))
        return 0;
    for (size_t i = 0; i + 3 < TAIL / 8; i += 2) {
        uint64_t here = mapping->end - TAIL + i * 8;
        if (words[i] == here && words[i + 2] == here)
            return here;
    }
    return 0;
}

/* What no frame has any more: below the stack pointer of a thread, and all of one that has ended (its stack
 * is kept for the next). A stack that is not the C library's, a fiber's perhaps, may lie between other data.
 */
static void leave_out_dead_stacks(struct search *search, const struct mapping *mapping, bool has_guard) {
    bool is_main = strcmp(mapping->path, "[stack]") == 0, known = false;
    for (size_t i = 0; i < search->thread_count; i++) {
        const struct search_thread *thread = &search->threads[i];
        if (thread->stack - mapping->begin >= mapping->end - mapping->begin)
            continue;
        known = true;
        if (is_main || (has_guard && thread->block - mapping->begin < mapping->end - mapping->begin &&
                        thread->block > thread->stack))
            search_leave_out(search, mapping->begin, thread->stack);
    }
    if (known || is_main || !has_guard || !search->thread_id_offset || mapping->shared || !mapping->writable)
        return;
    uint64_t block = block_at_end(search, mapping);
    int32_t thread = -1;
    if (block && search_read(search, block + search->thread_id_offset, &thread, sizeof thread) && thread == 0)
        search_leave_out(search, mapping->begin, block);
}

/* First look: where everything is. */
static bool survey(struct search *search) {
    struct mapping mapping;
    uint64_t guard_end = 0, libc_end = 0;
    if (!maps_open(&search->work->maps, search->pid))
        return false;
    while (maps_next(&search->work->maps, &mapping)) {
        if (mapping_is_of(&mapping, "libpqone.so"))
            leave_out_the_shim(search, &mapping);
        if (mapping.path[0] == '\0' || strcmp(mapping.path, "[stack]") == 0)
            leave_out_dead_stacks(search, &mapping, guard_end == mapping.begin);
        /* After a fork it is in two parts, of which the second is the child's own. */
        if (strcmp(mapping.path, "[heap]") == 0)
            search->heap = (struct search_span){
                search->heap.end == mapping.begin ? search->heap.begin : mapping.begin, mapping.end};
        if (mapping.writable && (mapping_is_of(&mapping, "libc.so") || mapping_is_of(&mapping, "libc-2")))
            search->libc = (struct search_span){mapping.begin, mapping.end};
        else if (mapping.writable && !mapping.path[0] && mapping.begin == libc_end)
            search->libc.end = mapping.end;
        libc_end = search->libc.end;
        guard_end = !mapping.readable && !mapping.writable && !mapping.path[0] ? mapping.end : 0;
    }
    maps_close(&search->work->maps);
    return true;
}

bool search_run(struct search *search, char *why, size_t size) {
    struct mapping mapping;
    size_t gaps = search->gap_count;
    bool good = true, saw_anything = false;
    search->hit_count = 0;
    search->heap = search->libc = (struct search_span){0, 0};
    if (!survey(search) || !maps_open(&search->work->maps, search->pid)) {
        snprintf(why, size, "/proc/%d/maps cannot be read: %s", (int)search->pid, strerrordesc_np(errno));
        return false;
    }
    while (good && maps_next(&search->work->maps, &mapping)) {
        if ((mapping.path[0] == '[' && mapping.path[1] == 'v') || is_ledger(&mapping) ||
            mapping_is_device(&mapping) || (mapping.shared && !mapping.writable))
            continue;
        uint64_t probe;
        saw_anything = saw_anything || (mapping.writable && search_read(search, mapping.begin, &probe, 8));
        good = scan_mapping(search, &mapping, why, size);
    }
    maps_close(&search->work->maps);
    if (good && !saw_anything) {
        snprintf(why, size, "no permission to read the memory of process %d", (int)search->pid);
        good = false;
    }
    if (good && search->is_quiet)
        search->hit_count =
            search_heap_drop(search, search->work->hits, search->hit_count, search->work->buffer, BUFFER);
    for (size_t i = 0; i < search->hit_count; i++)
        set(search->work->found, search->work->hits[i].place);
    search->gap_count = gaps;
    return good;
}
