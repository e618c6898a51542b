/* handle.c: mints handles, finds them again, and tells the stale from the foreign. */
#define _GNU_SOURCE
#include "handle.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "prepared.h"
#include "set.h"
#include "sockets/wishes.h"
#include "watch/misuse.h"

enum { CHUNK = 4096 };
/* Addresses before the first one is used again. They count against a ulimit -v, also one that the program
 * sets later, so there are no more than tell most stale handles from fresh ones. */
#define PLACES_MAX ((uint64_t)1 << 22)
#define PLACES_MIN ((uint64_t)1 << 18)

/* The handles of CHUNK places in turn. Once all of them were finished it serves other places, so a reader
 * checks that the handle it finds has the place it asked for. */
struct chunk {
    _Atomic(struct handle *) slots[CHUNK];
    unsigned alive;
    struct chunk *next_free;
};

uintptr_t handle_range;
uintptr_t handle_range_size;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static _Atomic(struct chunk *) chunks[PLACES_MAX / CHUNK];
static struct chunk *free_chunks;
static struct handle
    *free_handles; /* linked by `next`; never given back to malloc, so a stale look-up is safe */
static uint64_t next_number = 1;

/* Where handles were opened that are finished by now, for whoever is caught using one. The last of those
 * whose numbers are equal modulo FINISHED; written and read without a lock, since a signal handler may ask.
 */
enum { FINISHED = 4096 };
static struct {
    _Atomic uint64_t number; /* written last; 0 while the rest changes */
    _Atomic uint32_t site, target;
} finished[FINISHED];

static bool reserve_range(void) {
    for (uint64_t places = PLACES_MAX; places >= PLACES_MIN; places /= 4) {
        void *range =
            mmap(NULL, places * HANDLE_GRAIN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range != MAP_FAILED) {
            handle_range = (uintptr_t)range;
            handle_range_size = places * HANDLE_GRAIN;
            return true;
        }
    }
    return false;
}

static struct chunk *chunk_at(uint64_t place) {
    return atomic_load_explicit(&chunks[place / CHUNK], memory_order_relaxed);
}

static struct chunk *chunk_for(uint64_t place) {
    struct chunk *chunk = chunk_at(place);
    if (chunk)
        return chunk;
    chunk = free_chunks;
    if (chunk)
        free_chunks = chunk->next_free;
    else
        chunk = calloc(1, sizeof *chunk);
    if (chunk) {
        chunk->alive = 0;
        atomic_store_explicit(&chunks[place / CHUNK], chunk, memory_order_release);
    }
    return chunk;
}

/* Unless it is the one that new handles come from, an empty chunk has served. */
static void release_chunk(uint64_t place) {
    struct chunk *chunk = chunk_at(place);
    if (!chunk || chunk->alive > 0 || place / CHUNK == handle_place(next_number) / CHUNK)
        return;
    atomic_store(&chunks[place / CHUNK], NULL);
    chunk->next_free = free_chunks;
    free_chunks = chunk;
}

/* The next number whose place is not that of a handle still alive; 0 if all are. */
static uint64_t free_number(void) {
    uint64_t places = handle_range_size / HANDLE_GRAIN;
    for (uint64_t tries = 0; tries < places; tries++, next_number++) {
        uint64_t place = handle_place(next_number);
        const struct chunk *chunk = chunk_at(place);
        if (place % CHUNK == 0)
            release_chunk(handle_place(next_number - 1));
        if (!chunk || !atomic_load(&chunk->slots[place % CHUNK]))
            return next_number;
    }
    return 0;
}

static struct handle *take_memory(void) {
    struct handle *handle = free_handles;
    if (!handle)
        return calloc(1, sizeof *handle);
    free_handles = handle->next;
    memset(handle, 0, sizeof *handle);
    return handle;
}

