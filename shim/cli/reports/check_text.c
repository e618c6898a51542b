/* check_text.c: what a check found, as text for people. */
#include "check_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../symbols/noise.h"
#include "../verdicts/verdicts.h"
#include "quantity.h"
#include "sentence.h"

/* A report in a terminal is read to its end; all of it is in the JSON form. */
enum { SHOWN_OF_A_KIND = 10, UNUSED_SHOWN = 50, FRAMES_SHOWN = 24, PACKAGES_NAMED = 3 };

/* Where and how it is written. */
struct page {
    FILE *out;
    const struct report *report;
    const char *bold, *red, *yellow, *green, *dim, *plain;
    bool advised[FINDING_KINDS]; /* what to do about it has been said */
    bool lineless;               /* a place was named without its source line */
};

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* The sentence that a report opens with. */
static void put_opening(const struct page *page) {
    fprintf(page->out, "%spqone:%s ", page->bold, page->plain);
    totals_sentence(page->out, &page->report->verdicts->totals);
    fputc('\n', page->out);
}

/* What was there before, and what nobody need mend, is told in a line, without stacks: a program can do it
 * all day long. The first run with a baseline shows what is accepted by it. */
static bool is_told_in_a_line(const struct page *page, const struct finding *finding) {
    const struct outcome *outcome = page->report->outcome;
    return finding->is_note || (finding->is_known && !(outcome && outcome->written_baseline));
}

/* Are there lines of the program itself? Then those of libraries only say how it came to libpq. */
static bool is_of_library(const struct frame *frame, const struct frame *first) {
    return frame->script && noise_is_library(frame->file) && first && first->script &&
           !noise_is_library(first->file);
}

/* Frames in a row that say nothing of the program, and whose they are. */
struct fold {
    size_t count, packages;
    char names[PACKAGES_NAMED][64];
    bool library, unnamed;
};

static void fold_in(struct fold *fold, const struct frame *frame, bool library) {
    char name[64];
    fold->count++;
    if (!library)
        return;
    fold->library = true;
    if (!noise_package_of(frame->file, name, sizeof name)) {
        fold->unnamed = true;
        return;
    }
    for (size_t i = 0; i < fold->packages && i < PACKAGES_NAMED; i++)
        if (strcmp(fold->names[i], name) == 0)
            return;
    if (fold->packages < PACKAGES_NAMED)
        snprintf(fold->names[fold->packages], sizeof fold->names[0], "%s", name);
    fold->packages++;
}

/* "… 15 frames of pytest, pluggy" */
static void put_fold(const struct page *page, const struct stack *stack, struct fold *fold) {
    bool scripted = stack->language != LEDGER_NATIVE && stack->language != LEDGER_LIBUV_POOL;
    if (fold->count == 0)
        return;
    fprintf(page->out, "          %s… %zu frame%s", page->dim, fold->count, quantity_plural(fold->count));
    if (fold->library && (fold->unnamed || fold->packages > PACKAGES_NAMED))
        fputs(" of libraries", page->out);
    else if (fold->library)
        for (size_t i = 0; i < fold->packages; i++)
            fprintf(page->out, "%s%s", i ? ", " : " of ", fold->names[i]);
    else if (scripted)
        fputs(" of the interpreter", page->out);
    fprintf(page->out, "%s\n", page->plain);
    *fold = (struct fold){0};
}

/* The frames behind the one that the heading names. Those of a library before it, which the heading passes
 * over, say how the program came to libpq. */
static void put_stack(const struct page *page, const struct stack *stack, const struct frame *first) {
    struct fold fold = {0};
    size_t shown = 0;
    bool begun = false;
    for (size_t i = 0; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        char text[1024];
        bool library = is_of_library(frame, first);
        if (library || frame_is_folded(stack, frame)) {
            if (fold.library && !frame->script)
                put_fold(page, stack, &fold);
            /* Noise at the beginning stands in nobody's way to the program. */
            if (begun || !frame->noise)
                fold_in(&fold, frame, library);
            continue;
        }
        begun = true;
        if (frame == first && fold.count) {
            fprintf(page->out, "          %sby way of:%s\n", page->dim, page->plain);
            put_fold(page, stack, &fold);
        }
        if (frame == first)
            continue;
        if (shown++ == FRAMES_SHOWN) {
            fprintf(page->out, "          %s… of %zu frames%s\n", page->dim, stack->count, page->plain);
            return;
        }
        put_fold(page, stack, &fold);
        fprintf(page->out, "          %s%s\n", frame_text(frame, text, sizeof text),
                frame->inlined ? ", inlined" : "");
    }
    put_fold(page, stack, &fold);
}

