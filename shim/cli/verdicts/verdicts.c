/* verdicts.c: what a check found, over all processes of a run. */
#include "verdicts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../reports/findings.h"
#include "../symbols/stack_names.h"
#include "gate.h"
#include "gathering.h"
#include "handover.h"

static const char *const kind_words[FINDING_KINDS] = {"lost",   "held",      "unknown", "misuse",
                                                      "budget", "duplicate", "left",    "handed"};

const char *finding_word(enum finding_kind kind) {
    return kind_words[kind];
}

char *finding_opened(const struct finding *finding, char *into, size_t size) {
    if (!finding->opened_name)
        return frame_text(stack_first(&finding->opened), into, size);
    snprintf(into, size, "%s", finding->opened_name);
    return into;
}

char *finding_place(const struct finding *finding, char *into, size_t size) {
    if (!finding->place_name)
        return frame_text(stack_first(&finding->place), into, size);
    snprintf(into, size, "%s", finding->place_name);
    return into;
}

bool finding_is_leak(const struct finding *finding) {
    return finding->kind == FINDING_LOST || finding->kind == FINDING_HELD || finding->kind == FINDING_UNKNOWN;
}

/* One ledger on its way into the verdicts. */
struct view {
    struct gathering *gathering;
    const struct ledger *ledger;
    const uint8_t *heirs;
    struct verdicts *into;
    struct running *running; /* of this process, NULL if it has ended */
};

static const char finish_it[] = "PQfinish it on every path, also where connecting failed";

/* How the process ended decides what can be said of what it had not finished. */
static void tell_unfinished(const struct ledger *ledger, const struct ledger_handle *handle,
                            struct occurrence *occurrence) {
    uint32_t search = ledger->header.search;
    occurrence->advice = finish_it;
    occurrence->kind = FINDING_UNKNOWN;
    if (search == LEDGER_SEARCH_DONE && handle && handle->verdict == LEDGER_LOST) {
        occurrence->kind = FINDING_LOST;
        occurrence->says =
            ledger->alive ? "not finished, and nothing in memory points at it any more: nobody can finish it"
                          : "never finished, and nothing in memory points at it any more";
    } else if (search == LEDGER_SEARCH_DONE && handle && handle->verdict == LEDGER_HELD) {
        occurrence->kind = FINDING_HELD;
        occurrence->says = "never finished; at the end something in memory still pointed at it";
    } else if (ledger->header.process_state == LEDGER_EXITED) {
        occurrence->says = search == LEDGER_SEARCH_FAILED
                               ? "never finished; whether anything still pointed at it could not be looked at"
                               : "never finished; whether anything still pointed at it is not known";
    } else if (ledger->header.process_state == LEDGER_EXECED || ledger->replaced) {
        occurrence->says = "not finished when exec replaced the process; nobody could look at its memory";
    } else if (ledger->signal) {
        occurrence->says = "not finished when a signal ended the process; nobody could look at its memory";
    } else if (ledger->left) {
        occurrence->says = "not finished when the process left without exit() (_exit, or an exec); nobody "
                           "could look at its memory";
    } else {
        occurrence->says = "not finished when the process was killed or left by _exit; nobody could look at "
                           "its memory";
    }
}

static void count_unfinished(struct totals *totals, const struct occurrence *occurrence) {
    if (occurrence->kind == FINDING_LOST)
        totals->lost += occurrence->count;
    else if (occurrence->kind == FINDING_HELD)
        totals->held += occurrence->count;
    else
        totals->unknown += occurrence->count;
}

static void add_unfinished(struct view *view, const struct ledger_handle *handle) {
    const struct ledger *ledger = view->ledger;
    struct occurrence occurrence = {.opened = handle->site,
                                    .place = LEDGER_ROW_NONE,
                                    .target = handle->target,
                                    .function = "",
                                    .count = 1};
    tell_unfinished(ledger, handle, &occurrence);
    count_unfinished(&view->into->totals, &occurrence);
    struct finding *finding = gathering_add(view->gathering, &occurrence);
    if (!finding)
        return;
    finding->never_connected += handle->state == LEDGER_HANDLE_FAILED;
    int64_t age = ledger->end ? findings_span(handle->opened_monotonic, ledger->end) : -1;
    if (age > finding->age || (age < 0 && finding->age < 0)) {
        finding->age = age;
        finding->unused = age < 0 ? -1 : findings_span(handle->last_used_monotonic, ledger->end);
        finding->statement = handle->statement;
    }
}

static void add_handed(struct view *view, const struct ledger_handle *handle) {
    struct occurrence occurrence = {.kind = FINDING_HANDED,
                                    .opened = handle->site,
                                    .place = LEDGER_ROW_NONE,
                                    .target = handle->target,
                                    .function = "",
                                    .says = "opened before a fork, then used and finished by the child alone",
                                    .advice = "",
                                    .count = 1};
    view->into->totals.handed++;
    gathering_add(view->gathering, &occurrence);
}

