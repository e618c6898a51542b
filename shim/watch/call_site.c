/* call_site.c: captures the stack at a PQconnect* and finds its row in the ledger. */
#include "call_site.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../settings.h"
#include "ledger.h"
#include "line.h"
#include "recorder.h"
#include "script.h"

/* Frames of the shim between the exported wrapper and backtrace(); learnt, because each one costs. */
enum { OWN_FRAMES_FIRST = 2, OWN_FRAMES_MAX = 24, TRACE_MAX = LEDGER_FRAMES + OWN_FRAMES_MAX };
static atomic_int own_frames = OWN_FRAMES_FIRST;

/*
 * Known stacks: 48 bits of hash and 16 of row in one word, so that a reader without a lock sees both or
 * neither. The hash covers how many objects were ever unloaded: after a dlclose nothing matches; and the
 * script frames: two lines of a script that connect have one native stack.
 */
enum { KNOWN = 2048, KNOWN_PROBES = 8 };
#define KNOWN_NONE 0xffffu
static _Atomic uint64_t known[KNOWN];
static atomic_uint next_victim;

struct trace {
    void *frames[TRACE_MAX];
    int count, first; /* frames[first] is `caller`, if caller_found */
    bool caller_found;
};

/* An object that holds frames of one trace. The pointers stay good: what is on our stack is loaded. */
struct object {
    const char *name;
    uintptr_t base;
    const ElfW(Phdr) * headers;
    size_t header_count;
    uint32_t row;
    bool is_shim, is_libpq;
};

struct objects {
    const struct trace *trace;
    uint32_t depth;
    struct object list[TRACE_MAX];
    size_t count;
    int of_frame[TRACE_MAX]; /* index in list, -1 for none */
};

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 32;
}

static uint64_t hash_trace(const struct trace *trace, uint32_t depth, uint64_t loaded,
                           const struct script *script) {
    uint64_t hash = ((loaded & 0xffffffffu) + 1) * 0x9e3779b97f4a7c15u + depth;
    for (int i = trace->first; i < trace->count; i++)
        hash = mix(hash, (uintptr_t)trace->frames[i]);
    if (script->language != LEDGER_NATIVE)
        hash = mix(hash, (uint64_t)script->language << 32 | script->length);
    for (uint32_t at = 0; at < script->length; at += sizeof(uint64_t)) {
        uint64_t word = 0;
        uint32_t left = script->length - at;
        memcpy(&word, script->text + at, left < sizeof word ? left : sizeof word);
        hash = mix(hash, word);
    }
    return hash | 0x10000; /* never the word of a free slot */
}

static bool find_known(uint64_t hash, uint32_t *site) {
    for (unsigned i = 0; i < KNOWN_PROBES; i++) {
        uint64_t word = atomic_load_explicit(&known[((hash >> 20) + i) % KNOWN], memory_order_acquire);
        if (((word ^ hash) & ~UINT64_C(0xffff)) == 0) {
            *site = (word & 0xffff) == KNOWN_NONE ? CALL_SITE_NONE : (uint32_t)(word & 0xffff);
            return true;
        }
    }
    return false;
}

/* Two threads may store one stack twice, or over each other: either costs a second search, no more. */
static void store_known(uint64_t hash, uint32_t site) {
    uint64_t word = (hash & ~UINT64_C(0xffff)) | (site < KNOWN_NONE ? site : KNOWN_NONE);
    for (unsigned i = 0; i < KNOWN_PROBES; i++) {
        uint64_t there = 0;
        if (atomic_compare_exchange_strong_explicit(&known[((hash >> 20) + i) % KNOWN], &there, word,
                                                    memory_order_release, memory_order_relaxed))
            return;
    }
    unsigned victim = atomic_fetch_add(&next_victim, 1) % KNOWN_PROBES;
    atomic_store_explicit(&known[((hash >> 20) + victim) % KNOWN], word, memory_order_release);
}

static bool find_caller(struct trace *trace, const void *caller) {
    for (int i = 0; i < trace->count; i++)
        if (trace->frames[i] == caller) {
            trace->first = i;
            return true;
        }
    return false;
}