static void put_details(struct page *page, const struct finding *finding) {
    FILE *out = page->out;
    const char *between = "      ";
    if (finding->target[0] && finding->kind != FINDING_BUDGET) {
        fprintf(out, "%sto %s", between, finding->target);
        between = "; ";
    }
    if (finding->never_connected) {
        fprintf(out, "%s%" PRIu64 " never connected", between, finding->never_connected);
        between = "; ";
    }
    if (finding->age >= 0) {
        fprintf(out, "%s%s", between, finding->count > 1 ? "the oldest " : "");
        quantity_put_span(out, finding->age);
        fputs(" old at the end, last used ", out);
        quantity_put_span(out, finding->unused);
        fputs(" before it", out);
        between = "; ";
    }
    fprintf(out, "%sin %s[%d]", between, base_name(finding->program), (int)finding->pid);
    if (finding->processes > 1)
        fprintf(out, " and %zu more process%s", finding->processes - 1, finding->processes > 2 ? "es" : "");
    fputc('\n', out);
    if (finding->statement[0])
        fprintf(out, "      its last statement: %s\n", finding->statement);
    /* What does not fail is often much of one kind; there it is said once. */
    bool said = !finding->fails && finding->kind > FINDING_MISUSE && page->advised[finding->kind];
    page->advised[finding->kind] = true;
    if (finding->advice[0] && !said)
        fprintf(out, "      %swhat to do:%s %s\n", page->dim, page->plain, finding->advice);
}

/* "3 lost handles", without the number. */
static const char *noun_of(const struct finding *finding) {
    static const struct {
        const char *one, *many;
    } nouns[FINDING_KINDS] = {
        [FINDING_LOST] = {"lost handle", "lost handles"},
        [FINDING_HELD] = {"held handle", "held handles"},
        [FINDING_UNKNOWN] = {"handle of unknown fate", "handles of unknown fate"},
        [FINDING_MISUSE] = {"misuse", "misuses"},
        [FINDING_BUDGET] = {"handle alive at once", "handles alive at once"},
        [FINDING_DUPLICATE] = {"duplicate", "duplicates"},
        [FINDING_LEFT] = {"handle left to a runtime", "handles left to a runtime"},
        [FINDING_HANDED] = {"handle handed over", "handles handed over"},
    };
    return finding->count == 1 ? nouns[finding->kind].one : nouns[finding->kind].many;
}

/* "3 lost handles: never finished, and nothing in memory points at them any more" */
static void put_heading(const struct page *page, const struct finding *finding) {
    FILE *out = page->out;
    fprintf(out, "    %s%" PRIu64 " %s%s", finding->fails ? page->red : page->yellow, finding->count,
            noun_of(finding), page->plain);
    if (finding->misuse)
        fprintf(out, " (%s)", finding->misuse->word);
    /* The sentences speak of one handle. */
    const char *it = finding->count > 1 && finding_is_leak(finding) ? strstr(finding->says, " at it") : NULL;
    if (finding->kind == FINDING_BUDGET)
        fprintf(out, " for %s, over the budget of %" PRIu64, finding->target, finding->budget);
    else if (it)
        fprintf(out, ": %.*s at them%s", (int)(it - finding->says), finding->says, it + strlen(" at it"));
    else
        fprintf(out, ": %s", finding->says);
    if (finding->grown)
        fprintf(out, " (%" PRIu64 " more than the %" PRIu64 " known)", finding->grown, finding->known);
    fputs(finding->is_known ? " (known)\n" : "\n", out);
}