/* Rows that are not this process's to answer for, or not yet. */
static void add_handle(struct view *view, uint32_t row) {
    const struct ledger_handle *handle = &view->ledger->handles[row];
    bool unfinished = handle->state == LEDGER_HANDLE_OPEN || handle->state == LEDGER_HANDLE_FAILED ||
                      handle->state == LEDGER_HANDLE_TAKEN;
    /* What is lost stays lost, however long the process goes on. */
    if (view->running && unfinished && view->heirs[row] == HEIR_NONE &&
        view->ledger->header.search == LEDGER_SEARCH_DONE && handle->verdict == LEDGER_LOST) {
        add_unfinished(view, handle);
        return;
    }
    if (view->running) {
        view->running->handles += unfinished || handle->state == LEDGER_HANDLE_INHERITED;
        view->into->totals.unjudged += unfinished;
        return;
    }
    if (!unfinished)
        return;
    switch ((enum heir)view->heirs[row]) {
    case HEIR_NONE:
        add_unfinished(view, handle);
        break;
    case HEIR_FINISHED:
        add_handed(view, handle);
        break;
    case HEIR_RUNS:
        view->into->totals.unjudged++;
        break;
    case HEIR_PARENT:
    case HEIR_LEAKS:
        break;
    }
}

/* Handles without a row: the table was full. Where, and what became of them, nobody knows. */
static void add_unlisted(struct view *view) {
    uint64_t count = view->ledger->header.counters.handles_unlisted;
    if (count == 0)
        return;
    if (view->running) {
        view->running->handles += count;
        view->into->totals.unjudged += count;
        return;
    }
    struct occurrence occurrence = {.opened = LEDGER_ROW_NONE,
                                    .place = LEDGER_ROW_NONE,
                                    .target = LEDGER_ROW_NONE,
                                    .function = "",
                                    .count = count};
    tell_unfinished(view->ledger, NULL, &occurrence);
    occurrence.says = "never finished; the ledger had no room to note where they were opened";
    count_unfinished(&view->into->totals, &occurrence);
    gathering_add(view->gathering, &occurrence);
}

static const char *left_says(enum ledger_runtime runtime) {
    switch (runtime) {
    case LEDGER_AT_EXIT:
        return "finished by a static destructor at exit, not by the program";
    case LEDGER_BY_PYTHON:
        return "finished by Python's shutdown, not by the program";
    case LEDGER_BY_PERL:
        return "finished by Perl's shutdown, not by the program";
    case LEDGER_BY_RUBY:
        return "finished by Ruby's shutdown, not by the program";
    case LEDGER_BY_PHP_REQUEST:
        return "finished by PHP at the end of the request, not by the program";
    case LEDGER_BY_PHP_MODULE:
        return "finished by PHP's shutdown, not by the program";
    case LEDGER_BY_LUA:
        return "finished by Lua's shutdown, not by the program";
    case LEDGER_NO_RUNTIME:
        break;
    }
    return "finished by a runtime's shutdown, not by the program";
}

/* exit() also runs what the program registered with atexit(): that is the program itself cleaning up. A C++
 * destructor is what nobody called. */
static bool is_left(struct view *view, const struct ledger_handle *handle) {
    const char *text = "";
    if (handle->runtime != LEDGER_AT_EXIT)
        return true;
    if (handle->ended != LEDGER_ROW_NONE)
        text = gathering_site_text(view->gathering, handle->ended);
    return text && strstr(text, "::~");
}

/* A site keeps few rows of what was left and counts the rest: those are taken to be as the last one listed.
 */
static void add_left(struct view *view, uint32_t site) {
    const struct ledger *ledger = view->ledger;
    const struct ledger_handle *last = NULL;
    uint64_t listed = 0, counted = site == LEDGER_ROW_NONE ? 0 : ledger->sites[site].left;
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        listed += ledger->handles[i].state == LEDGER_HANDLE_LEFT && ledger->handles[i].site == site;
    uint64_t more = counted > listed ? counted - listed : 0;
    for (uint32_t i = 0, seen = 0; i < ledger->handle_count && seen < listed; i++) {
        const struct ledger_handle *handle = &ledger->handles[i];
        if (handle->state != LEDGER_HANDLE_LEFT || handle->site != site)
            continue;
        seen++;
        last = handle;
        if (!is_left(view, handle))
            continue;
        /* Of an interpreter's shutdown whose it was says it all; its own frames lead nobody anywhere. */
        bool by_program = handle->runtime == LEDGER_AT_EXIT;
        struct occurrence occurrence = {.kind = FINDING_LEFT,
                                        .opened = site,
                                        .place = by_program ? handle->ended : LEDGER_ROW_NONE,
                                        .target = handle->target,
                                        .says = left_says(handle->runtime),
                                        .advice = "close it where it is done with",
                                        .function = "",
                                        .count = 1 + (seen == listed ? more : 0)};
        view->into->totals.left += occurrence.count;
        gathering_add(view->gathering, &occurrence);
    }
    if (last || more == 0)
        return;
    struct occurrence occurrence = {.kind = FINDING_LEFT,
                                    .opened = site,
                                    .place = LEDGER_ROW_NONE,
                                    .target = LEDGER_ROW_NONE,
                                    .says = left_says(LEDGER_NO_RUNTIME),
                                    .advice = "close it where it is done with",
                                    .function = "",
                                    .count = more};
    view->into->totals.left += more;
    gathering_add(view->gathering, &occurrence);
}

