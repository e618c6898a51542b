/* report_html.c: the report as one page: what was found, the timeline, and the tables. */
#include "report_html.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "../commands.h"
#include "../verdicts/verdicts.h"
#include "call_sites.h"
#include "findings.h"
#include "html.h"
#include "html_tables.h"
#include "quantity.h"
#include "timeline.h"

/* The page's parts, as files so that they can be read, linted and worked on as what they are. */
#define PART(name, file)                                                              \
    __asm__(".pushsection .rodata\n" #name ":\n.incbin \"shim/cli/reports/page/" file \
            "\"\n.byte 0\n.popsection");                                              \
    extern const char name[] __attribute__((visibility("hidden")))
PART(page_style, "page.css");
PART(page_tables, "tables.js");
PART(page_lanes, "lanes.js");
PART(page_colours, "colours.js");
PART(page_scene, "scene.js");
PART(page_drawing, "drawing.js");
PART(page_timeline, "timeline.js");

struct page {
    FILE *out;
    const struct report *report;
    const struct verdicts *verdicts;
    struct call_sites sites;
    struct timeline *timeline;
    uint64_t budget; /* 0: none */
    char nonce[33];
};

/* Only what carries it is run: a name from the program that should get past all escaping is still no script.
 */
static void make_nonce(char *into) {
    unsigned char bytes[16] = {0};
    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes)
        memcpy(bytes, &(time_t){time(NULL)}, sizeof(time_t));
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(into + 2 * i, 3, "%02x", bytes[i]);
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *program_of(const struct report *report) {
    return report->list->count ? base_name(report->list->ledgers[0].header.program) : "nothing";
}

static void put_head(const struct page *page) {
    fprintf(page->out,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
            "style-src 'nonce-%s'; script-src 'nonce-%s'; base-uri 'none'; form-action 'none'\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta name=\"referrer\" content=\"no-referrer\">\n"
            "<meta name=\"color-scheme\" content=\"light dark\">\n"
            "<link rel=\"icon\" href=\"data:,\">\n<title>",
            page->nonce, page->nonce);
    html_textf(page->out, "pqone: %s", program_of(page->report));
    fprintf(page->out, "</title>\n<style nonce=\"%s\">\n%s</style>\n</head>\n<body>\n", page->nonce,
            page_style);
}

static void put_when(FILE *out, const struct ledger_header *header) {
    time_t seconds = (time_t)(header->opened_realtime / 1000000000);
    struct tm parts;
    char text[64];
    if (localtime_r(&seconds, &parts) && strftime(text, sizeof text, "%d %B %Y, %H:%M:%S", &parts))
        html_textf(out, " · %s", text);
}

/* The one sentence that the page is about. */
static void put_title(const struct page *page) {
    const struct totals *totals = &page->verdicts->totals;
    FILE *out = page->out;
    fputs("<h1>", out);
    uint64_t unfinished = totals->lost + totals->held + totals->unknown;
    if (totals->opened == 0) {
        fputs("No handle was opened.", out);
    } else {
        if (totals->running)
            fputs("Still running: ", out);
        fprintf(out, "%s%" PRIu64 " handle%s alive at most, ",
                totals->processes <= 1 ? ""
                : totals->running      ? "in one process "
                                       : "In one process ",
                totals->alive_peak, quantity_plural(totals->alive_peak));
        if (totals->busy_peak == 0)
            fputs("none of them ever busy", out);
        else
            fprintf(out, "never more than %" PRIu64 " busy at once", totals->busy_peak);
        /* Advice would count what was only forgotten, an idle transaction too, as needed. */
        if (totals->running)
            fprintf(out, "; %" PRIu64 " open now, %" PRIu64 " of them lost.", totals->unjudged + unfinished,
                    totals->lost);
        else if (unfinished)
            fprintf(out, ", and %" PRIu64 " never finished.", unfinished);
        else if (totals->needed == 0)
            fputs(": none ever connected.", out);
        else
            fprintf(out, ": %" PRIu64 " connection%s would have done.", totals->needed,
                    quantity_plural(totals->needed));
    }
    fputs("</h1>\n", out);
}

static void put_verdict(const struct page *page) {
    const struct verdicts *verdicts = page->verdicts;
    const struct outcome *outcome = page->report->outcome;
    FILE *out = page->out;
    if (!outcome)
        return;
    fprintf(out, "<p class=\"verdict %s\">", verdicts->failing ? "bad" : outcome->status == 0 ? "good" : "");
    if (outcome->why && outcome->why[0]) {
        html_textf(out, "%c%s", toupper((unsigned char)outcome->why[0]), outcome->why + 1);
        fputs(outcome->why[strlen(outcome->why) - 1] == '.' ? "" : ".", out);
    } else {
        fputs(verdicts->failing ? "This check fails." : "Nothing fails this check.", out);
    }
    fputs("</p>\n", out);
}

