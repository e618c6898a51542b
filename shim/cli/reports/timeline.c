/* timeline.c: the spans of all processes as one JSON document. */
#include "timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../verdicts/handover.h"
#include "findings.h"
#include "html.h"

/* In the order of `outcomes` in lanes.js. */
enum outcome_of_handle { FINISHED, LOST, HELD, UNFINISHED, OPEN, LEFT, HANDED, TAKEN };

struct life {
    const struct ledger_span *span;
    const struct ledger_handle *row; /* NULL: the ledger keeps none of it any more */
    size_t process;
    uint32_t row_index;
    size_t busy, busy_count; /* in `busy` */
};

struct timeline {
    const struct ledger_list *list;
    const struct call_sites *sites;
    uint8_t **heirs;
    struct symbols *symbols;
    struct clock {
        int64_t apart; /* what turns the process's clock into everybody's */
        int64_t last;  /* its last moment, on its own clock */
    } * clocks;        /* for each process */
    const char **targets;
    uint32_t target_count, **target_of_row; /* for each process and row */
    int64_t begin, end;
    struct life *lives;
    size_t life_count;
    const struct ledger_span **busy; /* by process, handle, begin */
    size_t busy_count;
};

/* CLOCK_MONOTONIC is the same for all processes of a machine until it boots again; then only the time of day
 * tells how far apart two of them were. */
static void find_clock(struct timeline *timeline) {
    static const int64_t same = INT64_C(5000000000);
    const struct ledger_header *first = &timeline->list->ledgers[0].header;
    bool one_clock = true;
    for (size_t i = 0; i < timeline->list->count; i++) {
        const struct ledger_header *header = &timeline->list->ledgers[i].header;
        timeline->clocks[i].apart =
            (int64_t)((uint64_t)header->opened_realtime - (uint64_t)header->opened_monotonic -
                      (uint64_t)first->opened_realtime + (uint64_t)first->opened_monotonic);
        one_clock = one_clock && timeline->clocks[i].apart > -same && timeline->clocks[i].apart < same;
    }
    for (size_t i = 0; one_clock && i < timeline->list->count; i++)
        timeline->clocks[i].apart = 0;
}

/* Numbers of a damaged file may be anything: no sum may overflow. */
static int64_t moment(const struct timeline *timeline, size_t process, int64_t time) {
    int64_t common;
    if (time < 0 || __builtin_add_overflow(time, timeline->clocks[process].apart, &common))
        return timeline->begin;
    return common;
}

/* The last that is known of a process: its end, else the last thing that it wrote down. */
static int64_t last_moment(const struct ledger *ledger) {
    int64_t last = ledger->header.opened_monotonic;
    if (ledger->end)
        return ledger->end;
    for (uint32_t i = 0; i < ledger->span_count; i++) {
        const struct ledger_span *span = &ledger->spans[i];
        if (span->kind && span->begin > last)
            last = span->begin;
        if (span->kind && span->end > last)
            last = span->end;
    }
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (ledger->handles[i].state && ledger->handles[i].last_used_monotonic > last)
            last = ledger->handles[i].last_used_monotonic;
    return last;
}

static int in_order(const void *left, const void *right) {
    const struct ledger_span *a = *(const struct ledger_span *const *)left,
                             *b = *(const struct ledger_span *const *)right;
    if (a->handle != b->handle)
        return a->handle < b->handle ? -1 : 1;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a < b ? -1 : a > b;
}