static void add_duplicates(struct view *view) {
    const struct ledger *ledger = view->ledger;
    uint64_t unlisted = ledger->header.counters.duplicates;
    struct occurrence occurrence = {.kind = FINDING_DUPLICATE,
                                    .place = LEDGER_ROW_NONE,
                                    .target = ledger->target_count == 1 ? 0 : LEDGER_ROW_NONE,
                                    .says = "opened while the process had an unfinished handle for the same "
                                            "target",
                                    .advice = "keep one handle and pass it on",
                                    .function = ""};
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        occurrence.count = ledger->sites[i].duplicates;
        occurrence.opened = i;
        unlisted -= occurrence.count < unlisted ? occurrence.count : unlisted;
        if (occurrence.count)
            gathering_add(view->gathering, &occurrence);
    }
    occurrence.count = unlisted;
    occurrence.opened = LEDGER_ROW_NONE;
    if (unlisted)
        gathering_add(view->gathering, &occurrence);
}

static void add_misuses(struct view *view) {
    const struct ledger *ledger = view->ledger;
    for (uint32_t i = 0; i < ledger->misuse_count; i++) {
        const struct ledger_misuse *row = &ledger->misuses[i];
        const struct misuse_row *misuse = misuse_row(row->kind);
        if (!misuse)
            continue;
        struct occurrence occurrence = {.kind = FINDING_MISUSE,
                                        .misuse = misuse,
                                        .opened = row->site,
                                        .place = row->place,
                                        .target = row->target,
                                        .says = misuse->says,
                                        .advice = misuse->advice,
                                        .function = row->function,
                                        .count = row->count};
        if (!misuse->is_note)
            view->into->totals.misuses += row->count;
        gathering_add(view->gathering, &occurrence);
    }
    uint64_t unlisted = ledger->header.counters.misuses_unlisted;
    struct occurrence occurrence = {.kind = FINDING_MISUSE,
                                    .opened = LEDGER_ROW_NONE,
                                    .place = LEDGER_ROW_NONE,
                                    .target = LEDGER_ROW_NONE,
                                    .says =
                                        "misuses for which the ledger had no room: it does not tell which",
                                    .advice = "correct those that are listed, and run again",
                                    .function = "",
                                    .count = unlisted};
    view->into->totals.misuses += unlisted;
    if (unlisted)
        gathering_add(view->gathering, &occurrence);
}

static void add_budget(struct view *view, uint64_t budget) {
    for (uint32_t i = 0; i < view->ledger->target_count; i++) {
        struct occurrence occurrence = {.kind = FINDING_BUDGET,
                                        .opened = LEDGER_ROW_NONE,
                                        .place = LEDGER_ROW_NONE,
                                        .target = i,
                                        .says = "more handles alive at once than the budget allows",
                                        .advice = "share handles, or raise --budget",
                                        .function = "",
                                        .count = view->ledger->targets[i].alive_peak};
        struct finding *finding =
            occurrence.count > budget ? gathering_add(view->gathering, &occurrence) : NULL;
        if (finding)
            finding->budget = budget;
    }
}

static bool is_first_image(const struct ledger_list *list, size_t at) {
    const struct ledger_header *header = &list->ledgers[at].header;
    for (size_t i = 0; i < at; i++)
        if (list->ledgers[i].header.pid == header->pid &&
            list->ledgers[i].header.process_start == header->process_start)
            return false;
    return true;
}

