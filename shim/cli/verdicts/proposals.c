/* proposals.c: lines for --suppressions that would silence what failed a check. */
#include "proposals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../say.h"
#include "../symbols/noise.h"

/* In the comment above a line. */
enum { FRAMES_TOLD = 6 };

/* Where every program begins, and what has no name: a line for it would silence whatever leaks anywhere. */
static bool is_everywhere(const char *function) {
    static const char *const names[] = {"main", "main chunk"};
    static const char *const beginnings[] = {"<", "{", "(eval", "block in <"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(function, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(function, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return strstr(function, "__ANON__") != NULL;
}

/* A misuse has two stacks, and either may tell it from the others. */
typedef const struct stack *stack_of_finding(const struct finding *);

static const struct stack *opened_of(const struct finding *finding) {
    return &finding->opened;
}

static const struct stack *place_of(const struct finding *finding) {
    return &finding->place;
}

/* The stack by which a finding is known. */
static stack_of_finding *main_stack(const struct finding *finding) {
    return finding->opened.count || finding->kind != FINDING_MISUSE ? opened_of : place_of;
}

static bool calls(const struct stack *stack, const char *function) {
    for (size_t i = 0; i < stack->count; i++)
        if (strcmp(stack->frames[i].function, function) == 0)
            return true;
    return false;
}

/* Two lines of one function cannot be told apart by functions: they count as one place. */
static bool is_same_way(const struct stack *one, const struct stack *other) {
    if (one->count != other->count)
        return false;
    for (size_t i = 0; i < one->count; i++)
        if (strcmp(one->frames[i].function, other->frames[i].function) != 0)
            return false;
    return true;
}

static bool is_in_another(const char *function, const struct stack *own, stack_of_finding *of,
                          const struct finding *others, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct stack *other = of(&others[i]);
        if (calls(other, function) && !is_same_way(own, other))
            return true;
    }
    return false;
}

/* A program's own wrapper around PQconnectdb is in every finding, and a line for it would silence them all,
 * those to come too. NULL: no frame tells this finding from the others. */
static const struct frame *frame_of_its_own(const struct finding *finding, stack_of_finding *of,
                                            const struct finding *others, size_t count) {
    const struct stack *stack = of(finding);
    const struct frame *first = stack_first(stack);
    for (size_t i = first ? (size_t)(first - stack->frames) : stack->count; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        if (frame->noise || !frame->function[0] || (frame->file[0] && is_everywhere(frame->function)) ||
            frame->script != first->script || (frame->script && noise_is_library(frame->file)))
            continue;
        if (!is_in_another(frame->function, stack, of, others, count))
            return frame;
    }
    return NULL;
}

/* By the function of its frame, else by the file, else by the module. */
static const char *name_of(const struct frame *frame) {
    return frame->function[0] && !(frame->file[0] && is_everywhere(frame->function)) ? frame->function
           : frame->file[0]                                                          ? frame->file
                                                                                     : frame->module;
}

char *proposal_for(const struct finding *finding, const struct finding *others, size_t count) {
    static const char *const words[FINDING_KINDS] = {"leak",   "leak",      "leak", "misuse",
                                                     "budget", "duplicate", "left", NULL};
    const char *word = words[finding->kind], *name = "";
    const struct frame *frame = NULL;
    if (finding->kind == FINDING_MISUSE)
        frame = frame_of_its_own(finding, place_of, others, count);
    if (!frame)
        frame = frame_of_its_own(finding, opened_of, others, count);
    if (!frame)
        frame = stack_first(main_stack(finding)(finding));
    if (finding->kind == FINDING_BUDGET)
        name = finding->target;
    else if (frame)
        name = name_of(frame);
    char *text = NULL;
    if (!word || !*name)
        return NULL;
    return asprintf(&text, "%s:^%s$", word, name) < 0 ? NULL : text;
}

static void put_way(FILE *out, const char *between, const struct stack *stack) {
    const struct frame *first = stack_first(stack);
    size_t told = 0;
    for (size_t i = first ? (size_t)(first - stack->frames) : stack->count; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        char text[1024];
        if (told && (frame->noise || frame->script != first->script))
            continue;
        if (told++ == FRAMES_TOLD) {
            fputs(" < …", out);
            break;
        }
        fprintf(out, "%s%s", between, say_printable(frame_text(frame, text, sizeof text)));
        between = " < ";
    }
}

/* "# 1 lost at leak.c:6 (db_open) < leak.c:20 (find_user)" */
static void put_comment(FILE *out, const struct finding *finding) {
    fprintf(out, "# %" PRIu64 " %s", finding->count, finding_word(finding->kind));
    if (finding->kind == FINDING_BUDGET)
        fprintf(out, " of %s", finding->target);
    if (finding->kind == FINDING_MISUSE)
        put_way(out, " at ", &finding->place);
    put_way(out, finding->kind == FINDING_MISUSE ? " of what was opened at " : " at ", &finding->opened);
    fputc('\n', out);
}

bool proposals_put(FILE *out, const struct verdicts *verdicts) {
    char **lines = calloc(verdicts->count + 1, sizeof *lines);
    bool any = false;
    for (size_t i = 0; lines && i < verdicts->count; i++) {
        if (verdicts->findings[i].fails)
            lines[i] = proposal_for(&verdicts->findings[i], verdicts->findings, verdicts->count);
        any = any || lines[i];
    }
    /* Comments, so that all that is between them can be pasted as it is. */
    if (any)
        fputs("# pqone: for --suppressions\n", out);
    for (size_t i = 0; lines && i < verdicts->count; i++) {
        if (!lines[i])
            continue;
        put_comment(out, &verdicts->findings[i]);
        for (size_t j = i + 1; j < verdicts->count; j++) {
            if (!lines[j] || strcmp(lines[i], lines[j]) != 0)
                continue;
            put_comment(out, &verdicts->findings[j]);
            free(lines[j]);
            lines[j] = NULL;
        }
        fprintf(out, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    return lines != NULL;
}