static int by_number(const void *left, const void *right) {
    const struct ledger_handle *a = *(const struct ledger_handle *const *)left,
                               *b = *(const struct ledger_handle *const *)right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static const struct ledger_handle *row_of(const struct ledger_handle **rows, uint32_t count,
                                          uint64_t number) {
    struct ledger_handle wanted = {.number = number};
    const struct ledger_handle *key = &wanted, **found = NULL;
    if (count)
        found = bsearch(&key, rows, count, sizeof *rows, by_number);
    return found ? *found : NULL;
}

/* The handles of one process with their busy parts. False: no memory. */
static bool add_process(struct timeline *timeline, size_t process) {
    const struct ledger *ledger = &timeline->list->ledgers[process];
    const struct ledger_handle **rows = calloc(ledger->handle_count + (size_t)1, sizeof *rows);
    if (!rows)
        return false;
    uint32_t row_count = 0;
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (ledger->handles[i].state != LEDGER_HANDLE_FREE)
            rows[row_count++] = &ledger->handles[i];
    qsort(rows, row_count, sizeof *rows, by_number);
    const struct ledger_span **busy = timeline->busy + timeline->busy_count;
    size_t count = 0;
    for (uint32_t i = 0; i < ledger->span_count; i++)
        if (ledger->spans[i].kind == LEDGER_SPAN_BUSY)
            busy[count++] = &ledger->spans[i];
    if (count)
        qsort(busy, count, sizeof *busy, in_order);
    for (uint32_t i = 0; i < ledger->span_count; i++) {
        const struct ledger_span *span = &ledger->spans[i];
        if (span->kind != LEDGER_SPAN_ALIVE)
            continue;
        struct life *life = &timeline->lives[timeline->life_count++];
        *life = (struct life){.span = span, .process = process};
        life->row = row_of(rows, row_count, span->handle);
        life->row_index = life->row ? (uint32_t)(life->row - ledger->handles) : 0;
        size_t low = 0, high = count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (busy[middle]->handle < span->handle)
                low = middle + 1;
            else
                high = middle;
        }
        life->busy = timeline->busy_count + low;
        while (low < count && busy[low]->handle == span->handle) {
            low++;
            life->busy_count++;
        }
    }
    timeline->busy_count += count;
    free(rows);
    return true;
}

/* From the first process's begin to the last one's end. */
static void find_frame(struct timeline *timeline) {
    find_clock(timeline);
    for (size_t i = 0; i < timeline->list->count; i++) {
        const struct ledger *ledger = &timeline->list->ledgers[i];
        timeline->clocks[i].last = last_moment(ledger);
        int64_t begin = moment(timeline, i, ledger->header.opened_monotonic);
        timeline->begin = i == 0 || begin < timeline->begin ? begin : timeline->begin;
    }
    timeline->end = timeline->begin;
    for (size_t i = 0; i < timeline->list->count; i++) {
        int64_t end = moment(timeline, i, timeline->clocks[i].last);
        timeline->end = end > timeline->end ? end : timeline->end;
    }
}

static uint32_t find_target(struct timeline *timeline, const char *name) {
    uint32_t at = 0;
    while (at < timeline->target_count && strcmp(timeline->targets[at], name) != 0)
        at++;
    if (at == timeline->target_count)
        timeline->targets[timeline->target_count++] = name;
    return at;
}

/* Each name once, whatever process it is from. */
static bool find_targets(struct timeline *timeline) {
    const struct ledger_list *list = timeline->list;
    size_t rows = 1;
    for (size_t i = 0; i < list->count; i++)
        rows += list->ledgers[i].target_count;
    timeline->targets = calloc(rows, sizeof *timeline->targets);
    timeline->target_of_row = calloc(list->count + 1, sizeof *timeline->target_of_row);
    bool good = timeline->targets && timeline->target_of_row;
    for (size_t i = 0; good && i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        uint32_t *numbers = timeline->target_of_row[i] =
            calloc(ledger->target_count + (size_t)1, sizeof *numbers);
        good = numbers != NULL;
        for (uint32_t row = 0; good && row < ledger->target_count; row++)
            numbers[row] = find_target(timeline, ledger->targets[row].name);
    }
    return good;
}

struct timeline *timeline_new(const struct report *report, const struct call_sites *sites) {
    const struct ledger_list *list = report->list;
    struct timeline *timeline = calloc(1, sizeof *timeline);
    size_t spans = 1;
    if (!timeline)
        return NULL;
    for (size_t i = 0; i < list->count; i++)
        spans += list->ledgers[i].span_count;
    timeline->list = list;
    timeline->sites = sites;
    timeline->symbols = report->symbols;
    timeline->heirs = handover_resolve(list);
    timeline->clocks = calloc(list->count + 1, sizeof *timeline->clocks);
    timeline->lives = calloc(spans, sizeof *timeline->lives);
    timeline->busy = calloc(spans, sizeof *timeline->busy);
    bool good =
        timeline->heirs && timeline->clocks && timeline->lives && timeline->busy && find_targets(timeline);
    if (good && list->count)
        find_frame(timeline);
    for (size_t i = 0; good && i < list->count; i++)
        good = add_process(timeline, i);
    if (good)
        return timeline;
    timeline_free(timeline);
    return NULL;
}

void timeline_free(struct timeline *timeline) {
    handover_free(timeline->heirs, timeline->list);
    for (size_t i = 0; timeline->target_of_row && i < timeline->list->count; i++)
        free(timeline->target_of_row[i]);
    free(timeline->target_of_row);
    free(timeline->targets);
    free(timeline->clocks);
    free(timeline->lives);
    free(timeline->busy);
    free(timeline);
}

