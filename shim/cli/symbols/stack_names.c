/* stack_names.c: a name for each of several stacks that tells it from the others. */
#include "stack_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../reports/sentence.h"

static const char separator[] = " < ";

/* A stack on its way to a name: the texts of the frames that a reader is shown, from the named one outwards.
 */
struct candidate {
    char **texts;
    size_t count, index;
    FILE *out;
    char *name;
    size_t size;
};

static bool read_frames(struct candidate *candidate, const struct stack *stack) {
    const struct frame *first = stack_first(stack);
    char text[1024];
    candidate->texts = calloc(stack->count + 1, sizeof *candidate->texts);
    if (!candidate->texts)
        return false;
    candidate->texts[0] = strdup(frame_text(first, text, sizeof text));
    candidate->count = 1;
    for (size_t i = first ? (size_t)(first - stack->frames) + 1 : 0; i < stack->count; i++)
        if (!frame_is_folded(stack, &stack->frames[i])) {
            char *line = strdup(frame_text(&stack->frames[i], text, sizeof text));
            if (!line)
                return false;
            candidate->texts[candidate->count++] = line;
        }
    return candidate->texts[0] != NULL;
}

static const char *text_at(const struct candidate *candidate, size_t depth) {
    return depth < candidate->count ? candidate->texts[depth] : "";
}

/* By all texts, so that those which share their first ones stand together. */
static int in_order(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    for (size_t depth = 0; depth < a->count || depth < b->count; depth++) {
        int order = strcmp(text_at(a, depth), text_at(b, depth));
        if (order)
            return order;
    }
    return 0;
}

/* The candidates from `begin` to `end` are the same before `depth`, and `told` of that is in their names. In
 * order, so all are the same to a depth where the first and the last are. */
static void tell_apart(struct candidate *all, size_t begin, size_t end, size_t depth, size_t told) {
    const struct candidate *first = &all[begin], *last = &all[end - 1];
    while ((depth < first->count || depth < last->count) &&
           strcmp(text_at(first, depth), text_at(last, depth)) == 0)
        depth++;
    if (depth >= first->count && depth >= last->count)
        return;
    for (size_t next; begin < end; begin = next) {
        const char *text = text_at(&all[begin], depth);
        for (next = begin; next < end && strcmp(text_at(&all[next], depth), text) == 0; next++)
            if (*text)
                fprintf(all[next].out, "%s%s%s", depth > told ? " < …" : "", separator, text);
        if (*text)
            tell_apart(all, begin, next, depth + 1, depth + 1);
    }
}

static bool finish(struct candidate *all, size_t count, char **names, bool good) {
    for (size_t i = 0; i < count; i++) {
        struct candidate *one = &all[i];
        for (size_t frame = 0; one->texts && frame < one->count; frame++)
            free(one->texts[frame]);
        free(one->texts);
        good = one->out && fclose(one->out) == 0 && good;
        names[one->index] = one->name;
    }
    for (size_t i = 0; !good && i < count; i++) {
        free(names[i]);
        names[i] = NULL;
    }
    free(all);
    return good;
}

bool stack_names(const struct stack *const *stacks, size_t count, char **names) {
    struct candidate *all = calloc(count + 1, sizeof *all);
    memset(names, 0, count * sizeof *names);
    if (!all)
        return false;
    bool good = true;
    for (size_t i = 0; i < count; i++) {
        all[i].index = i;
        good = good && read_frames(&all[i], stacks[i]);
    }
    if (good && count)
        qsort(all, count, sizeof *all, in_order);
    for (size_t i = 0; good && i < count; i++) {
        all[i].out = open_memstream(&all[i].name, &all[i].size);
        good = all[i].out != NULL;
    }
    for (size_t begin = 0, end; good && begin < count; begin = end) {
        for (end = begin; end < count && strcmp(all[end].texts[0], all[begin].texts[0]) == 0; end++)
            fputs(all[end].texts[0], all[end].out);
        tell_apart(all, begin, end, 1, 1);
    }
    return finish(all, count, names, good);
}

const char *stack_name_callers(const char *name, const struct stack *stack) {
    char text[1024];
    size_t length = strlen(frame_text(stack_first(stack), text, sizeof text));
    return strlen(name) > length ? name + length : "";
}
