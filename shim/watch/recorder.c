/* recorder.c: makes the ledger of this process and hands out its rows. */
#include "recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../settings.h"
#include "hush.h"
#include "log.h"
#include "place.h"
#include "watch.h"
#include "witness.h"

/* The file as this version writes it. Readers go by the header's offsets, the writer by this alone. */
struct image {
    struct ledger_header header;
    struct ledger_module modules[LEDGER_MODULES];
    struct ledger_site sites[LEDGER_SITES];
    struct ledger_target targets[LEDGER_TARGETS];
    struct ledger_handle handles[LEDGER_HANDLES];
    struct ledger_server servers[LEDGER_SERVERS];
    struct ledger_misuse misuses[LEDGER_MISUSES];
    char texts[LEDGER_TEXT];
};

/* With PQONE_TRACE the spans follow; the image is a whole number of their alignment. */
#define SPANS_SIZE (sizeof(struct ledger_span) * LEDGER_SPANS)

/* Files of one pid and start time: more than this many images and nobody counts them any more. */
#define NAMES_TRIED 100000

_Atomic(struct ledger_header *) recorder_mapping;

/* Stands in when there is no file; private to the process, also across fork. */
static struct image dummy;

/* Under WATCH_RECORDER, or in a child that is still alone. */
static size_t file_size;
static struct image *ancestor; /* what the nearest forefather with a ledger had, until it is copied */
static int ancestor_pid;
static char file_path[4096];
static char file_name[64]; /* published by recorder_mapping */
static atomic_bool file_removed;
static atomic_bool complained; /* stays set in children: one line, not one for each of them */

/* Free rows, newest first: number of changes in the upper half (against ABA), index + 1 in the lower. */
struct pool {
    _Atomic uint64_t head;
    _Atomic uint32_t *next;
};
static _Atomic uint32_t next_handle[LEDGER_HANDLES], next_server[LEDGER_SERVERS];
static struct pool free_handles = {0, next_handle}, free_servers = {0, next_server};

/* For callers that found no room. Never written here, so that they do not race for it. */
static struct ledger_handle spare_handle;
static struct ledger_server spare_server;

/* gettid() is a system call; a forked child's main thread has another number. */
static atomic_uint fork_count;
static _Thread_local unsigned thread_known_at;
static _Thread_local int32_t thread_number;

static struct image *image_now(void) {
    return (struct image *)recorder();
}

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t recorder_now(void) {
    return nanoseconds(CLOCK_MONOTONIC_COARSE);
}

static int32_t thread_id(void) {
    unsigned count = atomic_load_explicit(&fork_count, memory_order_relaxed) + 1;
    if (thread_known_at != count) {
        thread_number = (int32_t)syscall(SYS_gettid);
        thread_known_at = count;
    }
    return thread_number;
}

static void copy_text(char *to, size_t size, const char *from) {
    size_t length = strnlen(from, size - 1);
    while (from[length] && length > 0 && ((unsigned char)from[length] & 0xc0) == 0x80)
        length--;
    memset(to, 0, size);
    memcpy(to, from, length);
}

/* Field 22 of /proc/self/stat, counted from the last parenthesis: the command's name may hold any. */
static uint64_t process_start(void) {
    char text[1024];
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at, ' ');
        at += at != NULL;
    }
    return at ? strtoull(at, NULL, 10) : 0;
}

static uint32_t rows(const struct ledger_table *table, uint32_t capacity) {
    uint32_t used = atomic_load_explicit(&table->used, memory_order_acquire);
    return used < capacity ? used : capacity;
}

static void set_table(struct ledger_table *table, size_t offset, size_t row_size, uint32_t capacity,
                      uint32_t used) {
    table->offset = (uint32_t)offset;
    table->row_size = (uint32_t)row_size;
    table->capacity = capacity;
    atomic_store_explicit(&table->used, used, memory_order_relaxed);
}

struct counts {
    uint32_t modules, sites, targets, texts;
};

/* Rows that forefathers made, counters at zero: the numbers that the child's handles carry stay right.
 * `from` may be the image itself (a dummy that is used on), or a ledger that its owner goes on writing. */