size_t timeline_handles(const struct timeline *timeline) {
    return timeline->life_count;
}

uint32_t timeline_targets(const struct timeline *timeline, const char *const **names) {
    *names = timeline->targets;
    return timeline->target_count;
}

char *timeline_fate(const struct ledger *ledger, char *into, size_t size) {
    char name[32];
    if (ledger->alive)
        snprintf(into, size, "still running");
    else if (ledger->header.process_state == LEDGER_EXITED)
        snprintf(into, size, "exited");
    else if (ledger->header.process_state == LEDGER_EXECED || ledger->replaced)
        snprintf(into, size, "replaced by exec");
    else if (ledger->signal)
        snprintf(into, size, "ended by %s", findings_signal(ledger->signal, name, sizeof name));
    else
        snprintf(into, size, ledger->left ? "left by _exit" : "killed, or left by _exit");
    return into;
}

/* Whole microseconds since the timeline began, within it. */
static int64_t micros(const struct timeline *timeline, size_t process, int64_t time) {
    int64_t common = moment(timeline, process, time);
    if (common > timeline->end)
        common = timeline->end;
    return common < timeline->begin ? 0 : findings_span(timeline->begin, common) / 1000;
}

/* What exit() ran may be the program's own cleaning up; only a destructor is a runtime's work. */
static bool was_destructor(const struct timeline *timeline, const struct life *life) {
    const struct ledger *ledger = &timeline->list->ledgers[life->process];
    struct stack stack;
    bool found = false;
    if (!stack_of_site(timeline->symbols, ledger, life->row->ended, &stack))
        return false;
    for (size_t i = 0; i < stack.count; i++)
        found = found || strstr(stack.frames[i].function, "::~");
    stack_release(&stack);
    return found;
}

static enum outcome_of_handle outcome_of(const struct timeline *timeline, const struct life *life) {
    const struct ledger *ledger = &timeline->list->ledgers[life->process];
    const struct ledger_handle *row = life->row;
    if (life->span->end) {
        if (life->span->state != LEDGER_HANDLE_LEFT)
            return FINISHED;
        return row && row->runtime == LEDGER_AT_EXIT && !was_destructor(timeline, life) ? FINISHED : LEFT;
    }
    if (row && timeline->heirs[life->process][life->row_index] != HEIR_NONE)
        return HANDED;
    if (ledger->alive && !(row && row->verdict == LEDGER_LOST))
        return OPEN;
    if (row && row->state == LEDGER_HANDLE_INHERITED)
        return TAKEN;
    if (ledger->header.search == LEDGER_SEARCH_DONE && row && row->verdict == LEDGER_LOST)
        return LOST;
    if (ledger->header.search == LEDGER_SEARCH_DONE && row && row->verdict == LEDGER_HELD)
        return HELD;
    return UNFINISHED;
}

static void write_process(FILE *out, const struct timeline *timeline, size_t process) {
    const struct ledger *ledger = &timeline->list->ledgers[process];
    const char *slash = strrchr(ledger->header.program, '/');
    char fate[64];
    fprintf(out, "{\"pid\":%d,\"program\":", (int)ledger->header.pid);
    html_json(out, slash ? slash + 1 : ledger->header.program);
    fputs(",\"ended\":", out);
    html_json(out, timeline_fate(ledger, fate, sizeof fate));
    fprintf(out, ",\"begin\":%" PRId64 ",\"end\":%" PRId64 ",\"full\":%" PRId64 ",\"busy_peak\":%" PRIu64 "}",
            micros(timeline, process, ledger->header.opened_monotonic),
            micros(timeline, process, timeline->clocks[process].last),
            ledger->header.counters.spans_unlisted
                ? micros(timeline, process, ledger->header.spans_full_monotonic)
                : -1,
            ledger->header.counters.busy_peak);
}

/* Frames with a mark for those that say nothing of the program. */
static void write_sites(FILE *out, const struct call_sites *sites) {
    for (size_t i = 0; i < sites->count; i++) {
        const struct call_site *site = &sites->sites[i];
        fputs(i ? ",\n{\"name\":" : "{\"name\":", out);
        html_json(out, site->title);
        fputs(",\"stack\":[", out);
        for (size_t f = 0; f < site->stack.count; f++) {
            char text[1024];
            fputs(f ? ",[" : "[", out);
            html_json(out, frame_text(&site->stack.frames[f], text, sizeof text));
            fputs(site->stack.frames[f].noise ? ",1]" : ",0]", out);
        }
        if (site->stack.count == 0) {
            fputc('[', out);
            html_json(out, site->name);
            fputs(",0]", out);
        }
        fputs("]}", out);
    }
}

