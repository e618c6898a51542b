/* html_tables.c: the tables of the HTML report. */
#include "html_tables.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "findings.h"
#include "html.h"
#include "timeline.h"

struct column {
    const char *word;
    bool number;
};

static void begin_table(FILE *out, const char *title, const char *says, const struct column *columns,
                        size_t count) {
    fprintf(out, "<section>\n<header><h2>%s</h2>", title);
    if (says)
        fprintf(out, "<p>%s</p>", says);
    fprintf(out,
            "</header>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">"
            "<table class=\"sortable\">\n<thead><tr>",
            title);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "<th scope=\"col\"%s>%s</th>", columns[i].number ? " class=\"number\"" : "",
                columns[i].word);
    fputs("</tr></thead>\n<tbody>\n", out);
}

static void end_table(FILE *out) {
    fputs("</tbody>\n</table></div>\n</section>\n", out);
}

static void put_number(FILE *out, uint64_t value) {
    fprintf(out, "<td class=\"number\"%s>%" PRIu64 "</td>", value ? "" : " data-none", value);
}

static void put_text(FILE *out, const char *text) {
    fputs("<td>", out);
    html_text(out, text);
    fputs("</td>", out);
}

/* A place as code, which may be broken into lines between its words, and not within them. */
static void put_code(FILE *out, const char *name) {
    while (*name) {
        const char *end = name + strcspn(name, ":/<,");
        end += strspn(end, ":/<,");
        html_textf(out, "%.*s", (int)(end - name), name);
        if (*end && *end != ' ' && !(*end >= '0' && *end <= '9'))
            fputs("<wbr>", out);
        name = end;
    }
}

/* Frames that say nothing are folded into one line. */
static void put_frames(FILE *out, const struct stack *stack) {
    char text[1024];
    fputs("<ol>", out);
    for (size_t i = 0; i < stack->count;) {
        size_t noise = i;
        while (noise < stack->count && stack->frames[noise].noise)
            noise++;
        if (noise > i) {
            fprintf(out, "<li class=\"fold\">%zu frame%s more</li>", noise - i, noise - i == 1 ? "" : "s");
            i = noise;
            continue;
        }
        fputs("<li class=\"code\">", out);
        put_code(out, frame_text(&stack->frames[i++], text, sizeof text));
        fputs("</li>", out);
    }
    fputs("</ol>", out);
}

static void put_stack(FILE *out, const char *name, const struct stack *stack) {
    if (stack->count < 2) {
        fputs("<span class=\"code\">", out);
        put_code(out, name);
        fputs("</span>", out);
        return;
    }
    fputs("<details><summary class=\"code\">", out);
    put_code(out, name);
    fputs("</summary>", out);
    put_frames(out, stack);
    fputs("</details>", out);
}

static void put_span(FILE *out, int64_t nanoseconds) {
    double seconds = (double)nanoseconds / 1e9;
    if (seconds < 0.0995)
        fprintf(out, "%.0f ms", seconds * 1e3);
    else if (seconds < 119.5)
        fprintf(out, "%.1f s", seconds);
    else if (seconds < 7170)
        fprintf(out, "%.0f min", seconds / 60);
    else
        fprintf(out, "%.1f h", seconds / 3600);
}

static void put_standing(FILE *out, const struct finding *finding) {
    if (finding->fails)
        fputs("fails the check", out);
    else if (finding->suppressed_by)
        html_textf(out, "suppressed by %s", finding->suppressed_by);
    else if (finding->is_known)
        fputs("in the baseline", out);
    else
        fputs("noted", out);
}

