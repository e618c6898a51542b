/* results.c: counts PGresults in when they are given and out when they are cleared, and reports who is left.
 */
#define _GNU_SOURCE
#include "results.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "set.h"
#include "settings.h"
#include "watch/call_site.h"
#include "watch/misuse.h"

enum { PLACES = 1 << 16, PROBES = 32, GROUPS = 256 };

/* Nobody's result has this address; its place is being filled in or read. */
#define TAKEN ((const PGresult *)1)

struct place {
    _Atomic(const PGresult *) result; /* NULL: free; written last */
    struct libpq *libpq;
    const char *function;
    void *caller;
    uint64_t handle;
    uint32_t site, target;
};

_Atomic bool results_are_kept;
static _Atomic(struct place *) table; /* PLACES of them */

void results_start(void) {
    struct place *none = NULL;
    if (settings()->mode != MODE_OBSERVE || atomic_load_explicit(&table, memory_order_relaxed))
        return;
    /* Untouched pages cost nothing, and malloc gives the same addresses again and again. */
    void *fresh = mmap(NULL, PLACES * sizeof(struct place), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED)
        return;
    if (!atomic_compare_exchange_strong(&table, &none, fresh))
        munmap(fresh, PLACES * sizeof(struct place));
    atomic_store(&results_are_kept, true);
}

static struct place *probe(const PGresult *result, unsigned i) {
    uint64_t hash = (uint64_t)(uintptr_t)result * 0x9e3779b97f4a7c15u >> 48;
    return &atomic_load_explicit(&table, memory_order_relaxed)[(hash + i) % PLACES];
}

void results_given(const struct handle *handle, const PGresult *result, const char *function, void *caller) {
    for (unsigned i = 0; i < PROBES; i++) {
        struct place *place = probe(result, i);
        const PGresult *there = NULL;
        if (!atomic_compare_exchange_strong_explicit(&place->result, &there, TAKEN, memory_order_acquire,
                                                     memory_order_relaxed))
            continue;
        place->libpq = handle->libpq;
        place->function = function;
        place->caller = caller;
        place->handle = atomic_load_explicit(&handle->number, memory_order_relaxed);
        place->site = handle->site;
        place->target = set_ledger_target(handle->set);
        atomic_store_explicit(&place->result, result, memory_order_release);
        atomic_fetch_add_explicit(&recorder()->counters.results_alive, 1, memory_order_relaxed);
        return;
    }
}

struct libpq *results_forget(const PGresult *result) {
    for (unsigned i = 0; result && i < PROBES; i++) {
        struct place *place = probe(result, i);
        const PGresult *there = atomic_load_explicit(&place->result, memory_order_relaxed);
        if (there != result || !atomic_compare_exchange_strong_explicit(
                                   &place->result, &there, TAKEN, memory_order_acquire, memory_order_relaxed))
            continue;
        struct libpq *libpq = place->libpq;
        atomic_store_explicit(&place->result, NULL, memory_order_release);
        atomic_fetch_sub_explicit(&recorder()->counters.results_alive, 1, memory_order_relaxed);
        return libpq;
    }
    return NULL;
}

/* Results of handles that were opened at one place, given at one place. */
struct group {
    struct place first;
    uint64_t count;
};

static unsigned count_groups(struct group *groups) {
    unsigned count = 0;
    for (unsigned i = 0; i < PLACES; i++) {
        struct place *place = &atomic_load(&table)[i];
        const PGresult *there = atomic_load(&place->result);
        if (!there || there == TAKEN || !atomic_compare_exchange_strong(&place->result, &there, TAKEN))
            continue; /* for good: the process ends */
        unsigned found = 0;
        while (found < count &&
               (groups[found].first.caller != place->caller || groups[found].first.site != place->site))
            found++;
        if (found == GROUPS)
            continue;
        if (found == count)
            groups[count++] = (struct group){.first = *place};
        groups[found].count++;
    }
    return count;
}

void results_report(void) {
    if (!atomic_exchange(&results_are_kept, false))
        return;
    struct group *groups = calloc(GROUPS, sizeof *groups);
    unsigned count = groups ? count_groups(groups) : 0;
    for (unsigned i = 0; i < count; i++) {
        const struct place *first = &groups[i].first;
        const struct ledger_target *target = recorder_target_row(first->target);
        const struct misused what = {first->site, first->target, first->handle, first->function,
                                     target ? target->name : NULL};
        /* psql keeps its last error to the end, and many a program its last result: that grows to nothing.
         * Two from the same place were forgotten, once and again. */
        bool kept = groups[i].count == 1;
        misuse_found(kept ? MISUSE_RESULT_KEPT : MISUSE_RESULTS, &what, call_site_of(first->caller),
                     groups[i].count);
    }
    free(groups);
}

void results_fork(void) {
    struct place *places = atomic_load(&table);
    if (places)
        madvise(places, PLACES * sizeof *places, MADV_DONTNEED); /* reads as zero again */
}