static int64_t busy_time(const struct timeline *timeline, const struct life *life, int64_t last) {
    int64_t sum = 0;
    for (size_t i = 0; i < life->busy_count; i++) {
        const struct ledger_span *span = timeline->busy[life->busy + i];
        int64_t idle = span->idle > 0 ? span->idle : 0;
        int64_t time = findings_span(span->begin, span->end ? span->end : last) - idle;
        if (time > 0 && __builtin_add_overflow(sum, time / 1000, &sum))
            return INT64_MAX;
    }
    return sum;
}

static void write_life(FILE *out, const struct timeline *timeline, const struct life *life, int *statement) {
    const struct ledger_span *span = life->span;
    int64_t last = span->end ? span->end : timeline->clocks[life->process].last;
    int64_t begin = micros(timeline, life->process, span->begin), end = micros(timeline, life->process, last);
    bool failed = span->state == LEDGER_HANDLE_FAILED;
    uint32_t site = call_sites_of(timeline->sites, life->process, span->site);
    int target =
        span->target == LEDGER_ROW_NONE ? -1 : (int)timeline->target_of_row[life->process][span->target];
    fprintf(out, "[%zu,%" PRIu64 ",%d,%d,%" PRId64 ",%" PRId64 ",%d,%d,%" PRIu64 ",%" PRId64, life->process,
            span->handle, site == LEDGER_ROW_NONE ? -1 : (int)site, target, begin,
            end > begin ? end : begin + 1, (int)outcome_of(timeline, life), failed, span->periods,
            busy_time(timeline, life, last));
    bool open = life->row && !span->end;
    fprintf(out, ",%d,%" PRId64 "]", open && life->row->statement[0] ? (*statement)++ : -1,
            open ? findings_span(life->row->last_used_monotonic, last) / 1000 : -1);
}

/* Pairs of the time since the last part ended and of its length, which are short numbers. */
static void write_busy(FILE *out, const struct timeline *timeline, const struct life *life) {
    int64_t at = micros(timeline, life->process, life->span->begin);
    int64_t last = life->span->end ? life->span->end : timeline->clocks[life->process].last;
    fputc('[', out);
    for (size_t i = 0; i < life->busy_count; i++) {
        const struct ledger_span *span = timeline->busy[life->busy + i];
        int64_t begin = micros(timeline, life->process, span->begin),
                end = micros(timeline, life->process, span->end ? span->end : last);
        if (begin < at)
            begin = at;
        if (end <= begin)
            end = begin + 1;
        fprintf(out, "%s%" PRId64 ",%" PRId64, i ? "," : "", begin - at, end - begin);
        at = end;
    }
    fputc(']', out);
}

void timeline_write(FILE *out, const struct timeline *timeline, uint64_t budget) {
    int statement = 0;
    const char *between = "";
    fprintf(out, "{\"length\":%" PRId64 ",\"budget\":%" PRIu64 ",\"processes\":[",
            findings_span(timeline->begin, timeline->end) / 1000, budget);
    for (size_t i = 0; i < timeline->list->count; i++) {
        fputs(i ? "," : "", out);
        write_process(out, timeline, i);
    }
    fputs("],\n\"sites\":[", out);
    write_sites(out, timeline->sites);
    fputs("],\n\"targets\":[", out);
    for (uint32_t i = 0; i < timeline->target_count; i++) {
        fputs(i ? "," : "", out);
        html_json(out, timeline->targets[i]);
    }
    fputs("],\n\"handles\":[", out);
    for (size_t i = 0; i < timeline->life_count; i++) {
        fputs(i ? ",\n" : "", out);
        write_life(out, timeline, &timeline->lives[i], &statement);
    }
    fputs("],\n\"statements\":[", out);
    for (size_t i = 0; i < timeline->life_count; i++) {
        const struct life *life = &timeline->lives[i];
        if (!life->row || life->span->end || !life->row->statement[0])
            continue;
        fputs(between, out);
        html_json(out, life->row->statement);
        between = ",";
    }
    fputs("],\n\"busy\":[", out);
    for (size_t i = 0; i < timeline->life_count; i++) {
        fputs(i ? ",\n" : "", out);
        write_busy(out, timeline, &timeline->lives[i]);
    }
    fputs("]}", out);
}