static struct counts inherit(struct image *image, const struct image *from) {
    struct counts counts = {0, 0, 0, 0};
    if (image == &dummy && from != &dummy)
        memset(&dummy, 0, sizeof dummy);
    if (!from)
        return counts;
    counts.modules = rows(&from->header.modules, LEDGER_MODULES);
    counts.sites = rows(&from->header.sites, LEDGER_SITES);
    counts.targets = rows(&from->header.targets, LEDGER_TARGETS);
    memmove(image->modules, from->modules, counts.modules * sizeof image->modules[0]);
    counts.texts = rows(&from->header.texts, LEDGER_TEXT);
    memmove(image->sites, from->sites, counts.sites * sizeof image->sites[0]);
    memmove(image->texts, from->texts, counts.texts);
    for (uint32_t i = 0; i < counts.sites; i++) {
        struct ledger_site *site = &image->sites[i];
        atomic_store(&site->opened, 0);
        atomic_store(&site->failed, 0);
        atomic_store(&site->duplicates, 0);
        atomic_store(&site->finished, 0);
        atomic_store(&site->pins, 0);
        atomic_store(&site->alive, 0);
        atomic_store(&site->alive_peak, 0);
        atomic_store(&site->left, 0);
    }
    for (uint32_t i = 0; i < counts.targets; i++) {
        char name[sizeof image->targets[i].name];
        memcpy(name, from->targets[i].name, sizeof name);
        memset(&image->targets[i], 0, sizeof image->targets[i]);
        memcpy(image->targets[i].name, name, sizeof name);
    }
    memset(image->handles, 0, image == from ? sizeof image->handles : 0);
    memset(image->servers, 0, image == from ? sizeof image->servers : 0);
    memset(image->misuses, 0, image == from ? sizeof image->misuses : 0);
    return counts;
}

/* The magic comes last: a reader of a running process sees a whole header or none. */
static void fill_header(struct image *image, struct counts counts) {
    struct ledger_header *header = &image->header;
    memset(header, 0, sizeof *header);
    header->version = LEDGER_VERSION;
    header->header_size = sizeof *header;
    header->file_size = image == &dummy ? sizeof *image : file_size;
    set_table(&header->modules, offsetof(struct image, modules), sizeof image->modules[0], LEDGER_MODULES,
              counts.modules);
    set_table(&header->sites, offsetof(struct image, sites), sizeof image->sites[0], LEDGER_SITES,
              counts.sites);
    set_table(&header->targets, offsetof(struct image, targets), sizeof image->targets[0], LEDGER_TARGETS,
              counts.targets);
    set_table(&header->handles, offsetof(struct image, handles), sizeof image->handles[0], LEDGER_HANDLES, 0);
    set_table(&header->servers, offsetof(struct image, servers), sizeof image->servers[0], LEDGER_SERVERS, 0);
    set_table(&header->misuses, offsetof(struct image, misuses), sizeof image->misuses[0], LEDGER_MISUSES, 0);
    set_table(&header->texts, offsetof(struct image, texts), 1, LEDGER_TEXT, counts.texts);
    set_table(&header->spans, sizeof *image, sizeof(struct ledger_span),
              header->file_size > sizeof *image ? LEDGER_SPANS : 0, 0);
    header->traced = settings()->trace;
    header->pid = getpid();
    header->parent_pid = getppid();
    header->forked_from = ancestor ? ancestor_pid : 0;
    header->process_start = process_start();
    header->opened_realtime = nanoseconds(CLOCK_REALTIME);
    header->opened_monotonic = nanoseconds(CLOCK_MONOTONIC);
    header->frames_wanted = settings()->stack;
    copy_text(header->run, sizeof header->run, settings()->run);
    copy_text(header->mode, sizeof header->mode, setting_mode_word(settings()->mode));
    if (readlink("/proc/self/exe", header->program, sizeof header->program - 1) < 0)
        header->program[0] = '\0';
    atomic_exchange(&header->process_state, LEDGER_RUNNING); /* keeps the order of what is around it */
    memcpy(header->magic, LEDGER_MAGIC, sizeof header->magic);
}