/* Unwinds as many frames as are wanted below our own; more only if our own turn out to be more. */
static void capture(struct trace *trace, void *caller, uint32_t depth) {
    int own = atomic_load_explicit(&own_frames, memory_order_relaxed);
    trace->first = 0;
    trace->caller_found = true;
    trace->frames[0] = caller;
    trace->count = 1;
    if (depth == 1)
        return;
    trace->count = backtrace(trace->frames, (int)depth + own);
    trace->caller_found = find_caller(trace, caller);
    if (!trace->caller_found || (trace->first > own && trace->count == (int)depth + own)) {
        trace->count = backtrace(trace->frames, (int)depth + OWN_FRAMES_MAX);
        trace->caller_found = find_caller(trace, caller);
    }
    if (trace->caller_found && trace->first > own)
        atomic_store_explicit(&own_frames, trace->first, memory_order_relaxed);
    if (trace->count - trace->first > (int)depth && trace->caller_found)
        trace->count = trace->first + (int)depth;
}

/* libpq.so.5, and the renamed copies that wheels bring (libpq-e8a033dd.so.5.16). */
static bool is_libpq_name(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return strncmp(name, "libpq.so", 8) == 0 || strncmp(name, "libpq-", 6) == 0;
}

static bool covers(const struct dl_phdr_info *info, uintptr_t address) {
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type == PT_LOAD && address - info->dlpi_addr - header->p_vaddr < header->p_memsz)
            return true;
    }
    return false;
}

static int collect_object(struct dl_phdr_info *info, size_t size, void *into) {
    struct objects *objects = into;
    bool taken = false;
    (void)size;
    for (int i = objects->trace->first; i < objects->trace->count; i++) {
        if (!covers(info, (uintptr_t)objects->trace->frames[i] - 1))
            continue;
        objects->of_frame[i] = (int)objects->count;
        taken = true;
    }
    if (taken)
        objects->list[objects->count++] = (struct object){
            .name = info->dlpi_name,
            .base = info->dlpi_addr,
            .headers = info->dlpi_phdr,
            .header_count = info->dlpi_phnum,
            .row = UINT32_MAX,
            .is_shim = covers(info, (uintptr_t)&collect_object),
            .is_libpq = is_libpq_name(info->dlpi_name),
        };
    return 0;
}

/* The note is in memory, so it belongs to what runs even when the file was replaced since. */
static void read_build_id(const struct object *object, struct ledger_module *module) {
    for (size_t i = 0; i < object->header_count; i++) {
        const ElfW(Phdr) *header = &object->headers[i];
        if (header->p_type != PT_NOTE)
            continue;
        const char *at = (const char *)object->base + header->p_vaddr, *end = at + header->p_memsz;
        size_t align = header->p_align == 8 ? 8 : 4;
        while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
            ElfW(Nhdr) note;
            memcpy(&note, at, sizeof note);
            size_t name = (note.n_namesz + align - 1) & -align, text = (note.n_descsz + align - 1) & -align;
            const char *after_name = at + sizeof note + name;
            if (name > (size_t)(end - at) - sizeof note || text > (size_t)(end - after_name))
                break;
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
                memcmp(at + sizeof note, "GNU", 4) == 0 && note.n_descsz <= sizeof module->build_id) {
                memcpy(module->build_id, after_name, note.n_descsz);
                module->build_id_length = note.n_descsz;
                return;
            }
            at = after_name + text;
        }
    }
}

/* The main program has no name here, and a relative one is only good in today's directory. */
static void find_path(const struct object *object, struct ledger_module *module) {
    char path[PATH_MAX], link[512];
    struct stat state;
    const char *name = object->name;
    if (!name[0]) {
        ssize_t length = readlink("/proc/self/exe", link, sizeof link - 1);
        link[length > 0 ? length : 0] = '\0';
        name = link;
    } else if (name[0] != '/' && strchr(name, '/') && realpath(name, path)) {
        name = path;
    }
    size_t length = strnlen(name, sizeof module->path - 1);
    memcpy(module->path, name, length);
    if (stat(name, &state) == 0) {
        module->device = state.st_dev;
        module->inode = state.st_ino;
    }
}

static uint32_t module_row(struct object *object) {
    if (object->row == UINT32_MAX) {
        struct ledger_module module = {.base = object->base};
        read_build_id(object, &module);
        find_path(object, &module);
        object->row = recorder_module(&module);
    }
    return object->row;
}