static void put_figure(FILE *out, const char *word, uint64_t count, bool bad) {
    fprintf(out, "<div%s><dt>%s</dt><dd>%" PRIu64 "</dd></div>\n", bad && count ? " class=\"bad\"" : "", word,
            count);
}

static void put_figures(const struct page *page) {
    const struct totals *totals = &page->verdicts->totals;
    FILE *out = page->out;
    fputs("<dl class=\"figures\">\n", out);
    put_figure(out, totals->opened == 1 ? "handle opened" : "handles opened", totals->opened, false);
    put_figure(out, totals->processes > 1 ? "alive in one process" : "alive at most", totals->alive_peak,
               false);
    put_figure(out, totals->processes > 1 ? "busy in one process" : "busy at once", totals->busy_peak, false);
    if (totals->running || totals->unjudged)
        put_figure(out, "open, still running", totals->unjudged, false);
    uint64_t ended = totals->held + totals->unknown;
    if (ended || !totals->running) {
        put_figure(out, "never finished", totals->lost + ended, true);
        if (totals->lost)
            put_figure(out, "of them lost", totals->lost, true);
    } else {
        put_figure(out, "lost", totals->lost, true);
    }
    if (totals->left)
        put_figure(out, "left to a runtime", totals->left, false);
    put_figure(out, totals->duplicates == 1 ? "duplicate" : "duplicates", totals->duplicates, false);
    if (totals->misuses)
        put_figure(out, totals->misuses == 1 ? "misuse" : "misuses", totals->misuses, true);
    if (page->report->list->count > 1)
        put_figure(out, "processes", totals->processes, false);
    fputs("</dl>\n", out);
}

static void put_header(const struct page *page) {
    FILE *out = page->out;
    fputs("<header>\n<p class=\"eyebrow\"><b>pqone</b> · ", out);
    html_text(out, program_of(page->report));
    if (page->report->list->count) {
        const struct ledger_header *header = &page->report->list->ledgers[0].header;
        html_textf(out, " · mode %s", header->mode);
        put_when(out, header);
    }
    fputs("</p>\n", out);
    put_title(page);
    put_verdict(page);
    put_figures(page);
    fputs("</header>\n", out);
}

/* Why there is less to see than there was, if so. */
static void put_gaps(const struct page *page) {
    const struct ledger_list *list = page->report->list;
    uint64_t missing = 0;
    size_t untraced = 0;
    for (size_t i = 0; i < list->count; i++) {
        missing += list->ledgers[i].header.counters.spans_unlisted;
        untraced += !list->ledgers[i].header.traced || list->ledgers[i].header.spans.capacity == 0;
    }
    if (missing)
        fprintf(page->out,
                "<p class=\"note\">The timeline ends early: its table was full, and %" PRIu64
                " spans found no room. What is hatched was not recorded; the counts and the tables on this "
                "page are complete.</p>\n",
                missing);
    if (untraced)
        fprintf(page->out,
                "<p class=\"note\">%zu of %zu processes recorded no timeline (no --trace, or no room in the "
                "ledger's directory).</p>\n",
                untraced, list->count);
}

static void put_target_choice(const struct page *page) {
    const char *const *names;
    uint32_t count = timeline_targets(page->timeline, &names);
    if (count < 2)
        return;
    fputs("<select id=\"target\" aria-label=\"Target\"><option value=\"-1\">all targets</option>", page->out);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(page->out, "<option value=\"%u\">", i);
        html_text(page->out, names[i]);
        fputs("</option>", page->out);
    }
    fputs("</select>\n", page->out);
}