static void put_finding(const struct html_tables *tables, const struct finding *finding) {
    FILE *out = tables->out;
    const char *word = finding->misuse ? finding->misuse->word : finding_word(finding->kind);
    char place[1024];
    bool quiet = finding->is_note || finding->suppressed_by || finding->is_known;
    fprintf(out, "<tr data-site><td class=\"word %s\">%s</td>", quiet ? "quiet" : finding_word(finding->kind),
            word);
    put_number(out, finding->count);
    fputs("<td class=\"place\">", out);
    if (finding->kind == FINDING_BUDGET)
        fprintf(out, "allowed: %" PRIu64, finding->budget);
    else
        put_stack(out, finding_opened(finding, place, sizeof place), &finding->opened);
    fputs("</td><td class=\"place\">", out);
    html_text(out, finding->says);
    if (finding->never_connected)
        fprintf(out, "; %" PRIu64 " of them never connected", finding->never_connected);
    if (finding->age >= 0) {
        fputs("; open for ", out);
        put_span(out, finding->age);
        if (finding->unused >= 0) {
            fputs(", unused for ", out);
            put_span(out, finding->unused);
        }
    }
    if (finding->statement[0]) {
        fputs("; last statement <span class=\"code\">", out);
        html_text(out, finding->statement);
        fputs("</span>", out);
    }
    if (finding->place.count) {
        fputs("<div class=\"at\">", out);
        html_textf(out, "%s ", finding->function[0] ? finding->function : "by");
        fputs(finding->function[0] ? "at " : "", out);
        put_stack(out, finding_place(finding, place, sizeof place), &finding->place);
        fputs("</div>", out);
    }
    if (finding->advice && finding->advice[0]) {
        fputs("<div class=\"soft\">", out);
        html_text(out, finding->advice);
        fputs("</div>", out);
    }
    fputs("</td>", out);
    fputs("<td class=\"place\">", out);
    html_text(out, finding->target);
    if (tables->report->list->count > 1) {
        const char *slash = strrchr(finding->program, '/');
        html_textf(out, "%s%s[%d]", finding->target[0] ? ", in " : "in ",
                   slash ? slash + 1 : finding->program, (int)finding->pid);
    }
    fputs("</td><td>", out);
    put_standing(out, finding);
    fputs("</td></tr>\n", out);
}

static void put_running(const struct html_tables *tables) {
    for (size_t i = 0; i < tables->verdicts->running_count; i++) {
        const struct running *running = &tables->verdicts->running[i];
        if (running->handles)
            fprintf(tables->out,
                    "<p class=\"note\">Process %d was still running: %" PRIu64
                    " handle%s open, which it may finish yet.</p>\n",
                    (int)running->pid, running->handles, running->handles == 1 ? " is" : "s are");
    }
}

void html_findings(const struct html_tables *tables) {
    static const struct column columns[] = {{"Finding", false}, {"Count", true},   {"Opened at", false},
                                            {"What", false},    {"Target", false}, {"Judgement", false}};
    const struct verdicts *verdicts = tables->verdicts;
    if (verdicts->count == 0) {
        fprintf(tables->out,
                "<section><header><h2>Findings</h2></header><p class=\"clean\">%s.</p></section>\n",
                verdicts->totals.running ? "None so far" : "None");
    } else {
        begin_table(tables->out, "Findings", NULL, columns, sizeof columns / sizeof *columns);
        for (size_t i = 0; i < verdicts->count; i++)
            put_finding(tables, &verdicts->findings[i]);
        end_table(tables->out);
    }
    put_running(tables);
}

static int by_opened(const void *left, const void *right) {
    const struct call_site *a = *(const struct call_site *const *)left,
                           *b = *(const struct call_site *const *)right;
    if (a->opened != b->opened)
        return a->opened > b->opened ? -1 : 1;
    return a < b ? -1 : a > b;
}