/* From `caller` on, unless that is libpq itself or was not found: then from the first foreign frame. */
static int first_frame(const struct objects *objects) {
    const struct trace *trace = objects->trace;
    for (int i = trace->first; i < trace->count; i++) {
        const struct object *object = objects->of_frame[i] < 0 ? NULL : &objects->list[objects->of_frame[i]];
        bool is_caller = trace->caller_found && i == trace->first;
        if (!object || (!object->is_libpq && (is_caller || !object->is_shim)))
            return i;
    }
    return trace->caller_found ? trace->first : trace->count;
}

/* "function+0x1c (module)", or "module+0x1c" where no exported symbol is near. */
static void name_frame(const void *address, char *name, size_t size) {
    char raw[512];
    Dl_info info;
    if (!dladdr((const char *)address - 1, &info) || !info.dli_fname) {
        snprintf(name, size, "%p", address);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/'), *module = slash ? slash + 1 : info.dli_fname;
    if (info.dli_sname)
        snprintf(raw, sizeof raw, "%.200s+0x%zx (%.200s)", info.dli_sname,
                 (size_t)((const char *)address - (const char *)info.dli_saddr), module);
    else
        snprintf(raw, sizeof raw, "%.200s+0x%zx", module,
                 (size_t)((const char *)address - (const char *)info.dli_fbase));
    line_clean(raw, false, name, size);
}

/* The slow path, once for each stack: asks the loader first, with none of our locks held. */
static uint32_t resolve(struct trace *trace, void *caller, uint32_t depth, const struct script *script) {
    struct objects *objects = calloc(1, sizeof *objects);
    if (!objects)
        return CALL_SITE_NONE;
    objects->trace = trace;
    for (int i = 0; i < TRACE_MAX; i++)
        objects->of_frame[i] = -1;
    dl_iterate_phdr(collect_object, objects);
    int first = first_frame(objects);
    if (first == trace->count) {
        /* Nothing but frames of our own: the unwinder got no further than here. */
        free(objects);
        *trace = (struct trace){.frames = {caller}, .count = 1, .first = 0, .caller_found = true};
        return caller && depth ? resolve(trace, caller, 1, script) : CALL_SITE_NONE;
    }
    uint64_t frames[LEDGER_FRAMES];
    uint32_t count = 0;
    for (int i = first; i < trace->count && count < depth; i++) {
        uintptr_t address = (uintptr_t)trace->frames[i] - 1;
        struct object *object = objects->of_frame[i] < 0 ? NULL : &objects->list[objects->of_frame[i]];
        uint32_t row = object ? module_row(object) : LEDGER_NO_MODULE;
        frames[count++] = LEDGER_FRAME(row, row == LEDGER_NO_MODULE ? address : address - object->base);
    }
    char name[sizeof((struct ledger_site *)0)->name];
    if (!script_name(script, name, sizeof name))
        name_frame(trace->frames[first], name, sizeof name);
    free(objects);
    return recorder_site_row(frames, count, script, name);
}

uint32_t call_site_here(void *caller) {
    int error = errno;
    uint32_t depth = settings()->stack, site = CALL_SITE_NONE;
    struct trace trace;
    struct script script;
    struct script_text text;
    if (depth == 0)
        return CALL_SITE_NONE;
    uint64_t loaded = script_loaded();
    capture(&trace, caller, depth < LEDGER_FRAMES ? depth : LEDGER_FRAMES);
    script_stack(loaded, trace.frames + trace.first, trace.count - trace.first, depth, &text, &script);
    uint64_t hash = hash_trace(&trace, depth, loaded, &script);
    if (!find_known(hash, &site)) {
        site = resolve(&trace, caller, depth, &script);
        store_known(hash, site);
    }
    if (site == CALL_SITE_NONE)
        atomic_fetch_add_explicit(&recorder()->counters.calls_unlisted, 1, memory_order_relaxed);
    errno = error;
    return site;
}

uint32_t call_site_of(void *caller) {
    struct trace trace = {.frames = {caller}, .count = 1, .caller_found = true};
    const struct script none = {.length = 0};
    return caller && settings()->stack > 0 ? resolve(&trace, caller, 1, &none) : CALL_SITE_NONE;
}

const char *call_site_name(uint32_t site, char *buffer, size_t size) {
    const struct ledger_site *row = site == CALL_SITE_NONE ? NULL : recorder_site(site);
    bool complete = row && atomic_load_explicit(&row->depth, memory_order_acquire) > 0;
    snprintf(buffer, size, "%s", complete && row->name[0] ? row->name : "an unknown place");
    return buffer;
}
