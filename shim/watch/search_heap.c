/* search_heap.c: walks the main arena of glibc's malloc, and believes it only if all of it agrees. */
#include "search_heap.h"

enum { HEADER = 16, CHUNK_MIN = 32, FAST_BINS = 10, BINS = 127, TCACHE_BINS = 64, TCACHE_CHUNK = 0x290 };
enum { PREV_IN_USE = 1, IS_MMAPPED = 2, OTHER_ARENA = 4, FLAGS = 7 };

/* The words of an arena from its fast bins on; only their order is relied on, and checked. */
struct arena {
    uint64_t fast[FAST_BINS], top, last_remainder, bins[2 * BINS];
};

struct heap {
    const struct search *search;
    uint64_t begin, end;
    uint64_t window_at, window_length;
    uint64_t *window; /* window_size bytes */
    uint64_t window_size;
    uint64_t *fast; /* chunks in fast bins */
    size_t fast_count, fast_room;
    uint64_t key; /* the second word of every chunk in a thread's cache; 0: not known */
    bool is_good;
};

/* A word of the heap, by way of a window that moves up with the walk. */
static uint64_t word_at(struct heap *heap, uint64_t at) {
    if (at < heap->begin || at > heap->end - 8 || at % 8) {
        heap->is_good = false;
        return 0;
    }
    if (at < heap->window_at || at + 8 > heap->window_at + heap->window_length) {
        heap->window_at = at;
        heap->window_length = heap->end - at < heap->window_size ? heap->end - at : heap->window_size;
        if (!search_read(heap->search, at, heap->window, heap->window_length)) {
            heap->is_good = false;
            heap->window_length = 0;
            return 0;
        }
    }
    return heap->window[(at - heap->window_at) / 8];
}

static bool is_chunk(const struct heap *heap, uint64_t chunk) {
    return chunk % HEADER == 0 && chunk >= heap->begin && chunk <= heap->end - CHUNK_MIN;
}

/* Size of the chunk, 0 if that is none. */
static uint64_t size_of(struct heap *heap, uint64_t chunk) {
    uint64_t word = is_chunk(heap, chunk) ? word_at(heap, chunk + 8) : 0, size = word & ~(uint64_t)FLAGS;
    bool good = size >= CHUNK_MIN && size % HEADER == 0 && size <= heap->end - chunk &&
                !(word & (IS_MMAPPED | OTHER_ARENA));
    return good ? size : 0;
}

/* The last chunk, which ends where the heap does; 0 if the chunks do not lead there. */
static uint64_t find_top(struct heap *heap) {
    for (uint64_t chunk = heap->begin;;) {
        uint64_t size = size_of(heap, chunk);
        if (size == 0)
            return 0;
        if (chunk + size == heap->end)
            return chunk;
        chunk += size;
    }
}

/* An empty bin points at itself, any other into the heap. No other memory looks like that 127 times. */
static bool is_arena(const struct heap *heap, const struct arena *arena, uint64_t bins_at) {
    unsigned empty = 0;
    for (int i = 0; i < BINS; i++) {
        uint64_t bin = bins_at + (uint64_t)i * 16 - HEADER;
        bool is_empty = arena->bins[2 * i] == bin && arena->bins[2 * i + 1] == bin;
        if (!is_empty && !(is_chunk(heap, arena->bins[2 * i]) && is_chunk(heap, arena->bins[2 * i + 1])))
            return false;
        empty += is_empty;
    }
    return empty > 0;
}

static bool find_arena(struct heap *heap, uint64_t top, struct arena *arena) {
    const struct search_span *libc = &heap->search->libc;
    const uint64_t before = FAST_BINS * 8, size = heap->window_size;
    for (uint64_t at = libc->begin + before; at + sizeof *arena < libc->end; at += size) {
        uint64_t length = libc->end - at < size ? libc->end - at : size;
        if (!search_read(heap->search, at, heap->window, length))
            return false;
        heap->window_length = 0; /* it holds something else now */
        for (uint64_t i = 0; i < length / 8; i++) {
            uint64_t here = at + i * 8;
            if (heap->window[i] == top && search_read(heap->search, here - before, arena, sizeof *arena) &&
                is_arena(heap, arena, here + 16))
                return true;
        }
    }
    return false;
}