void html_call_sites(const struct html_tables *tables) {
    static const struct column columns[] = {
        {"Call site", false},    {"Opened", true},     {"Not finished", true}, {"Left", true},
        {"Alive at most", true}, {"Duplicates", true}, {"Failed", true}};
    const struct call_sites *sites = tables->sites;
    const struct call_site **order = calloc(sites->count + 1, sizeof *order);
    if (!order || sites->count == 0) {
        free(order);
        return;
    }
    for (size_t i = 0; i < sites->count; i++)
        order[i] = &sites->sites[i];
    qsort(order, sites->count, sizeof *order, by_opened);
    begin_table(tables->out, "Call sites", "Where the program asked for a handle.", columns,
                sizeof columns / sizeof *columns);
    for (size_t i = 0; i < sites->count; i++) {
        const struct call_site *site = order[i];
        fputs("<tr data-site><td class=\"place\">", tables->out);
        fprintf(tables->out, "<i class=\"swatch\" data-site=\"%zu\"></i>", (size_t)(site - sites->sites));
        put_stack(tables->out, site->title, &site->stack);
        fputs("</td>", tables->out);
        put_number(tables->out, site->opened);
        put_number(tables->out, site->opened > site->finished ? site->opened - site->finished : 0);
        put_number(tables->out, site->left);
        put_number(tables->out, site->alive_peak);
        put_number(tables->out, site->duplicates);
        put_number(tables->out, site->failed);
        fputs("</tr>\n", tables->out);
    }
    free(order);
    end_table(tables->out);
}

/* Peaks of processes do not add up, so each process has rows of its own. */
void html_targets(const struct html_tables *tables) {
    static const struct column columns[] = {
        {"Target", false},           {"Process", true},       {"Opened", true},
        {"Duplicates", true},        {"Alive at most", true}, {"Busy at once", true},
        {"Server connections", true}};
    const struct ledger_list *list = tables->report->list;
    bool begun = false;
    for (size_t i = 0; i < list->count; i++)
        for (uint32_t row = 0; row < list->ledgers[i].target_count; row++) {
            const struct ledger_target *target = &list->ledgers[i].targets[row];
            if (target->opened == 0 && target->busy_peak == 0)
                continue;
            if (!begun)
                begin_table(tables->out, "Targets", "To what it connected.", columns,
                            sizeof columns / sizeof *columns);
            begun = true;
            fputs("<tr><td class=\"place code\">", tables->out);
            html_text(tables->out, target->name[0] ? target->name : "(unnamed)");
            fprintf(tables->out, "</td><td class=\"number\">%d</td>", (int)list->ledgers[i].header.pid);
            put_number(tables->out, target->opened);
            put_number(tables->out, target->duplicates);
            put_number(tables->out, target->alive_peak);
            put_number(tables->out, target->busy_peak);
            put_number(tables->out, target->servers_peak);
            fputs("</tr>\n", tables->out);
        }
    if (begun)
        end_table(tables->out);
}

void html_processes(const struct html_tables *tables) {
    static const struct column columns[] = {
        {"Process", true}, {"Program", false},      {"Mode", false},        {"libpq", false},
        {"Handles", true}, {"Alive at most", true}, {"Busy at once", true}, {"Statements", true},
        {"Ran", true},     {"End", false}};
    const struct ledger_list *list = tables->report->list;
    if (list->count == 0)
        return;
    begin_table(tables->out, "Processes", NULL, columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        const struct ledger_header *header = &ledger->header;
        char fate[64];
        fprintf(tables->out, "<tr><td class=\"number\">%d</td><td class=\"place code\">", (int)header->pid);
        html_text(tables->out, header->program);
        fputs("</td>", tables->out);
        put_text(tables->out, header->mode);
        fputs("<td class=\"place code\">", tables->out);
        html_text(tables->out, header->libpq[0] ? header->libpq : "never used");
        fputs("</td>", tables->out);
        put_number(tables->out, header->counters.handles_opened);
        put_number(tables->out, header->counters.handles_alive_peak);
        put_number(tables->out, header->counters.busy_peak);
        put_number(tables->out, findings_statements(ledger));
        int64_t ran = ledger->end ? findings_span(header->opened_monotonic, ledger->end) : -1;
        fprintf(tables->out, "<td class=\"number\" data-value=\"%" PRId64 "\">", ran);
        if (ran < 0)
            fputs("unknown", tables->out);
        else
            put_span(tables->out, ran);
        fputs("</td>", tables->out);
        put_text(tables->out, timeline_fate(ledger, fate, sizeof fate));
        fputs("</tr>\n", tables->out);
    }
    end_table(tables->out);
}
