/* findings.c: what a ledger's rows mean. */
#include "findings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../symbols/stack.h"

/* Callers shown behind the innermost frame: enough to tell who came through a common db_connect(). */
enum { CALLERS_SHOWN = 2 };

int64_t findings_span(int64_t earlier, int64_t later) {
    int64_t span;
    return __builtin_sub_overflow(later, earlier, &span) || span < 0 ? 0 : span;
}

static void put(char *into, size_t size, const char *between, const struct frame *frame) {
    char text[700];
    size_t length = strlen(into);
    snprintf(into + length, size - length, "%s%s", between, frame_text(frame, text, sizeof text));
}

/* Frames without a line tell a reader nothing about his program, and where scripts called scripts, how their
 * interpreter did that tells him nothing either. */
static void describe(struct symbols *symbols, const struct ledger *ledger, uint32_t site, char *into,
                     size_t size) {
    struct stack stack;
    into[0] = '\0';
    if (!stack_of_site(symbols, ledger, site, &stack))
        stack = (struct stack){0};
    const struct frame *first = stack_first(&stack), *end = first ? stack.frames + stack.count : NULL;
    put(into, size, "", first);
    int shown = 0;
    for (const struct frame *frame = first; frame && ++frame < end && shown < CALLERS_SHOWN;) {
        if (!frame->line || frame->noise || frame->script != first->script)
            continue;
        put(into, size, shown ? " < " : ", called from ", frame);
        shown++;
    }
    stack_release(&stack);
}

/* The place of a site; sites with one text share it. The array has room for all sites and one more. */
static struct place *place_of(struct findings *findings, const uint32_t *place_by_site, uint32_t site) {
    return &findings->places[place_by_site[site == LEDGER_ROW_NONE ? 0 : site + 1]];
}

static void name_places(const struct ledger *ledger, struct symbols *symbols, struct findings *findings,
                        uint32_t *place_by_site) {
    struct place *unknown = &findings->places[findings->place_count++];
    unknown->site = LEDGER_ROW_NONE;
    unknown->target = LEDGER_ROW_NONE;
    snprintf(unknown->text, sizeof unknown->text, "an unknown place");
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        struct place *next = &findings->places[findings->place_count];
        next->site = i;
        next->target = LEDGER_ROW_NONE;
        describe(symbols, ledger, i, next->text, sizeof next->text);
        size_t at = 0;
        while (strcmp(findings->places[at].text, next->text) != 0)
            at++;
        findings->place_count += at == findings->place_count;
        place_by_site[i + 1] = (uint32_t)at;
    }
}

static void count_sites(const struct ledger *ledger, struct findings *findings, const uint32_t *by_site) {
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        struct place *place = place_of(findings, by_site, i);
        place->opened += ledger->sites[i].opened;
        place->duplicates += ledger->sites[i].duplicates;
        place->pins += ledger->sites[i].pins;
    }
    for (size_t i = 0; i < findings->place_count; i++)
        findings->duplicate_places += findings->places[i].duplicates > 0;
}

static void count_handles(const struct ledger *ledger, struct findings *findings, const uint32_t *by_site) {
    for (uint32_t i = 0; i < ledger->handle_count; i++) {
        const struct ledger_handle *handle = &ledger->handles[i];
        /* What came by fork and was never used here is the parent's to finish. */
        findings->inherited += handle->state == LEDGER_HANDLE_INHERITED;
        if (handle->state != LEDGER_HANDLE_OPEN && handle->state != LEDGER_HANDLE_FAILED &&
            handle->state != LEDGER_HANDLE_TAKEN)
            continue;
        struct place *place = place_of(findings, by_site, handle->site);
        int64_t used = handle->last_used_monotonic;
        if (place->unfinished == 0 || handle->opened_monotonic < place->oldest_opened)
            place->oldest_opened = handle->opened_monotonic;
        if (place->unfinished == 0 || used > place->last_used)
            place->last_used = used;
        if (place->target == LEDGER_ROW_NONE)
            place->target = handle->target;
        if (handle->pin)
            place->pin = handle->pin;
        place->never_connected += handle->state == LEDGER_HANDLE_FAILED;
        place->lost += handle->verdict == LEDGER_LOST;
        place->held += handle->verdict == LEDGER_HELD;
        place->unfinished++;
        findings->unfinished++;
    }
    findings->unfinished += ledger->header.counters.handles_unlisted;
}

/* The counter has those of finished handles, a row those of its own; a free row still holds its last
 * owner's. */
uint64_t findings_statements(const struct ledger *ledger) {
    uint64_t statements = ledger->header.counters.statements;
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (ledger->handles[i].state != LEDGER_HANDLE_FREE)
            statements += ledger->handles[i].statements;
    return statements;
}

/* Per target, since a server connection serves one target only; their peaks need not have been at the same
 * moment, so the sum is what was surely enough. */
uint64_t findings_needed(const struct ledger *ledger) {
    const struct ledger_counters *counters = &ledger->header.counters;
    if (counters->handles_opened <= counters->connects_failed)
        return 0;
    uint64_t needed = 0;
    for (uint32_t i = 0; i < ledger->target_count; i++)
        needed += ledger->targets[i].busy_peak;
    /* A connection that was only opened was still needed: PQconnectdb tells whether the server is there. */
    return needed ? needed : counters->busy_peak ? counters->busy_peak : 1;
}

static enum fate fate_of(const struct ledger *ledger) {
    uint32_t state = ledger->header.process_state;
    switch (state) {
    case LEDGER_EXITED:
        return FATE_EXITED;
    case LEDGER_EXECED:
        return FATE_EXECED;
    }
    if (ledger->replaced)
        return FATE_EXECED;
    return ledger->alive ? FATE_ALIVE : FATE_KILLED;
}

bool findings_gather(const struct ledger *ledger, struct symbols *symbols, struct findings *into) {
    memset(into, 0, sizeof *into);
    into->places = calloc(ledger->site_count + (size_t)1, sizeof *into->places);
    uint32_t *place_by_site = calloc(ledger->site_count + (size_t)1, sizeof *place_by_site);
    bool good = into->places && place_by_site;
    if (good) {
        name_places(ledger, symbols, into, place_by_site);
        count_sites(ledger, into, place_by_site);
        count_handles(ledger, into, place_by_site);
        into->needed = findings_needed(ledger);
        into->fate = fate_of(ledger);
    } else {
        findings_release(into);
    }
    free(place_by_site);
    return good;
}

void findings_release(struct findings *findings) {
    free(findings->places);
    memset(findings, 0, sizeof *findings);
}

char *findings_signal(int signal, char *into, size_t size) {
    const char *name = sigabbrev_np(signal);
    if (name)
        snprintf(into, size, "SIG%s", name);
    else
        snprintf(into, size, "signal %d", signal);
    return into;
}

bool findings_matter(const struct ledger *ledger, const struct findings *findings) {
    const struct ledger_counters *counters = &ledger->header.counters;
    return findings->unfinished || counters->duplicates || counters->pins || counters->waits ||
           counters->wait_timeouts || counters->over_cap || counters->replaced_dead || counters->misuse ||
           counters->connects_failed || ledger->header.notes;
}