/* Since 2.32 the links of single-linked lists are mixed with their own address. */
static uint64_t follow(struct heap *heap, uint64_t link_at) {
    uint64_t word = word_at(heap, link_at), mixed = word ^ link_at >> 12;
    return mixed == 0 || is_chunk(heap, mixed) ? mixed : word;
}

static void collect_fast_chunks(struct heap *heap, const struct arena *arena) {
    for (int i = 0; i < FAST_BINS; i++) {
        uint64_t size = (uint64_t)(i + 2) * HEADER, chunk = arena->fast[i];
        while (chunk && size_of(heap, chunk) == size && heap->fast_count < heap->fast_room) {
            heap->fast[heap->fast_count++] = chunk;
            chunk = follow(heap, chunk + HEADER);
        }
    }
}

/* The first thread's cache is the first chunk: a count and an entry for each size. */
static void learn_key(struct heap *heap) {
    if (size_of(heap, heap->begin) != TCACHE_CHUNK)
        return;
    uint64_t entries = heap->begin + HEADER + TCACHE_BINS * sizeof(uint16_t);
    for (uint64_t i = 0; i < TCACHE_BINS && !heap->key; i++) {
        uint64_t entry = word_at(heap, entries + i * 8);
        if (is_chunk(heap, entry) && size_of(heap, entry - HEADER) == CHUNK_MIN + i * HEADER)
            heap->key = word_at(heap, entry + 8);
    }
}

static bool is_free(struct heap *heap, uint64_t chunk, uint64_t size) {
    if (chunk + size == heap->end || !(word_at(heap, chunk + size + 8) & PREV_IN_USE))
        return true;
    if (heap->key && word_at(heap, chunk + HEADER + 8) == heap->key)
        return true;
    for (size_t i = 0; i < heap->fast_count; i++)
        if (heap->fast[i] == chunk)
            return true;
    return false;
}

/* Is the hit in this chunk? The user's part goes on into the first word of the next one. */
static bool is_in(uint64_t at, uint64_t chunk, uint64_t size) {
    return at - (chunk + HEADER) < size - 8;
}

size_t search_heap_drop(const struct search *search, struct search_hit *hits, size_t count, void *buffer,
                        size_t size) {
    struct heap heap = {.search = search,
                        .begin = search->heap.begin,
                        .end = search->heap.end,
                        .window = buffer,
                        .window_size = size / 2,
                        .fast = (uint64_t *)buffer + size / 2 / 8,
                        .fast_room = size / 2 / 8,
                        .is_good = true};
    struct arena arena;
    size_t next = 0, left = 0;
    if (count == 0 || heap.end - heap.begin < CHUNK_MIN)
        return count;
    uint64_t top = find_top(&heap);
    if (!top || !find_arena(&heap, top, &arena))
        return count;
    collect_fast_chunks(&heap, &arena);
    learn_key(&heap);
    for (uint64_t chunk = heap.begin; chunk < heap.end && heap.is_good && next < count;) {
        uint64_t length = size_of(&heap, chunk);
        if (length == 0)
            break;
        bool looked = false, dead = false;
        for (; next < count && hits[next].at < chunk + length + 8; next++) {
            if (is_in(hits[next].at, chunk, length)) {
                dead = looked ? dead : is_free(&heap, chunk, length);
                looked = true;
                if (dead)
                    continue;
            }
            hits[left++] = hits[next];
        }
        chunk += length;
    }
    while (next < count)
        hits[left++] = hits[next++];
    return left;
}
