/*
 * handover.c: which process answers for a handle that a fork has copied.
 *
 * A child's ledger has a row for each handle that it inherited, with the number and address that it has in
 * the parent's. Generations in between may have no ledger (they never used libpq) or only inherited rows.
 */
#include "handover.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../../watch/misuse.h"

enum { SLACK = 20 * 1000 * 1000 }; /* start times count in ticks of 10 ms, last uses in 4 ms */

void handover_free(uint8_t **heirs, const struct ledger_list *list) {
    for (size_t i = 0; heirs && i < list->count; i++)
        free(heirs[i]);
    free(heirs);
}

/* The image of that pid that was there when the child's ledger began; pids and exec give several. */
static size_t parent_of(const struct ledger_list *list, size_t child) {
    const struct ledger_header *header = &list->ledgers[child].header;
    size_t found = list->count;
    for (size_t i = 0; header->forked_from && i < list->count; i++) {
        const struct ledger_header *other = &list->ledgers[i].header;
        if (i != child && other->pid == header->forked_from &&
            other->opened_monotonic <= header->opened_monotonic &&
            (found == list->count || other->opened_monotonic >= list->ledgers[found].header.opened_monotonic))
            found = i;
    }
    return found;
}

static uint32_t same_handle(const struct ledger *ledger, const struct ledger_handle *handle) {
    for (uint32_t i = 0; i < ledger->handle_count; i++) {
        const struct ledger_handle *other = &ledger->handles[i];
        if (other->number == handle->number && other->address == handle->address &&
            (other->state == LEDGER_HANDLE_OPEN || other->state == LEDGER_HANDLE_FAILED ||
             other->state == LEDGER_HANDLE_INHERITED || other->state == LEDGER_HANDLE_TAKEN))
            return i;
    }
    return LEDGER_ROW_NONE;
}

static bool used_on_both_sides(const struct ledger *ledger, uint64_t number) {
    for (uint32_t i = 0; i < ledger->misuse_count; i++)
        if (ledger->misuses[i].kind == MISUSE_BOTH_SIDES && ledger->misuses[i].handle == number)
            return true;
    return false;
}

/* The child's row was made after the fork, at its first call. Its start is nearer to the fork, where it can
 * be believed: it counts from another clock, and the file may be of another boot. */
static int64_t fork_moment(const struct ledger *parent, const struct ledger *child,
                           const struct ledger_handle *row) {
    struct timespec boot, monotonic;
    long ticks = sysconf(_SC_CLK_TCK);
    if (ticks <= 0 || child->header.process_start > INT64_MAX / 1000000000 ||
        clock_gettime(CLOCK_BOOTTIME, &boot) != 0 || clock_gettime(CLOCK_MONOTONIC, &monotonic) != 0)
        return row->opened_monotonic;
    int64_t apart =
        (boot.tv_sec - monotonic.tv_sec) * INT64_C(1000000000) + (boot.tv_nsec - monotonic.tv_nsec);
    int64_t start = (int64_t)child->header.process_start * (INT64_C(1000000000) / ticks) - apart;
    bool plausible = start >= parent->header.opened_monotonic - SLACK && start < row->opened_monotonic;
    return plausible ? start : row->opened_monotonic;
}

/* A child that only finishes what it inherited tidies up after itself, and its parent still has to. But a
 * parent that left without exit() has left it all to the child, as daemon(3) does. */
static bool was_meant_for(const struct ledger *parent, const struct ledger_handle *row) {
    bool used = row->state == LEDGER_HANDLE_TAKEN || row->statements > 0 ||
                row->last_used_monotonic > row->opened_monotonic;
    return used || (parent->header.process_state == LEDGER_RUNNING && !parent->alive);
}

static bool is_handed(const struct ledger *parent, const struct ledger_handle *opened,
                      const struct ledger *child, const struct ledger_handle *row) {
    return was_meant_for(parent, row) && !used_on_both_sides(parent, row->number) &&
           !used_on_both_sides(child, row->number) &&
           opened->last_used_monotonic <= fork_moment(parent, child, row) + SLACK;
}

