/* spans.c: writes when a handle was alive and when it was busy. */
#include "spans.h"

#include <time.h>

/* The last busy part that began, of any handle: who is still the last was not interrupted. */
static _Atomic(struct ledger_span *) latest;

/* Not recorder_now(): its ticks of up to 4 ms are longer than most queries, and who was busy together with
 * whom is what the timeline is for. */
static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* A quarter of the table is for handles alone: a busy loop must not hide who is born after it. */
static uint32_t room(const struct ledger_table *table, enum ledger_span_kind kind) {
    return kind == LEDGER_SPAN_BUSY ? table->capacity - table->capacity / 4 : table->capacity;
}

static void no_room(struct ledger_header *ledger, int64_t begin) {
    int64_t none = 0;
    atomic_fetch_add_explicit(&ledger->counters.spans_unlisted, 1, memory_order_relaxed);
    atomic_compare_exchange_strong_explicit(&ledger->spans_full_monotonic, &none, begin, memory_order_relaxed,
                                            memory_order_relaxed);
}

static struct ledger_span *new_span(enum ledger_span_kind kind, struct span_owner owner,
                                    enum ledger_handle_state state, int64_t begin) {
    struct ledger_header *ledger = recorder();
    struct ledger_table *table = &ledger->spans;
    uint32_t index = atomic_load_explicit(&table->used, memory_order_relaxed);
    do {
        if (index >= room(table, kind)) {
            no_room(ledger, begin);
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&table->used, &index, index + 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    struct ledger_span *span = (struct ledger_span *)((char *)ledger + table->offset) + index;
    span->site = owner.site;
    span->target = owner.target;
    span->handle = owner.number;
    span->begin = begin;
    atomic_store_explicit(&span->state, (uint32_t)state, memory_order_relaxed);
    atomic_store_explicit(&span->kind, (uint32_t)kind, memory_order_release);
    return span;
}

void spans_open(struct spans *spans, struct span_owner owner, enum ledger_handle_state state) {
    spans->begun = true;
    spans->alive = new_span(LEDGER_SPAN_ALIVE, owner, state, now());
}

void spans_became(struct spans *spans, enum ledger_handle_state state) {
    if (spans->alive)
        atomic_store_explicit(&spans->alive->state, (uint32_t)state, memory_order_relaxed);
}

void spans_close(struct spans *spans) {
    if (!spans->alive && !spans->busy)
        return;
    int64_t end = now();
    if (spans->busy && atomic_load_explicit(&spans->busy->end, memory_order_relaxed) == 0)
        atomic_store_explicit(&spans->busy->end, end, memory_order_relaxed);
    if (spans->alive)
        atomic_store_explicit(&spans->alive->end, end, memory_order_relaxed);
    spans->alive = spans->busy = NULL;
}

/* Goes on with the handle's last busy part, if that is the truth or near enough. */
static bool goes_on(struct ledger_span *span, int64_t begin) {
    const struct ledger_table *table = &recorder()->spans;
    if (!span)
        return false;
    int64_t gap = begin - atomic_load_explicit(&span->end, memory_order_relaxed);
    if (gap >= SPANS_GAP)
        return false;
    if (atomic_load_explicit(&latest, memory_order_relaxed) != span &&
        atomic_load_explicit(&table->used, memory_order_relaxed) < room(table, LEDGER_SPAN_BUSY) / 2)
        return false;
    atomic_fetch_add_explicit(&span->idle, gap, memory_order_relaxed);
    atomic_store_explicit(&span->end, 0, memory_order_relaxed);
    return true;
}

void spans_busy(struct spans *spans, struct span_owner owner) {
    int64_t begin = now();
    if (!spans->begun)
        spans_open(spans, owner, LEDGER_HANDLE_INHERITED);
    if (!goes_on(spans->busy, begin))
        spans->busy = new_span(LEDGER_SPAN_BUSY, owner, LEDGER_HANDLE_FREE, begin);
    if (spans->busy)
        atomic_fetch_add_explicit(&spans->busy->periods, 1, memory_order_relaxed);
    if (spans->alive)
        atomic_fetch_add_explicit(&spans->alive->periods, 1, memory_order_relaxed);
    atomic_store_explicit(&latest, spans->busy, memory_order_relaxed);
}

void spans_idle(struct spans *spans) {
    if (spans->busy)
        atomic_store_explicit(&spans->busy->end, now(), memory_order_relaxed);
}