static void put_stage(const struct page *page) {
    FILE *out = page->out;
    fputs(
        "<figure id=\"timeline\">\n<figcaption><h2>Timeline</h2> <span class=\"soft\" id=\"shown\"></span>\n"
        "<div class=\"bar-tools needs-script\" hidden>\n",
        out);
    put_target_choice(page);
    fputs(
        "<input type=\"search\" id=\"words\" placeholder=\"Filter call sites\" aria-label=\"Filter call "
        "sites\" spellcheck=\"false\" autocomplete=\"off\">\n"
        "<button type=\"button\" id=\"bad\" aria-pressed=\"false\">Never finished</button>\n"
        "<span class=\"pair\"><button type=\"button\" id=\"closer\" aria-label=\"Zoom in\">+</button>"
        "<button type=\"button\" id=\"wider\" aria-label=\"Zoom out\">−</button>"
        "<button type=\"button\" id=\"whole\">Whole</button></span>\n</div>\n</figcaption>\n"
        "<div class=\"stage needs-script\" id=\"stage\" tabindex=\"0\" role=\"application\" "
        "aria-label=\"Timeline: a bar for each handle. Arrow up and down go from handle to handle, left and "
        "right move in time, plus and minus zoom.\" hidden><canvas></canvas></div>\n"
        "<noscript><p class=\"note\">The timeline is drawn by a script, and scripts are off here. The tables "
        "below need none.</p></noscript>\n"
        "<p class=\"unseen\" id=\"spoken\" aria-live=\"polite\"></p>\n",
        out);
    put_gaps(page);
    fputs(
        "<ul class=\"legend needs-script\" id=\"legend\" aria-label=\"Call sites\" hidden></ul>\n"
        "<ul class=\"legend marks needs-script\" id=\"marks\" aria-label=\"Ends of bars\" hidden></ul>\n"
        "<p class=\"hints needs-script\" hidden>Faint: the handle is alive. Strong: it is busy, inside an "
        "exchange or a transaction. "
        "Drag in the counts to zoom in, drag the bars to move; click, then the wheel zooms, "
        "<kbd>+</kbd> <kbd>−</kbd> <kbd>←</kbd> <kbd>→</kbd> move, <kbd>↑</kbd> <kbd>↓</kbd> go from handle "
        "to handle, <kbd>[</kbd> <kbd>]</kbd> make rows lower and higher, <kbd>0</kbd> shows it "
        "whole.</p>\n</figure>\n<div id=\"card\" role=\"tooltip\" hidden></div>\n",
        out);
}

static void put_timeline(const struct page *page) {
    FILE *out = page->out;
    bool traced = false;
    for (size_t i = 0; i < page->report->list->count; i++)
        traced = traced || page->report->list->ledgers[i].header.traced;
    if (timeline_handles(page->timeline)) {
        put_stage(page);
        return;
    }
    fputs("<section><header><h2>Timeline</h2></header><p class=\"clean\">", out);
    if (traced)
        fputs(
            "It was recorded (--trace), and there was nothing to record: no handle, or no room for spans in "
            "the ledger's directory.",
            out);
    else
        fputs("When each handle was alive and busy was not recorded. Run it again with <code>--trace</code> "
              "(or <code>PQONE_TRACE=1</code>), and it is drawn here.",
              out);
    fputs("</p></section>\n", out);
}

static void put_scripts(const struct page *page) {
    static const char *const parts[] = {page_tables, page_lanes,   page_colours,
                                        page_scene,  page_drawing, page_timeline};
    FILE *out = page->out;
    bool drawn = timeline_handles(page->timeline) > 0;
    if (drawn) {
        fputs("<script type=\"application/json\" id=\"timeline-data\">\n", out);
        timeline_write(out, page->timeline, page->budget);
        fputs("\n</script>\n", out);
    }
    /* One block for all, because the browser has names such as `top` of its own outside of it. */
    fprintf(out, "<script nonce=\"%s\">\n'use strict';\n{\n", page->nonce);
    for (size_t i = 0; i < (drawn ? sizeof parts / sizeof *parts : 1); i++)
        fputs(parts[i], out);
    fputs("}\n</script>\n", out);
}

/* Without --budget there is still the one of a finding, in a report that is made again. */
static uint64_t budget_of(const struct report *report, const struct verdicts *verdicts) {
    uint64_t budget = report->budget;
    for (size_t i = 0; i < verdicts->count && !budget; i++)
        if (verdicts->findings[i].kind == FINDING_BUDGET)
            budget = verdicts->findings[i].budget;
    return budget;
}

static void put_page(const struct page *page) {
    struct html_tables tables = {page->out, page->report, page->verdicts, &page->sites};
    put_head(page);
    put_header(page);
    put_timeline(page);
    html_findings(&tables);
    html_call_sites(&tables);
    html_targets(&tables);
    html_processes(&tables);
    fputs("<footer>Made by pqone " PQONE_VERSION ". This page loads nothing and sends nothing.</footer>\n",
          page->out);
    put_scripts(page);
    fputs("</body>\n</html>\n", page->out);
}

bool report_html(FILE *out, const struct report *report) {
    struct page page = {.out = out, .report = report, .verdicts = report->verdicts};
    make_nonce(page.nonce);
    if (!call_sites_gather(report->list, report->symbols, &page.sites))
        return false;
    page.timeline = timeline_new(report, &page.sites);
    bool good = page.timeline != NULL;
    if (good) {
        page.budget = budget_of(report, page.verdicts);
        put_page(&page);
        timeline_free(page.timeline);
    }
    call_sites_release(&page.sites);
    return good && !ferror(out);
}