/* Follows a child's row up to the process that opened the handle. */
static void tell_forefather(const struct ledger_list *list, uint8_t **heirs, size_t at,
                            const struct ledger_handle *row) {
    const struct ledger *child = &list->ledgers[at];
    for (size_t steps = 0; steps < list->count; steps++) {
        at = parent_of(list, at);
        if (at == list->count)
            return;
        const struct ledger *parent = &list->ledgers[at];
        uint32_t index = same_handle(parent, row);
        if (index == LEDGER_ROW_NONE)
            return;
        const struct ledger_handle *opened = &parent->handles[index];
        if (opened->state == LEDGER_HANDLE_INHERITED)
            continue;
        enum heir heir = HEIR_NONE;
        if (row->state == LEDGER_HANDLE_INHERITED)
            heir = HEIR_RUNS;
        else if (is_handed(parent, opened, child, row))
            heir = row->state == LEDGER_HANDLE_HANDED ? HEIR_FINISHED : child->alive ? HEIR_RUNS : HEIR_LEAKS;
        if (heir > heirs[at][index])
            heirs[at][index] = (uint8_t)heir;
        return;
    }
}

/* What a child used and left unfinished, its parent may have finished: then nothing of it is left open. */
static bool parent_finished(const struct ledger_list *list, size_t at, const struct ledger_handle *row) {
    for (size_t steps = 0; steps < list->count; steps++) {
        at = parent_of(list, at);
        if (at == list->count || list->ledgers[at].header.counters.handles_unlisted)
            return false;
        uint32_t index = same_handle(&list->ledgers[at], row);
        if (index == LEDGER_ROW_NONE)
            return true;
        if (list->ledgers[at].handles[index].state != LEDGER_HANDLE_INHERITED)
            return false;
    }
    return false;
}

/* A child that still runs and has not used libpq has no ledger to tell by; its memory does. */
static void ask_runners(const struct ledger_list *list, uint8_t **heirs, size_t at) {
    const struct ledger *ledger = &list->ledgers[at];
    bool inherited = false;
    for (size_t i = 0; i < list->runners.count && !inherited; i++) {
        const struct runner *runner = &list->runners.runners[i];
        inherited = runner->pid != ledger->header.pid && runner->start >= ledger->header.process_start &&
                    runner_has_reserved(runner, ledger->header.handle_range);
    }
    for (uint32_t row = 0; inherited && row < ledger->handle_count; row++)
        if (heirs[at][row] == HEIR_NONE)
            heirs[at][row] = HEIR_RUNS;
}

uint8_t **handover_resolve(const struct ledger_list *list) {
    uint8_t **heirs = calloc(list->count + 1, sizeof *heirs);
    bool good = heirs != NULL;
    for (size_t i = 0; good && i < list->count; i++) {
        heirs[i] = calloc(list->ledgers[i].handle_count + (size_t)1, 1);
        good = heirs[i] != NULL;
    }
    for (size_t i = 0; good && i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        for (uint32_t row = 0; row < ledger->handle_count; row++) {
            uint32_t state = ledger->handles[row].state;
            if (state == LEDGER_HANDLE_HANDED || state == LEDGER_HANDLE_TAKEN ||
                (state == LEDGER_HANDLE_INHERITED && ledger->alive))
                tell_forefather(list, heirs, i, &ledger->handles[row]);
            if (state == LEDGER_HANDLE_TAKEN && parent_finished(list, i, &ledger->handles[row]))
                heirs[i][row] = HEIR_PARENT;
        }
    }
    for (size_t i = 0; good && i < list->count; i++)
        if (!list->ledgers[i].alive && list->runners.count)
            ask_runners(list, heirs, i);
    if (good)
        return heirs;
    handover_free(heirs, list);
    return NULL;
}
