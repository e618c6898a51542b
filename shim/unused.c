/* unused.c: finds handles that nobody uses, says so once, and takes it back. */
#define _GNU_SOURCE
#include "unused.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "housekeeping.h"
#include "settings.h"
#include "statement.h"
#include "watch/log.h"

enum { AT_ONCE = 8, WORDS = LEDGER_STATEMENT / sizeof(uint64_t) };
_Static_assert(offsetof(struct ledger_handle, statement) % sizeof(uint64_t) == 0,
               "read and written by words");

/* What is said of one handle, copied while it is sure to be there. */
struct warning {
    uint32_t site;
    int64_t unused;
    uint64_t statements;
    char statement[LEDGER_STATEMENT];
};

_Atomic bool unused_is_watched;

void unused_watch(void) {
    int64_t threshold = settings()->leak_threshold;
    if (threshold == SETTING_NEVER)
        return;
    atomic_store_explicit(&unused_is_watched, true, memory_order_relaxed);
    housekeeping_start(recorder_now() + threshold);
}

/* By words, because another thread may read it or, where the ledger is full, write to the same row. */
void unused_note(struct handle *handle, const char *query) {
    uint64_t words[WORDS] = {0};
    _Atomic uint64_t *into = (_Atomic uint64_t *)(void *)handle->row->statement;
    statement_outline(query, (char *)words, sizeof words);
    for (size_t i = 0; i < WORDS; i++)
        atomic_store_explicit(&into[i], words[i], memory_order_relaxed);
}

static void copy_statement(const struct ledger_handle *row, char *text) {
    uint64_t words[WORDS];
    const _Atomic uint64_t *from = (const _Atomic uint64_t *)(const void *)row->statement;
    for (size_t i = 0; i < WORDS; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    memcpy(text, words, LEDGER_STATEMENT);
    text[LEDGER_STATEMENT - 1] = '\0';
}

static int64_t last_use(const struct handle *handle) {
    int64_t called = atomic_load_explicit(&handle->now, memory_order_relaxed);
    return called > handle->opened ? called : handle->opened;
}

static bool is_in_use(const struct handle *handle) {
    uint64_t inside = atomic_load_explicit(&handle->inside, memory_order_acquire);
    if (handle->inherited && atomic_load(&handle->row->state) == LEDGER_HANDLE_INHERITED)
        return true; /* by the parent, for all we know */
    return inside && process_thread_lives(call_thread(inside));
}

/* Under the set lock: a handle in the list is not given back meanwhile. */
static unsigned collect(struct set *set, int64_t now, int64_t *next, struct warning *warnings) {
    const int64_t threshold = settings()->leak_threshold, soonest = now + threshold / 16;
    unsigned count = 0;
    for (struct handle *handle = set->handles; handle && count < AT_ONCE; handle = handle->next) {
        if (atomic_load_explicit(&handle->warned, memory_order_relaxed))
            continue;
        /* Whoever leaves a call writes the time first: so look whether it is left first. */
        bool in_use = is_in_use(handle);
        int64_t due = last_use(handle) + threshold;
        if (due > now || in_use) {
            due =
                due > soonest ? due : soonest; /* many handles, each with a time of its own, wake us seldom */
            *next = due < *next ? due : *next;
            continue;
        }
        struct warning *warning = &warnings[count++];
        warning->site = handle->site;
        warning->unused = now - last_use(handle);
        warning->statements = atomic_load_explicit(&handle->row->statements, memory_order_relaxed);
        copy_statement(handle->row, warning->statement);
        atomic_store_explicit(&handle->warned, true, memory_order_relaxed);
        atomic_store_explicit(&handle->row->warned, 1, memory_order_relaxed);
    }
    return count;
}

void unused_look(struct set *set, int64_t now, int64_t *next) {
    struct warning warnings[AT_ONCE];
    unsigned count;
    do {
        pthread_mutex_lock(&set->lock);
        count = collect(set, now, next, warnings);
        pthread_mutex_unlock(&set->lock);
        for (unsigned i = 0; i < count; i++) {
            const struct warning *warning = &warnings[i];
            char place[16];
            bool told = warning->statement[0] != '\0';
            log_event(LOG_LEAK, warning->site, 0,
                      "handle for %s unused for %.3gs, opened at %s; %s%s; if nothing needs it any more, "
                      "PQfinish it",
                      set_name(set), (double)warning->unused / 1e9, log_site(warning->site, place),
                      told                  ? "last statement: "
                      : warning->statements ? "its last call was no statement"
                                            : "no statement was ever run on it",
                      told ? warning->statement : "");
        }
    } while (count == AT_ONCE);
}

void unused_take_back(struct handle *handle, const char *what) {
    int error = errno;
    char place[16];
    if (!atomic_exchange(&handle->warned, false))
        return;
    atomic_store_explicit(&handle->row->warned, 0, memory_order_relaxed);
    log_event(LOG_LEAK, handle->site, 1, "taken back: the handle for %s opened at %s is %s after all",
              set_name(handle->set), log_site(handle->site, place), what);
    errno = error;
}