/* "PQexec called at shop.c:12 (buy)", with what stands behind it. */
static void put_place(struct page *page, const struct stack *stack, const char *function, const char *what) {
    char text[1024];
    const struct frame *first = stack_first(stack);
    fprintf(page->out, "      %s%s at %s%s%s\n", function, what, page->bold,
            frame_text(first, text, sizeof text), page->plain);
    put_stack(page, stack, first);
    page->lineless =
        page->lineless || (first && !first->script && !first->line && !first->replaced && first->module[0]);
}

static void put_finding(struct page *page, const struct finding *finding) {
    put_heading(page, finding);
    if (finding->kind != FINDING_BUDGET)
        put_place(page, &finding->opened, "", "opened");
    if (finding->place.count)
        put_place(page, &finding->place, finding->function, finding->function[0] ? " called" : "finished");
    put_details(page, finding);
}

/* Where it happened; where the handle was opened, if that is all that leads a reader to his program. */
static const char *telling_place(const struct finding *finding, char *into, size_t size) {
    char text[1024];
    const struct frame *first = stack_first(&finding->place);
    bool elsewhere = !first || (first->script && noise_is_library(first->file));
    if (!elsewhere)
        snprintf(into, size, "at %s", finding_place(finding, text, sizeof text));
    else
        snprintf(into, size, "opened at %s", finding_opened(finding, text, sizeof text));
    return into;
}

/* "    note: 4 × PQfinish inside a transaction that only read, at tests/test_x.py:8 in test_y" */
static void put_line(const struct page *page, const struct finding *finding) {
    char text[1024];
    fprintf(page->out, "    %s: %" PRIu64, finding->is_known ? "known" : "note", finding->count);
    if (finding->kind == FINDING_MISUSE)
        fprintf(page->out, " × %s", finding->says);
    else
        fprintf(page->out, " %s", noun_of(finding));
    if (finding->kind == FINDING_BUDGET)
        fprintf(page->out, " for %s\n", finding->target);
    else
        fprintf(page->out, ", %s\n", telling_place(finding, text, sizeof text));
}

/* Those that fail are all there; of the rest the biggest of each kind. */
static void put_findings(struct page *page) {
    const struct verdicts *verdicts = page->report->verdicts;
    size_t shown[FINDING_KINDS] = {0}, hidden[FINDING_KINDS] = {0};
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        if (finding->suppressed_by || is_told_in_a_line(page, finding))
            continue;
        if (finding->fails || shown[finding->kind] < SHOWN_OF_A_KIND) {
            put_finding(page, finding);
            shown[finding->kind] += !finding->fails;
        } else {
            hidden[finding->kind]++;
        }
    }
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        if (hidden[kind])
            fprintf(page->out, "    … and %zu more call site%s: %s; --report json=FILE has them all\n",
                    hidden[kind], quantity_plural(hidden[kind]), finding_word(kind));
}

/* Known ones, or notes. */
static void put_lines(const struct page *page, bool notes) {
    const struct verdicts *verdicts = page->report->verdicts;
    size_t shown = 0, hidden = 0;
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        if (finding->suppressed_by || finding->is_note != notes || !is_told_in_a_line(page, finding))
            continue;
        if (shown++ < SHOWN_OF_A_KIND)
            put_line(page, finding);
        else
            hidden++;
    }
    if (hidden)
        fprintf(page->out, "    … and %zu more %s; --report json=FILE has them all\n", hidden,
                notes ? "notes" : "known findings");
}

static void put_suppressions(const struct page *page) {
    const struct outcome *outcome = page->report->outcome;
    bool unused = false;
    for (size_t i = 0; i < outcome->suppression_count; i++) {
        const struct suppression_use *use = &outcome->suppressions[i];
        if (use->hits)
            fprintf(page->out, "    suppressed: %" PRIu64 " by %s\n", use->hits, use->pattern);
        unused = unused || use->hits == 0;
    }
    if (!unused)
        return;
    fputs("    suppressions that nothing needed:", page->out);
    size_t told = 0;
    for (size_t i = 0; i < outcome->suppression_count; i++)
        if (outcome->suppressions[i].hits == 0 && told++ < UNUSED_SHOWN)
            fprintf(page->out, " %s", outcome->suppressions[i].pattern);
    if (told > UNUSED_SHOWN)
        fprintf(page->out, " … and %zu more; --report json=FILE has them all", told - UNUSED_SHOWN);
    fputc('\n', page->out);
}

