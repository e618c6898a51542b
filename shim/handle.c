/* handle.c: mints handles, finds them again, and tells the stale from the foreign. */
#define _GNU_SOURCE
#include "handle.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "watch/log.h"

enum { CHUNK = 4096 };
#define NUMBERS_MAX ((uint64_t)1 << 30)
#define NUMBERS_MIN ((uint64_t)1 << 20) /* under ulimit -v there may be no room for more */

/* The handles of CHUNK numbers in turn. Once all of them were finished it serves other numbers, so a
 * reader checks that the handle it finds has the number it asked for. */
struct chunk {
    _Atomic(struct handle *) slots[CHUNK];
    unsigned retired;
    struct chunk *next_free;
};

uintptr_t handle_range;
uintptr_t handle_range_size;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards everything below */
static _Atomic(struct chunk *) chunks[NUMBERS_MAX / CHUNK];
static struct chunk *free_chunks;
static struct handle
    *free_handles; /* linked by `next`; never given back to malloc, so a stale look-up is safe */
static uint64_t next_number = 1;

static bool reserve_range(void) {
    for (uint64_t numbers = NUMBERS_MAX; numbers >= NUMBERS_MIN; numbers /= 8) {
        void *range =
            mmap(NULL, numbers * HANDLE_GRAIN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (range != MAP_FAILED) {
            handle_range = (uintptr_t)range;
            handle_range_size = numbers * HANDLE_GRAIN;
            return true;
        }
    }
    return false;
}

static struct chunk *chunk_for(uint64_t number) {
    struct chunk *chunk = atomic_load_explicit(&chunks[number / CHUNK], memory_order_relaxed);
    if (chunk)
        return chunk;
    chunk = free_chunks;
    if (chunk)
        free_chunks = chunk->next_free;
    else
        chunk = calloc(1, sizeof *chunk);
    if (chunk) {
        chunk->retired = 0;
        atomic_store_explicit(&chunks[number / CHUNK], chunk, memory_order_release);
    }
    return chunk;
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
    if ((handle_range || reserve_range()) && next_number < handle_range_size / HANDLE_GRAIN) {
        struct chunk *chunk = chunk_for(next_number);
        handle = chunk ? take_memory() : NULL;
        if (handle) {
            atomic_store_explicit(&handle->number, next_number, memory_order_relaxed);
            atomic_store_explicit(&chunk->slots[next_number % CHUNK], handle, memory_order_release);
            next_number++;
        }
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

bool handle_retire(struct handle *handle) {
    uint64_t number = atomic_load(&handle->number);
    bool was_alive = false;
    pthread_mutex_lock(&lock);
    struct chunk *chunk = atomic_load_explicit(&chunks[number / CHUNK], memory_order_relaxed);
    if (chunk && atomic_load(&chunk->slots[number % CHUNK]) == handle) {
        was_alive = true;
        atomic_store(&chunk->slots[number % CHUNK], NULL);
        /* Number 0 is nobody's, so the first chunk is full with one handle less. */
        if (++chunk->retired == CHUNK - (number < CHUNK)) {
            atomic_store(&chunks[number / CHUNK], NULL);
            chunk->next_free = free_chunks;
            free_chunks = chunk;
        }
    }
    pthread_mutex_unlock(&lock);
    return was_alive;
}

void handle_free(struct handle *handle) {
    free(handle->error);
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

struct handle *handle_look_up(const PGconn **conn, const char *function) {
    uint64_t number = ((uintptr_t)*conn - handle_range) / HANDLE_GRAIN;
    struct chunk *chunk = atomic_load_explicit(&chunks[number / CHUNK], memory_order_acquire);
    if (chunk) {
        struct handle *handle = atomic_load_explicit(&chunk->slots[number % CHUNK], memory_order_acquire);
        if (handle && atomic_load_explicit(&handle->number, memory_order_relaxed) == number)
            return handle;
    }
    atomic_fetch_add(&recorder()->counters.misuse, 1);
    log_event(LOG_MISUSE, UINT32_MAX, 0,
              "%s on a handle that was finished already (number %llu): answered as if there were no "
              "connection; keep the pointer no longer than PQfinish",
              function, (unsigned long long)number);
    *conn = NULL;
    return NULL;
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

void handles_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
