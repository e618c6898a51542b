/* check_text.c: what a check found, as text for people. */
#include "check_text.h"

#include <inttypes.h>
#include <string.h>

#include "quantity.h"
#include "sentence.h"
#include "verdicts.h"

/* A report in a terminal is read to its end; all of it is in the JSON form. */
enum { SHOWN_OF_A_KIND = 10, UNUSED_SHOWN = 50, FRAMES_SHOWN = 24, FRAMES_OF_A_NOTE = 2 };

/* Where and how it is written. */
struct page {
    FILE *out;
    const struct report *report;
    const char *bold, *red, *yellow, *green, *dim, *plain;
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

/* What does not fail and is nobody's mistake, or was there before, is told in few lines. */
static bool is_read_closely(const struct finding *finding) {
    return finding->fails || (finding->kind < FINDING_BUDGET && !finding->is_known);
}

/* Frames that say nothing are one line together. */
static void put_fold(const struct page *page, const struct stack *stack, size_t count) {
    bool scripted = stack->language != LEDGER_NATIVE && stack->language != LEDGER_LIBUV_POOL;
    fprintf(page->out, "          %s… %zu frame%s%s%s\n", page->dim, count, quantity_plural(count),
            scripted ? " of the interpreter" : "", page->plain);
}

/* The frames behind the one that the heading names, up to a number of them; from the beginning where a
 * library's frames, which the heading passes over, say how the program came to libpq. */
static void put_stack(const struct page *page, const struct stack *stack, const struct frame *first,
                      size_t most) {
    size_t folded = 0, shown = 0;
    bool begun = false;
    for (size_t i = 0; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        char text[1024];
        if (frame_is_folded(stack, frame)) {
            folded++;
            continue;
        }
        bool is_heading = frame == first && !begun;
        if (!is_heading && shown++ == most)
            break;
        if (folded && begun)
            put_fold(page, stack, folded);
        begun = true;
        folded = 0;
        if (is_heading)
            continue;
        fprintf(page->out, "          %s%s\n", frame_text(frame, text, sizeof text),
                frame->inlined ? ", inlined" : "");
    }
    if (folded && shown <= most && most > FRAMES_OF_A_NOTE)
        put_fold(page, stack, folded);
    else if (shown > most && most > FRAMES_OF_A_NOTE)
        fprintf(page->out, "          %s… of %zu frames%s\n", page->dim, stack->count, page->plain);
}

static void put_details(const struct page *page, const struct finding *finding) {
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
    if (finding->advice[0] && is_read_closely(finding))
        fprintf(out, "      %swhat to do:%s %s\n", page->dim, page->plain, finding->advice);
}

static void put_finding(const struct page *page, const struct finding *finding) {
    FILE *out = page->out;
    char text[1024];
    const struct frame *first = stack_first(&finding->opened);
    const char *colour = finding->fails ? page->red : page->yellow;
    size_t most = is_read_closely(finding) ? FRAMES_SHOWN : FRAMES_OF_A_NOTE;
    fprintf(out, "    %s%" PRIu64 " %s%s", colour, finding->count, finding_word(finding->kind), page->plain);
    if (finding->misuse)
        fprintf(out, " (%s)", finding->misuse->word);
    if (finding->kind == FINDING_BUDGET)
        fprintf(out, ": handles alive at once for %s, where %" PRIu64 " %s allowed", finding->target,
                finding->budget, finding->budget == 1 ? "is" : "are");
    else
        fprintf(out, ": %s", finding->says);
    fputs(finding->is_note ? " (a note)\n" : finding->is_known ? " (known)\n" : "\n", out);
    if (finding->kind != FINDING_BUDGET) {
        fprintf(out, "      opened at %s%s%s\n", page->bold, frame_text(first, text, sizeof text),
                page->plain);
        put_stack(page, &finding->opened, first, most);
    }
    if (finding->place.count) {
        first = stack_first(&finding->place);
        fprintf(out, "      %s%s at %s%s%s\n", finding->function,
                finding->function[0] ? " called" : "finished", page->bold,
                frame_text(first, text, sizeof text), page->plain);
        put_stack(page, &finding->place, first, most);
    }
    put_details(page, finding);
}

/* Those that fail are all there; of the rest the biggest of each kind. */
static void put_findings(const struct page *page) {
    const struct verdicts *verdicts = page->report->verdicts;
    size_t shown[FINDING_KINDS] = {0}, hidden[FINDING_KINDS] = {0};
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        if (finding->suppressed_by)
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
            fprintf(page->out, "    … and %zu more call sites: %s; --report json=FILE has them all\n",
                    hidden[kind], finding_word(kind));
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
    struct page page = {out, report, "", "", "", "", "", ""};
    if (report->colour)
        page =
            (struct page){out, report, "\033[1m", "\033[31m", "\033[33m", "\033[32m", "\033[2m", "\033[0m"};
    if (is_clean(report)) {
        put_clean(&page);
        return true;
    }
    if (report->verdicts->totals.opened || report->verdicts->count)
        put_opening(&page);
    put_findings(&page);
    put_running(&page);
    put_unjudged(&page);
    if (report->outcome) {
        put_suppressions(&page);
        put_baseline(&page);
        put_verdict(&page);
    }
    return true;
}