static void put_baseline(const struct page *page) {
    const struct verdicts *verdicts = page->report->verdicts;
    const struct outcome *outcome = page->report->outcome;
    size_t known = 0;
    for (size_t i = 0; i < verdicts->count; i++)
        known += verdicts->findings[i].is_known;
    if (outcome->written_baseline)
        fprintf(page->out, "    baseline: %zu finding%s written to %s, and accepted in this run\n", known,
                quantity_plural(known), outcome->written_baseline);
    else if (outcome->baseline)
        fprintf(page->out, "    baseline: %zu finding%s known from %s\n", known, quantity_plural(known),
                outcome->baseline);
}

static void put_running(const struct page *page) {
    const struct verdicts *verdicts = page->report->verdicts;
    for (size_t i = 0; i < verdicts->running_count; i++) {
        const struct running *running = &verdicts->running[i];
        fprintf(page->out, "    still running: %s[%d], ", base_name(running->program), (int)running->pid);
        if (running->handles)
            fprintf(page->out, "with %" PRIu64 " handle%s\n", running->handles,
                    quantity_plural(running->handles));
        else
            fputs("what it does from now on is not judged\n", page->out);
    }
}

static void put_unjudged(const struct page *page) {
    uint64_t count = page->report->verdicts->totals.unjudged;
    if (count)
        fprintf(page->out,
                "    not judged: %" PRIu64 " handle%s that a process still running may finish yet\n", count,
                quantity_plural(count));
}

static void put_verdict(const struct page *page) {
    const struct outcome *outcome = page->report->outcome;
    const struct verdicts *verdicts = page->report->verdicts;
    bool failed = outcome->status != 0 || verdicts->failing;
    for (size_t i = 0; i < outcome->problem_count; i++)
        fprintf(page->out, "%spqone:%s %s\n", page->bold, page->plain, outcome->problems[i]);
    fprintf(page->out, "%spqone: check %s%s:%s %s; exit status %d\n", page->bold,
            failed ? page->red : page->green, failed ? "failed" : "passed", page->plain, outcome->why,
            outcome->status);
}

/* One line when there is nothing to read. */
static bool is_clean(const struct report *report) {
    const struct outcome *outcome = report->outcome;
    return outcome && outcome->status == 0 && report->verdicts->count == 0 &&
           report->verdicts->running_count == 0 && outcome->problem_count == 0 &&
           outcome->suppression_count == 0 && !outcome->written_baseline;
}

static void put_clean(const struct page *page) {
    const struct totals *totals = &page->report->verdicts->totals;
    fprintf(page->out,
            "%spqone: check %spassed:%s %" PRIu64 " handle%s opened and finished in %zu process%s\n",
            page->bold, page->green, page->plain, totals->opened, quantity_plural(totals->opened),
            totals->processes, totals->processes == 1 ? "" : "es");
}

bool check_text(FILE *out, const struct report *report) {
    struct page page = {out, report, "", "", "", "", "", "", {false}, false};
    if (report->colour)
        page = (struct page){out,        report,    "\033[1m", "\033[31m", "\033[33m",
                             "\033[32m", "\033[2m", "\033[0m", {false},    false};
    if (is_clean(report)) {
        put_clean(&page);
        return true;
    }
    if (report->verdicts->totals.opened || report->verdicts->count)
        put_opening(&page);
    put_findings(&page);
    put_running(&page);
    put_unjudged(&page);
    put_lines(&page, false);
    put_lines(&page, true);
    if (page.lineless)
        fputs("    places without a line: build with -g, or install debug symbols, for source lines\n", out);
    if (report->outcome) {
        put_suppressions(&page);
        put_baseline(&page);
        put_verdict(&page);
    }
    return true;
}