struct handle *handle_new(void) {
    struct handle *handle = NULL;
    pthread_mutex_lock(&lock);
    uint64_t number = handle_range || reserve_range() ? free_number() : 0, place = handle_place(number);
    struct chunk *chunk = number ? chunk_for(place) : NULL;
    handle = chunk ? take_memory() : NULL;
    if (handle) {
        atomic_store_explicit(&handle->number, number, memory_order_relaxed);
        atomic_store_explicit(&chunk->slots[place % CHUNK], handle, memory_order_release);
        chunk->alive++;
        next_number++;
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

/* Under the lock. */
static void remember(const struct handle *handle) {
    uint64_t number = atomic_load_explicit(&handle->number, memory_order_relaxed), slot = number % FINISHED;
    atomic_store(&finished[slot].number, 0);
    atomic_store(&finished[slot].site, handle->site);
    atomic_store(&finished[slot].target, handle->set ? set_ledger_target(handle->set) : UINT32_MAX);
    atomic_store(&finished[slot].number, number);
}

bool handle_retire(struct handle *handle, const PGconn *conn) {
    uint64_t place = ((uintptr_t)conn - handle_range) / HANDLE_GRAIN;
    bool was_alive = false;
    pthread_mutex_lock(&lock);
    struct chunk *chunk = chunk_at(place);
    if (chunk && atomic_load(&chunk->slots[place % CHUNK]) == handle) {
        was_alive = true;
        remember(handle);
        atomic_store(&chunk->slots[place % CHUNK], NULL);
        chunk->alive--;
        release_chunk(place);
    }
    pthread_mutex_unlock(&lock);
    return was_alive;
}

void handle_free(struct handle *handle) {
    free(handle->error);
    wishes_forget(handle);
    prepared_clear(&handle->statements);
    while (handle->parameters) {
        struct parameter *parameter = handle->parameters;
        handle->parameters = parameter->next;
        free(parameter->value);
        free(parameter);
    }
    pthread_mutex_lock(&lock);
    atomic_store(&handle->number, 0);
    handle->next = free_handles;
    free_handles = handle;
    pthread_mutex_unlock(&lock);
}

struct handle *handle_look_up(const PGconn *conn) {
    uint64_t place = ((uintptr_t)conn - handle_range) / HANDLE_GRAIN;
    struct chunk *chunk = atomic_load_explicit(&chunks[place / CHUNK], memory_order_acquire);
    struct handle *handle =
        chunk ? atomic_load_explicit(&chunk->slots[place % CHUNK], memory_order_acquire) : NULL;
    uint64_t number = handle ? atomic_load_explicit(&handle->number, memory_order_relaxed) : 0;
    return number && handle_place(number) == place ? handle : NULL;
}

void handle_was_finished(const PGconn *conn, const char *function, void *caller) {
    uint64_t place = ((uintptr_t)conn - handle_range) / HANDLE_GRAIN, slot = place % FINISHED;
    struct misused what = {UINT32_MAX, UINT32_MAX, place, function, NULL};
    uint64_t number = atomic_load(&finished[slot].number);
    uint32_t site = atomic_load(&finished[slot].site), target = atomic_load(&finished[slot].target);
    const struct ledger_target *row = recorder_target_row(target);
    if (number && handle_place(number) == place && atomic_load(&finished[slot].number) == number)
        what = (struct misused){site, target, number, function, row ? row->name : NULL};
    misuse_happened(strcmp(function, "PQfinish") == 0 ? MISUSE_DOUBLE_FINISH : MISUSE_USE_AFTER_FINISH, &what,
                    caller);
}

struct misused handle_misused(const struct handle *handle, const char *function) {
    return (struct misused){handle->site, set_ledger_target(handle->set), atomic_load(&handle->number),
                            function, set_name(handle->set)};
}

void handle_say(struct handle *handle, const char *text) {
    size_t size = strlen(text) + 1;
    if (size > handle->error_size) {
        if (size == 1)
            return;
        char *error = realloc(handle->error, size);
        if (!error)
            return;
        handle->error = error;
        handle->error_size = size;
    }
    memcpy(handle->error, text, size);
}

void handle_sayf(struct handle *handle, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    handle_say(handle, text);
}

const char *handle_keep_parameter(struct handle *handle, const char *name, const char *value) {
    struct parameter *parameter = handle->parameters;
    while (parameter && strcmp(parameter->name, name) != 0)
        parameter = parameter->next;
    if (!parameter) {
        if (!value)
            return NULL;
        parameter = calloc(1, sizeof *parameter + strlen(name) + 1);
        if (!parameter)
            return NULL;
        strcpy(parameter->name, name);
        parameter->next = handle->parameters;
        handle->parameters = parameter;
    }
    if (value && parameter->value && strcmp(value, parameter->value) == 0)
        return parameter->value;
    free(parameter->value);
    parameter->value = value ? strdup(value) : NULL;
    return parameter->value;
}

struct span_owner handle_span_owner(const struct handle *handle) {
    return (struct span_owner){atomic_load_explicit(&handle->number, memory_order_relaxed), handle->site,
                               set_ledger_target(handle->set)};
}

void handles_enter_in_ledger(void) {
    struct ledger_header *ledger = recorder();
    if (__builtin_expect(ledger->handle_range == handle_range, 1))
        return;
    ledger->handle_range_size = handle_range_size;
    ledger->handle_range = handle_range;
}

void handles_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
