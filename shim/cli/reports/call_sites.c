/* call_sites.c: the call sites of all processes of a report. */
#include "call_sites.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../symbols/stack_names.h"

static bool is_same(const struct frame *one, const struct frame *other) {
    return one->line == other->line && one->script == other->script &&
           (one->line || one->offset == other->offset) && strcmp(one->function, other->function) == 0 &&
           strcmp(one->file, other->file) == 0 && strcmp(one->module, other->module) == 0;
}

static bool reads_the_same(const struct stack *one, const struct stack *other) {
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++)
        if (!is_same(&one->frames[i], &other->frames[i]))
            return false;
    return true;
}

/* A site whose stack nobody captured has what the process itself noted, and two of those are two. */
static bool is_site(const struct call_site *site, const struct stack *stack, const char *name) {
    return strcmp(site->name, name) == 0 && reads_the_same(&site->stack, stack);
}

static void name_site(const struct ledger_site *row, const struct stack *stack, char *into, size_t size) {
    if (stack->count == 0 && row->name[0])
        snprintf(into, size, "%s", row->name);
    else
        frame_text(stack_first(stack), into, size);
}

static uint32_t find(const struct call_sites *into, const struct stack *stack, const char *name) {
    for (size_t i = 0; i < into->count; i++)
        if (is_site(&into->sites[i], stack, name))
            return (uint32_t)i;
    return LEDGER_ROW_NONE;
}

static bool add_row(struct call_sites *into, struct symbols *symbols, const struct ledger *ledger,
                    uint32_t row, uint32_t *index) {
    const struct ledger_site *counted = &ledger->sites[row];
    char name[sizeof into->sites->name];
    struct stack stack;
    if (!stack_of_site(symbols, ledger, row, &stack))
        return false;
    name_site(counted, &stack, name, sizeof name);
    *index = find(into, &stack, name);
    if (*index != LEDGER_ROW_NONE) {
        stack_release(&stack);
    } else {
        struct call_site *sites = realloc(into->sites, (into->count + 1) * sizeof *sites);
        if (!sites) {
            stack_release(&stack);
            return false;
        }
        into->sites = sites;
        *index = (uint32_t)into->count++;
        sites[*index] = (struct call_site){.stack = stack};
        memcpy(sites[*index].name, name, sizeof name);
    }
    struct call_site *site = &into->sites[*index];
    site->opened += counted->opened;
    site->finished += counted->finished;
    site->failed += counted->failed;
    site->duplicates += counted->duplicates;
    site->left += counted->left;
    if (counted->alive_peak > site->alive_peak)
        site->alive_peak = counted->alive_peak;
    return true;
}

/* A forked child's ledger begins with its parent's sites, of which it may use none; but it may use what was
 * opened there. */
static void mark_used(const struct ledger *ledger, bool *used) {
    for (uint32_t i = 0; i < ledger->site_count; i++)
        used[i] = ledger->sites[i].opened > 0;
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (ledger->handles[i].site != LEDGER_ROW_NONE && ledger->handles[i].state != LEDGER_HANDLE_FREE &&
            ledger->handles[i].state != LEDGER_HANDLE_INHERITED)
            used[ledger->handles[i].site] = true;
    for (uint32_t i = 0; i < ledger->span_count; i++)
        if (ledger->spans[i].site != LEDGER_ROW_NONE && ledger->spans[i].kind)
            used[ledger->spans[i].site] = true;
}

static bool add_ledger(struct call_sites *into, struct symbols *symbols, const struct ledger *ledger,
                       uint32_t **rows) {
    bool *used = calloc(ledger->site_count + (size_t)1, sizeof *used);
    *rows = malloc((ledger->site_count + (size_t)1) * sizeof **rows);
    bool good = used && *rows;
    if (good)
        mark_used(ledger, used);
    for (uint32_t row = 0; good && row < ledger->site_count; row++) {
        (*rows)[row] = LEDGER_ROW_NONE;
        if (used[row])
            good = add_row(into, symbols, ledger, row, &(*rows)[row]);
    }
    free(used);
    return good;
}

/* A stack that nobody captured has nothing but what the process itself noted. */
static bool give_titles(struct call_sites *sites) {
    const struct stack **stacks = calloc(sites->count + 1, sizeof *stacks);
    char **names = calloc(sites->count + 1, sizeof *names);
    for (size_t i = 0; stacks && i < sites->count; i++)
        stacks[i] = &sites->sites[i].stack;
    bool good = stacks && names && stack_names(stacks, sites->count, names);
    for (size_t i = 0; good && i < sites->count; i++)
        sites->sites[i].title = names[i];
    for (size_t i = 0; good && i < sites->count; i++)
        if (sites->sites[i].stack.count == 0) {
            free(sites->sites[i].title);
            sites->sites[i].title = strdup(sites->sites[i].name);
            good = sites->sites[i].title != NULL;
        }
    free(stacks);
    free(names);
    return good;
}

bool call_sites_gather(const struct ledger_list *list, struct symbols *symbols, struct call_sites *into) {
    *into = (struct call_sites){.ledgers = list->count};
    into->of_row = calloc(list->count + 1, sizeof *into->of_row);
    bool good = into->of_row != NULL;
    for (size_t i = 0; good && i < list->count; i++)
        good = add_ledger(into, symbols, &list->ledgers[i], &into->of_row[i]);
    good = good && give_titles(into);
    if (!good)
        call_sites_release(into);
    return good;
}

void call_sites_release(struct call_sites *sites) {
    for (size_t i = 0; i < sites->count; i++) {
        stack_release(&sites->sites[i].stack);
        free(sites->sites[i].title);
    }
    for (size_t i = 0; sites->of_row && i < sites->ledgers; i++)
        free(sites->of_row[i]);
    free(sites->of_row);
    free(sites->sites);
    memset(sites, 0, sizeof *sites);
}

uint32_t call_sites_of(const struct call_sites *sites, size_t ledger, uint32_t row) {
    return row == LEDGER_ROW_NONE ? LEDGER_ROW_NONE : sites->of_row[ledger][row];
}
