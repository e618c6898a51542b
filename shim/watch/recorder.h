/*
 * recorder.h: writes the ledger of this process. Rows are plain stores into a shared mapping.
 *
 * The file is made at the first use of libpq (a process that never calls it makes none). When it cannot
 * be made, one log line says so and every function below works on a private dummy mapping, so that
 * callers never check. Thread-safe, without the engine's locks. In a forked child the first call after
 * recorder_after_fork() makes a new file; the parent's mapping is never written by the child.
 *
 * Rows of modules, sites and targets keep their numbers in the child: it begins with a copy of its
 * parent's, counters at zero. Rows of handles and servers it has to open again; a row pointer from before
 * the fork stays memory that may be written (nobody reads it) and closed (nothing happens).
 * Counters are the callers' to count, but for handles_unlisted and calls_unlisted.
 */
#ifndef PQONE_RECORDER_H
#define PQONE_RECORDER_H

#include <stdbool.h>

#include "ledger.h"

/* For recorder() alone: the mapping, NULL until it is open, and the way to open it. */
extern _Atomic(struct ledger_header *) recorder_mapping;
struct ledger_header *recorder_open(void);

/* The mapping; opens the ledger if it is not open yet. Never NULL. */
static inline struct ledger_header *recorder(void) {
    struct ledger_header *header = atomic_load_explicit(&recorder_mapping, memory_order_acquire);
    return __builtin_expect(header != 0, 1) ? header : recorder_open();
}

/* Base name of the ledger file, "" if there is none. Valid until fork. */
const char *recorder_file(void);

/* The child's side of fork: forget the parent's mapping. Async-signal-safe; twice does no harm. Part of
 * watch_fork_child(). `parent_pid` becomes forked_from, if the parent had a ledger. */
void recorder_after_fork(int parent_pid);

/* Says how the process ended: exit. Removes the file if there is no launcher (PQONE_RUN unset) and no
 * row of a handle is open or failed (inherited ones are the parent's): nobody would ever read it. */
void recorder_close(void);

/* A row for a target, found by name or new. UINT32_MAX if the table is full. */
uint32_t recorder_target(const char *name);

/* A row for a module, found by path, build-id and base, or new; LEDGER_NO_MODULE if the table is full. */
uint32_t recorder_module(const struct ledger_module *module);

/* Script frames as the ledger keeps them (ledger_site). `text` belongs to whoever filled it in. */
struct script {
    enum ledger_language language;
    uint32_t length;
    const char *text;
};

/* A row for a stack of up to LEDGER_FRAMES frames and what stands before them (NULL: nothing), found or new;
 * UINT32_MAX if the table is full. Script frames that find no room are left out and counted. */
uint32_t recorder_site_row(const uint64_t *frames, uint32_t depth, const struct script *script,
                           const char *name);

/* A row for a new handle or server connection; when the table is full a row that is shared by all who
 * found no room (never listed: its state stays free), and counters.handles_unlisted counts. */
struct ledger_handle *recorder_handle_open(uint64_t number, const void *address, uint32_t site,
                                           uint32_t target, enum ledger_handle_state state);
void recorder_handle_close(struct ledger_handle *row);
/* May it stay after PQfinish, to be remembered? A quarter of the table is for handles that are alive, however
 * long the process runs and whatever its runtimes closed. Not what found no room. */
bool recorder_handle_may_stay(const struct ledger_handle *row);
struct ledger_server *recorder_server_open(int backend_pid, uint32_t target);
void recorder_server_close(struct ledger_server *row);

/* Counts a misuse (misuse.h): the row of that kind, site and place, found or new. NULL: the table is full,
 * and counters.misuses_unlisted counts. */
struct ledger_misuse *recorder_misuse(uint32_t kind, uint32_t site, uint32_t place);

/* Row by index, with the table's bounds checked; NULL if there is none. */
struct ledger_site *recorder_site(uint32_t site);
struct ledger_target *recorder_target_row(uint32_t target);
/* Index of a row (the inverse, for ledger_handle.server); UINT32_MAX for the shared one. */
uint32_t recorder_server_index(const struct ledger_server *row);

/* Adds one to a counter and keeps its peak. */
static inline void recorder_count_up(_Atomic uint64_t *now, _Atomic uint64_t *peak) {
    uint64_t value = atomic_fetch_add_explicit(now, 1, memory_order_relaxed) + 1;
    uint64_t known = atomic_load_explicit(peak, memory_order_relaxed);
    while (value > known && !atomic_compare_exchange_weak_explicit(peak, &known, value, memory_order_relaxed,
                                                                   memory_order_relaxed))
        ;
}
static inline void recorder_count_up32(_Atomic uint32_t *now, _Atomic uint32_t *peak) {
    uint32_t value = atomic_fetch_add_explicit(now, 1, memory_order_relaxed) + 1;
    uint32_t known = atomic_load_explicit(peak, memory_order_relaxed);
    while (value > known && !atomic_compare_exchange_weak_explicit(peak, &known, value, memory_order_relaxed,
                                                                   memory_order_relaxed))
        ;
}

/* Nanoseconds of CLOCK_MONOTONIC_COARSE: about 7 ns to ask, 1 to 4 ms exact. */
int64_t recorder_now(void);

#endif