static void add_totals(struct totals *totals, const struct ledger *ledger) {
    const struct ledger_counters *counters = &ledger->header.counters;
    totals->opened += counters->handles_opened;
    totals->finished += counters->handles_finished;
    totals->failed_connects += counters->connects_failed;
    totals->duplicates += counters->duplicates;
    totals->statements += findings_statements(ledger);
    if (counters->busy_peak > totals->busy_peak)
        totals->busy_peak = counters->busy_peak;
    if (counters->servers_alive_peak > totals->servers_peak)
        totals->servers_peak = counters->servers_alive_peak;
    if (counters->handles_alive_peak >= totals->alive_peak) {
        uint64_t needed = findings_needed(ledger);
        if (counters->handles_alive_peak > totals->alive_peak || needed > totals->needed)
            totals->needed = needed;
        totals->alive_peak = counters->handles_alive_peak;
    }
}

static void add_ledger(struct view *view, struct gate *gate) {
    const struct ledger *ledger = view->ledger;
    gathering_begin(view->gathering, ledger);
    add_totals(&view->into->totals, ledger);
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        add_handle(view, i);
    add_unlisted(view);
    for (uint32_t i = 0; i < ledger->site_count; i++)
        if (ledger->sites[i].left)
            add_left(view, i);
    add_left(view, LEDGER_ROW_NONE);
    add_duplicates(view);
    add_misuses(view);
    if (gate && gate->budget != UINT64_MAX)
        add_budget(view, gate->budget);
}

static int in_order(const void *left, const void *right) {
    const struct finding *a = left, *b = right;
    if (a->fails != b->fails)
        return a->fails ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->identity, b->identity);
}

static bool gather(const struct ledger_list *list, uint8_t **heirs, struct symbols *symbols,
                   struct gate *gate, struct verdicts *into) {
    struct gathering *gathering = gathering_new(symbols);
    if (!gathering)
        return false;
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        struct view view = {gathering, ledger, heirs[i], into, NULL};
        if (ledger->alive) {
            view.running = &into->running[into->running_count++];
            *view.running = (struct running){ledger->header.pid, ledger->header.program, 0, true};
            into->totals.running = into->totals.running || ledger->header.counters.handles_opened;
        }
        into->totals.processes += is_first_image(list, i);
        add_ledger(&view, gate);
    }
    return gathering_end(gathering, &into->findings, &into->count);
}

/* Those that have no ledger, because they did not use libpq until now. */
static void add_runners(const struct ledger_list *list, struct verdicts *into) {
    for (size_t i = 0; i < list->runners.count; i++) {
        const struct runner *runner = &list->runners.runners[i];
        bool known = false;
        for (size_t j = 0; j < into->running_count && !known; j++)
            known = into->running[j].pid == runner->pid;
        if (!known)
            into->running[into->running_count++] = (struct running){runner->pid, runner->program, 0, false};
    }
}

/* Of all findings at once: which frames make a difference depends on the others. */
static bool name_stacks(struct verdicts *verdicts) {
    size_t count = verdicts->count;
    const struct stack **stacks = calloc(count + 1, sizeof *stacks);
    char **names = calloc(count + 1, sizeof *names);
    bool good = stacks && names;
    for (size_t i = 0; good && i < count; i++)
        stacks[i] = &verdicts->findings[i].opened;
    good = good && stack_names(stacks, count, names);
    for (size_t i = 0; good && i < count; i++) {
        verdicts->findings[i].opened_name = names[i];
        stacks[i] = &verdicts->findings[i].place;
    }
    good = good && stack_names(stacks, count, names);
    for (size_t i = 0; good && i < count; i++)
        verdicts->findings[i].place_name = names[i];
    free(stacks);
    free(names);
    return good;
}

bool verdicts_gather(const struct ledger_list *list, struct symbols *symbols, struct gate *gate,
                     struct verdicts *into) {
    memset(into, 0, sizeof *into);
    uint8_t **heirs = handover_resolve(list);
    into->running = calloc(list->count + list->runners.count + 1, sizeof *into->running);
    bool good = heirs && into->running && gather(list, heirs, symbols, gate, into) && name_stacks(into);
    handover_free(heirs, list);
    if (!good) {
        verdicts_release(into);
        return false;
    }
    add_runners(list, into);
    if (gate)
        gate_judge(gate, into->findings, into->count);
    for (size_t i = 0; i < into->count; i++) {
        into->failing += into->findings[i].fails;
        into->totals.duplicate_places +=
            into->findings[i].kind == FINDING_DUPLICATE && into->findings[i].opened.count > 0;
    }
    if (into->count)
        qsort(into->findings, into->count, sizeof *into->findings, in_order);
    return true;
}

void verdicts_release(struct verdicts *verdicts) {
    for (size_t i = 0; i < verdicts->count; i++) {
        stack_release(&verdicts->findings[i].opened);
        stack_release(&verdicts->findings[i].place);
        free(verdicts->findings[i].identity);
        free(verdicts->findings[i].opened_name);
        free(verdicts->findings[i].place_name);
    }
    free(verdicts->findings);
    free(verdicts->running);
    memset(verdicts, 0, sizeof *verdicts);
}
