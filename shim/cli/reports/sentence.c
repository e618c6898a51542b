/* sentence.c: findings in words. */
#include "sentence.h"
#include "quantity.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum loudness finding_loudness(const struct finding *finding) {
    if (finding->fails)
        return LOUD_ERROR;
    if (finding->is_note || finding->kind == FINDING_LEFT || finding->kind == FINDING_HANDED)
        return LOUD_NOTE;
    return LOUD_WARNING;
}

bool finding_is_silenced(const struct finding *finding) {
    return finding->suppressed_by || finding->is_known;
}

bool outcome_is_failure(const struct outcome *outcome) {
    return outcome && strcmp(outcome->decided_by, "pqone") == 0;
}

char *finding_rule(const struct finding *finding, char *into, size_t size) {
    snprintf(into, size, "%s%s%s", finding_word(finding->kind), finding->misuse ? "/" : "",
             finding->misuse ? finding->misuse->word : "");
    return into;
}

static void say_places(FILE *out, const struct finding *finding) {
    char place[1024];
    if (finding->place.count) {
        fprintf(out, "; %s at %s", finding->kind == FINDING_MISUSE ? "happened" : "finished",
                finding_place(finding, place, sizeof place));
        if (finding->function[0])
            fprintf(out, ", in %s", finding->function);
    }
    if (finding->kind == FINDING_MISUSE && finding->opened.count)
        fprintf(out, "; the handle was opened at %s", finding_opened(finding, place, sizeof place));
    if (finding->statement[0])
        fprintf(out, "; last statement: %s", finding->statement);
}

char *finding_sentence(const struct finding *finding) {
    char *text = NULL, place[1024];
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    const char *to = finding->target[0] ? " to " : "";
    if (finding->kind == FINDING_MISUSE)
        fprintf(out, "%s (%" PRIu64 " time%s%s%s)", finding->says, finding->count,
                quantity_plural(finding->count), finding->target[0] ? ", a handle to " : "", finding->target);
    else if (finding->kind == FINDING_BUDGET)
        fprintf(out, "%" PRIu64 " handles%s%s alive at once, %" PRIu64 " allowed: %s", finding->count, to,
                finding->target, finding->budget, finding->says);
    else
        fprintf(out, "%" PRIu64 " handle%s%s%s, opened at %s: %s", finding->count,
                quantity_plural(finding->count), to, finding->target,
                finding_opened(finding, place, sizeof place), finding->says);
    if (finding->never_connected)
        fprintf(out, " (%" PRIu64 " of them never connected)", finding->never_connected);
    say_places(out, finding);
    if (finding->advice[0])
        fprintf(out, ". To do: %s", finding->advice);
    putc('.', out);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

bool frame_is_folded(const struct stack *stack, const struct frame *frame) {
    return frame->noise || (stack->frames[0].script && !frame->script && !frame->line);
}

static void stack_lines(FILE *out, const struct stack *stack, const char *indent) {
    size_t folded = 0;
    bool begun = false;
    char text[1024];
    for (size_t i = 0; i <= stack->count; i++) {
        const struct frame *frame = i < stack->count ? &stack->frames[i] : NULL;
        if (frame && frame_is_folded(stack, frame)) {
            folded++;
            continue;
        }
        /* Noise at the beginning stands in nobody's way to the program. */
        if (folded && (begun || !frame))
            fprintf(out, "%s(%zu frame%s of a runtime)\n", indent, folded, quantity_plural(folded));
        folded = 0;
        begun = true;
        if (frame)
            fprintf(out, "%s%s%s\n", indent, frame_text(frame, text, sizeof text),
                    frame->inlined ? ", inlined" : "");
    }
}

void finding_stacks(FILE *out, const struct finding *finding, const char *indent) {
    char deeper[32];
    snprintf(deeper, sizeof deeper, "%.20s    ", indent);
    if (finding->place.count) {
        fprintf(out, "%s%s at:\n", indent, finding->kind == FINDING_MISUSE ? "happened" : "finished");
        stack_lines(out, &finding->place, deeper);
    }
    if (finding->opened.count) {
        fprintf(out, "%sopened at:\n", indent);
        stack_lines(out, &finding->opened, deeper);
    }
}

/* "2 leaked (1 lost), " and the like, of what there is. */
static void put_numbers(FILE *out, const struct totals *totals) {
    uint64_t leaked = totals->lost + totals->held + totals->unknown;
    const char *between = " ";
    if (leaked) {
        fprintf(out, " %" PRIu64 " leaked", leaked);
        if (totals->lost)
            fprintf(out, " (%" PRIu64 " lost)", totals->lost);
        between = ", ";
    } else if (totals->opened && !totals->running && !totals->unjudged) {
        fputs(" None leaked", out);
        between = ", ";
    }
    if (totals->running || totals->unjudged) {
        if (totals->unjudged)
            fprintf(out, "%s%" PRIu64 " open, still running", between, totals->unjudged);
        else
            fprintf(out, "%s%s", between, leaked ? "still running" : "None open, still running");
        between = ", ";
    }
    if (totals->duplicates) {
        fprintf(out, "%s%" PRIu64 " duplicate%s", between, totals->duplicates,
                quantity_plural(totals->duplicates));
        if (totals->duplicate_places)
            fprintf(out, " at %zu call site%s", totals->duplicate_places,
                    quantity_plural(totals->duplicate_places));
        between = ", ";
    }
    if (totals->misuses) {
        fprintf(out, "%s%" PRIu64 " misuse%s", between, totals->misuses, quantity_plural(totals->misuses));
        between = ", ";
    }
    if (totals->left) {
        fprintf(out, "%s%" PRIu64 " left to a runtime's shutdown", between, totals->left);
        between = ", ";
    }
    if (between[0] == ',')
        fputc('.', out);
}

void totals_sentence(FILE *out, const struct totals *totals) {
    fprintf(out, "%" PRIu64 " handle%s opened", totals->opened, quantity_plural(totals->opened));
    if (totals->processes > 1)
        fprintf(out, " in %zu processes, in one process", totals->processes);
    else
        fputc(',', out);
    fprintf(out, " peak %" PRIu64 " alive, peak %" PRIu64 " busy at once: ", totals->alive_peak,
            totals->busy_peak);
    if (totals->needed)
        fprintf(out, "%" PRIu64 " connection%s would have done.", totals->needed,
                quantity_plural(totals->needed));
    else
        fputs("none ever connected.", out);
    put_numbers(out, totals);
}

char *report_sentence(const struct report *report) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    /* Of a check, how it ended says so. */
    for (size_t i = 0; !report->outcome && i < report->verdicts->running_count; i++)
        if (report->verdicts->running[i].watched)
            fprintf(out, "Process %d is still running. ", (int)report->verdicts->running[i].pid);
    totals_sentence(out, &report->verdicts->totals);
    if (report->outcome)
        fprintf(out, " Exit status %d: %s.", report->outcome->status, report->outcome->why);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