/* A new file of our own at the first free N; -1 with errno. Leaves its names in file_path, file_name. */
static int create_file(const char *directory) {
    uint64_t start = process_start();
    for (int n = 0; n < NAMES_TRIED; n++) {
        snprintf(file_name, sizeof file_name, "%d-%llu-%d" LEDGER_SUFFIX, (int)getpid(),
                 (unsigned long long)start, n);
        if ((size_t)snprintf(file_path, sizeof file_path, "%s/%s", directory, file_name) >=
            sizeof file_path) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(file_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* Every block is there before the first store: a full disk is an error here and never a SIGBUS later. Rather
 * a ledger without a timeline than none: `traced` without room for spans says so. */
static struct image *map_file(int fd, struct hush *hush, int *failed) {
    fchmod(fd, 0600); /* whatever the umask took */
    file_size = sizeof(struct image) + (settings()->trace ? SPANS_SIZE : 0);
    *failed = posix_fallocate(fd, 0, (off_t)file_size);
    if (*failed && file_size > sizeof(struct image)) {
        hush_end(hush, *failed);
        hush_begin(hush);
        file_size = sizeof(struct image);
        *failed = ftruncate(fd, 0) != 0 ? errno : posix_fallocate(fd, 0, (off_t)file_size);
    }
    if (*failed)
        return NULL;
    void *mapped = mmap(NULL, file_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        *failed = errno;
        return NULL;
    }
    return mapped;
}

static struct image *make_file(char *why, size_t size) {
    char directory[sizeof file_path - sizeof file_name];
    struct hush hush;
    struct image *image = NULL;
    int failed = 0;
    file_name[0] = '\0';
    if (!place_of_ledgers(settings()->ledger_dir, directory, sizeof directory, why, size))
        return NULL;
    hush_begin(&hush);
    int fd = create_file(directory);
    if (fd < 0) {
        failed = errno;
    } else {
        image = map_file(fd, &hush, &failed);
        if (!image)
            unlink(file_path);
        close(fd);
    }
    hush_end(&hush, failed);
    if (!image) {
        snprintf(why, size, "%.128s: no ledger could be made: %s", directory, strerrordesc_np(failed));
        file_name[0] = '\0';
    }
    return image;
}

static struct image *begin(char *why, size_t size) {
    struct image *image = make_file(why, size);
    if (!image)
        image = &dummy;
    fill_header(image, inherit(image, ancestor));
    if (ancestor && ancestor != &dummy)
        munmap(ancestor, sizeof *ancestor);
    ancestor = NULL;
    atomic_store(&free_handles.head, 0);
    atomic_store(&free_servers.head, 0);
    atomic_store(&file_removed, false);
    return image;
}

struct ledger_header *recorder_open(void) {
    int error = errno;
    char why[256] = "";
    settings(); /* may log, and must not do it under our lock */
    watch_lock(WATCH_RECORDER);
    struct ledger_header *header = atomic_load_explicit(&recorder_mapping, memory_order_acquire);
    if (!header) {
        header = &begin(why, sizeof why)->header;
        atomic_store_explicit(&recorder_mapping, header, memory_order_release);
    }
    watch_unlock(WATCH_RECORDER);
    if (why[0])
        witness_note(WITNESS_NO_LEDGER, why);
    if (why[0] && !atomic_exchange(&complained, true))
        log_event(LOG_LEDGER, UINT32_MAX, 0, "%s; the program goes on, but nothing can be reported of it",
                  why);
    errno = error;
    return header;
}

const char *recorder_file(void) {
    if (!atomic_load_explicit(&recorder_mapping, memory_order_acquire) || atomic_load(&file_removed))
        return "";
    return file_name;
}

/*
 * The engine may still hold pointers to rows, and threads of the parent go on writing the file: so the
 * pages move aside, as source for the child's copy, and private ones take their place. mremap of size 0
 * makes a second mapping of shared pages.
 */
void recorder_after_fork(int parent_pid) {
    int error = errno;
    struct image *old = (struct image *)atomic_exchange(&recorder_mapping, NULL);
    atomic_fetch_add(&fork_count, 1);
    if (!old)
        return;
    ancestor_pid = parent_pid;
    file_name[0] = '\0';
    if (old == &dummy) {
        ancestor = &dummy;
    } else {
        void *second = mremap(old, 0, sizeof *old, MREMAP_MAYMOVE);
        ancestor = second == MAP_FAILED ? NULL : second;
        mmap(old, old->header.file_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0);
    }
    errno = error;
}

static bool is_anything_open(const struct image *image) {
    uint32_t used = rows(&image->header.handles, LEDGER_HANDLES);
    if (atomic_load(&image->header.counters.handles_unlisted) != 0)
        return true;
    for (uint32_t i = 0; i < used; i++) {
        uint32_t state = atomic_load(&image->handles[i].state);
        if (state != LEDGER_HANDLE_FREE && state != LEDGER_HANDLE_INHERITED)
            return true;
    }
    return false;
}

void recorder_close(void) {
    int error = errno;
    watch_lock(WATCH_RECORDER);
    struct image *image = (struct image *)atomic_load(&recorder_mapping);
    if (image) {
        atomic_store(&image->header.closed_monotonic, nanoseconds(CLOCK_MONOTONIC));
        atomic_store(&image->header.process_state, LEDGER_EXITED);
        if (file_name[0] && !image->header.run[0] && !is_anything_open(image) &&
            !atomic_exchange(&file_removed, true))
            unlink(file_path);
    }
    watch_unlock(WATCH_RECORDER);
    errno = error;
}

uint32_t recorder_target(const char *name) {
    struct image *image = image_now();
    char wanted[sizeof image->targets[0].name];
    copy_text(wanted, sizeof wanted, name);
    watch_lock(WATCH_RECORDER);
    uint32_t used = rows(&image->header.targets, LEDGER_TARGETS), found = 0;
    while (found < used && strcmp(image->targets[found].name, wanted) != 0)
        found++;
    if (found == used && used < LEDGER_TARGETS) {
        memcpy(image->targets[used].name, wanted, sizeof wanted);
        atomic_store_explicit(&image->header.targets.used, used + 1, memory_order_release);
    }
    watch_unlock(WATCH_RECORDER);
    return found < LEDGER_TARGETS ? found : UINT32_MAX;
}

static bool is_same_module(const struct ledger_module *one, const struct ledger_module *other) {
    return one->base == other->base && one->build_id_length == other->build_id_length &&
           memcmp(one->build_id, other->build_id, sizeof one->build_id) == 0 &&
           strncmp(one->path, other->path, sizeof one->path) == 0;
}

uint32_t recorder_module(const struct ledger_module *module) {
    struct image *image = image_now();
    watch_lock(WATCH_RECORDER);
    uint32_t used = rows(&image->header.modules, LEDGER_MODULES), found = 0;
    while (found < used && !is_same_module(&image->modules[found], module))
        found++;
    if (found == used && used < LEDGER_MODULES) {
        image->modules[used] = *module;
        atomic_store_explicit(&image->header.modules.used, used + 1, memory_order_release);
    }
    watch_unlock(WATCH_RECORDER);
    return found < LEDGER_MODULES ? found : LEDGER_NO_MODULE;
}

/* Under WATCH_RECORDER. A known text is not written twice: sites of one script differ in native frames. */
static void write_script(struct image *image, struct ledger_site *site, const struct script *script) {
    uint32_t used = rows(&image->header.texts, LEDGER_TEXT);
    site->language = script->language;
    site->script_length = 0;
    if (script->length == 0)
        return;
    if (script->length > LEDGER_TEXT - used) {
        atomic_fetch_add_explicit(&image->header.counters.scripts_unlisted, 1, memory_order_relaxed);
        return;
    }
    memcpy(image->texts + used, script->text, script->length);
    site->script_offset = used;
    site->script_length = script->length;
    atomic_store_explicit(&image->header.texts.used, used + script->length, memory_order_release);
}

static bool is_site(const struct image *image, const struct ledger_site *site, const uint64_t *frames,
                    uint32_t depth, const struct script *script) {
    return atomic_load_explicit(&site->depth, memory_order_relaxed) == depth &&
           memcmp(site->frames, frames, depth * sizeof frames[0]) == 0 &&
           site->language == (uint32_t)script->language &&
           (site->script_length == 0 || /* it found no room */
            (site->script_length == script->length &&
             memcmp(image->texts + site->script_offset, script->text, script->length) == 0));
}

uint32_t recorder_site_row(const uint64_t *frames, uint32_t depth, const struct script *script,
                           const char *name) {
    static const struct script none = {LEDGER_NATIVE, 0, ""};
    struct image *image = image_now();
    depth = depth < LEDGER_FRAMES ? depth : LEDGER_FRAMES;
    if (!script)
        script = &none;
    watch_lock(WATCH_RECORDER);
    uint32_t used = rows(&image->header.sites, LEDGER_SITES), found = 0;
    while (found < used && !is_site(image, &image->sites[found], frames, depth, script))
        found++;
    if (found == used && used < LEDGER_SITES) {
        struct ledger_site *site = &image->sites[used];
        memcpy(site->frames, frames, depth * sizeof frames[0]);
        write_script(image, site, script);
        copy_text(site->name, sizeof site->name, name);
        atomic_store_explicit(&site->depth, depth, memory_order_release);
        atomic_store_explicit(&image->header.sites.used, used + 1, memory_order_release);
    }
    watch_unlock(WATCH_RECORDER);
    return found < LEDGER_SITES ? found : UINT32_MAX;
}

/* Takes a free row, else one never used; UINT32_MAX when there is neither. Lock-free, O(1). */
static uint32_t take_row(struct pool *pool, struct ledger_table *table, uint32_t capacity) {
    uint64_t head = atomic_load_explicit(&pool->head, memory_order_acquire);
    while ((uint32_t)head != 0) {
        uint32_t index = (uint32_t)head - 1;
        uint32_t next = atomic_load_explicit(&pool->next[index], memory_order_relaxed);
        uint64_t after = ((head >> 32) + 1) << 32 | next;
        if (atomic_compare_exchange_weak_explicit(&pool->head, &head, after, memory_order_acq_rel,
                                                  memory_order_acquire))
            return index;
    }
    uint32_t used = atomic_load_explicit(&table->used, memory_order_relaxed);
    while (used < capacity)
        if (atomic_compare_exchange_weak_explicit(&table->used, &used, used + 1, memory_order_acq_rel,
                                                  memory_order_relaxed))
            return used;
    return UINT32_MAX;
}

static void give_row(struct pool *pool, uint32_t index) {
    uint64_t head = atomic_load_explicit(&pool->head, memory_order_relaxed), after;
    do {
        atomic_store_explicit(&pool->next[index], (uint32_t)head, memory_order_relaxed);
        after = ((head >> 32) + 1) << 32 | (index + 1);
    } while (!atomic_compare_exchange_weak_explicit(&pool->head, &head, after, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

/* UINT32_MAX for a pointer that is no row of this table: a spare, or from before a fork. */
static uint32_t row_index(const void *row, const void *first, size_t row_size, uint32_t capacity) {
    uintptr_t offset = (uintptr_t)row - (uintptr_t)first;
    return offset < row_size * capacity ? (uint32_t)(offset / row_size) : UINT32_MAX;
}

struct ledger_handle *recorder_handle_open(uint64_t number, const void *address, uint32_t site,
                                           uint32_t target, enum ledger_handle_state state) {
    struct image *image = image_now();
    uint32_t index = take_row(&free_handles, &image->header.handles, LEDGER_HANDLES);
    if (index == UINT32_MAX) {
        atomic_fetch_add_explicit(&image->header.counters.handles_unlisted, 1, memory_order_relaxed);
        return &spare_handle;
    }
    struct ledger_handle *row = &image->handles[index];
    int64_t now = recorder_now();
    row->site = site;
    row->target = target;
    atomic_store_explicit(&row->server, UINT32_MAX, memory_order_relaxed);
    row->number = number;
    row->address = (uintptr_t)address;
    row->opened_monotonic = now;
    atomic_store_explicit(&row->last_used_monotonic, now, memory_order_relaxed);
    atomic_store_explicit(&row->statements, 0, memory_order_relaxed);
    atomic_store_explicit(&row->pin, 0, memory_order_relaxed);
    row->thread = thread_id();
    row->runtime = LEDGER_NO_RUNTIME;
    row->ended = UINT32_MAX;
    row->ended_monotonic = 0;
    row->statement[0] = '\0';
    atomic_store_explicit(&row->verdict, LEDGER_UNKNOWN, memory_order_relaxed);
    atomic_store_explicit(&row->warned, 0, memory_order_relaxed);
    atomic_store_explicit(&row->state, (uint32_t)state, memory_order_release);
    return row;
}

void recorder_handle_close(struct ledger_handle *row) {
    struct image *image = image_now();
    if (row == &spare_handle) {
        /* A child's count starts at zero, and it may finish what its parent opened. */
        _Atomic uint64_t *unlisted = &image->header.counters.handles_unlisted;
        uint64_t count = atomic_load_explicit(unlisted, memory_order_relaxed);
        while (count > 0 && !atomic_compare_exchange_weak_explicit(
                                unlisted, &count, count - 1, memory_order_relaxed, memory_order_relaxed))
            ;
        return;
    }
    uint32_t index = row_index(row, image->handles, sizeof *row, LEDGER_HANDLES);
    if (index != UINT32_MAX &&
        atomic_exchange_explicit(&row->state, LEDGER_HANDLE_FREE, memory_order_acq_rel) != LEDGER_HANDLE_FREE)
        give_row(&free_handles, index);
}

bool recorder_handle_may_stay(const struct ledger_handle *row) {
    return row_index(row, image_now()->handles, sizeof *row, LEDGER_HANDLES / 4 * 3) != UINT32_MAX;
}

struct ledger_server *recorder_server_open(int backend_pid, uint32_t target) {
    struct image *image = image_now();
    uint32_t index = take_row(&free_servers, &image->header.servers, LEDGER_SERVERS);
    if (index == UINT32_MAX)
        return &spare_server;
    struct ledger_server *row = &image->servers[index];
    row->backend_pid = backend_pid;
    row->target = target;
    atomic_store_explicit(&row->leases, 0, memory_order_relaxed);
    row->opened_monotonic = recorder_now();
    atomic_store_explicit(&row->statements, 0, memory_order_relaxed);
    atomic_store_explicit(&row->state, LEDGER_SERVER_OPEN, memory_order_release);
    return row;
}

void recorder_server_close(struct ledger_server *row) {
    uint32_t index = recorder_server_index(row);
    if (index != UINT32_MAX &&
        atomic_exchange_explicit(&row->state, LEDGER_SERVER_FREE, memory_order_acq_rel) != LEDGER_SERVER_FREE)
        give_row(&free_servers, index);
}

uint32_t recorder_server_index(const struct ledger_server *row) {
    return row_index(row, image_now()->servers, sizeof *row, LEDGER_SERVERS);
}

struct ledger_misuse *recorder_misuse(uint32_t kind, uint32_t site, uint32_t place) {
    struct image *image = image_now();
    watch_lock(WATCH_RECORDER);
    uint32_t used = rows(&image->header.misuses, LEDGER_MISUSES), found = 0;
    while (found < used && (image->misuses[found].kind != kind || image->misuses[found].site != site ||
                            image->misuses[found].place != place))
        found++;
    struct ledger_misuse *row = found < LEDGER_MISUSES ? &image->misuses[found] : NULL;
    if (row && found == used) {
        row->site = site;
        row->place = place;
        row->target = UINT32_MAX;
        row->first_monotonic = recorder_now();
        atomic_store_explicit(&row->kind, kind, memory_order_release);
        atomic_store_explicit(&image->header.misuses.used, used + 1, memory_order_release);
    }
    if (row)
        atomic_fetch_add_explicit(&row->count, 1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&image->header.counters.misuses_unlisted, 1, memory_order_relaxed);
    watch_unlock(WATCH_RECORDER);
    return row;
}

struct ledger_site *recorder_site(uint32_t site) {
    struct image *image = image_now();
    return site < rows(&image->header.sites, LEDGER_SITES) ? &image->sites[site] : NULL;
}

struct ledger_target *recorder_target_row(uint32_t target) {
    struct image *image = image_now();
    return target < rows(&image->header.targets, LEDGER_TARGETS) ? &image->targets[target] : NULL;
}
