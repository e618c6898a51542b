/* suppressions.c: findings that are not to fail a check. */
#include "suppressions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gate.h"

struct line {
    char *text;          /* as written, without blanks around it */
    const char *pattern; /* within */
    unsigned kinds;
    uint64_t hits;
};

struct suppressions {
    struct line *lines;
    size_t count, capacity;
};

/* Wildcards, from the beginning to the end of both; on a mismatch the last * takes one byte more. */
static bool matches_whole(const char *pattern, const char *end, const char *text) {
    const char *star = NULL, *retry = NULL;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            retry = text;
        } else if (pattern < end && *pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++retry;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

bool suppression_matches(const char *pattern, const char *text) {
    size_t length = strlen(pattern);
    if (!*text)
        return false;
    bool from_start = length > 0 && pattern[0] == '^';
    pattern += from_start;
    length -= from_start;
    bool to_end = length > 0 && pattern[length - 1] == '$';
    length -= to_end;
    char *whole = NULL;
    if (asprintf(&whole, "%s%.*s%s", from_start ? "" : "*", (int)length, pattern, to_end ? "" : "*") < 0)
        return false;
    bool good = matches_whole(whole, whole + strlen(whole), text);
    free(whole);
    return good;
}

static bool matches_stack(const char *pattern, const struct stack *stack) {
    for (size_t i = 0; i < stack->count; i++)
        if (suppression_matches(pattern, stack->frames[i].function) ||
            suppression_matches(pattern, stack->frames[i].file) ||
            suppression_matches(pattern, stack->frames[i].module))
            return true;
    return false;
}

const char *suppressions_match(struct suppressions *suppressions, const struct finding *finding) {
    for (size_t i = 0; suppressions && i < suppressions->count; i++) {
        struct line *line = &suppressions->lines[i];
        if (!(line->kinds & 1u << finding->kind))
            continue;
        bool good = finding->kind == FINDING_BUDGET ? suppression_matches(line->pattern, finding->target)
                                                    : matches_stack(line->pattern, &finding->opened) ||
                                                          (finding->kind == FINDING_MISUSE &&
                                                           matches_stack(line->pattern, &finding->place));
        if (!good)
            continue;
        line->hits += finding->count;
        return line->text;
    }
    return NULL;
}

size_t suppressions_count(const struct suppressions *suppressions) {
    return suppressions ? suppressions->count : 0;
}

const char *suppressions_line(const struct suppressions *suppressions, size_t index, uint64_t *hits) {
    *hits = suppressions->lines[index].hits;
    return suppressions->lines[index].text;
}

void suppressions_free(struct suppressions *suppressions) {
    for (size_t i = 0; suppressions && i < suppressions->count; i++)
        free(suppressions->lines[i].text);
    if (suppressions)
        free(suppressions->lines);
    free(suppressions);
}

static const char *wrong_with(struct line *line) {
    char *colon = strchr(line->text, ':');
    if (!colon)
        return "is not KIND:PATTERN";
    line->pattern = colon + 1;
    *colon = '\0';
    bool known = gate_kinds(line->text, &line->kinds) && line->kinds != 0;
    *colon = ':';
    if (!known)
        return "names no kind; there are leak, lost, held, unknown, left, duplicate, misuse and budget";
    if (line->pattern[strspn(line->pattern, "^*$")] == '\0')
        return "has no pattern";
    return NULL;
}

/* Takes over `text`, or frees it. */
static bool add(struct suppressions *into, char *text, const char **wrong) {
    struct line line = {.text = text};
    *wrong = wrong_with(&line);
    if (!*wrong && into->count == into->capacity) {
        size_t capacity = into->capacity ? into->capacity * 2 : 16;
        struct line *more = realloc(into->lines, capacity * sizeof *more);
        if (more) {
            into->lines = more;
            into->capacity = capacity;
        } else {
            *wrong = "does not fit into memory";
        }
    }
    if (*wrong) {
        free(text);
        return false;
    }
    into->lines[into->count++] = line;
    return true;
}

static const char blanks[] = " \t\r\v\f";

struct suppressions *suppressions_parse(const char *text, size_t length, const char *name, char *why,
                                        size_t size) {
    struct suppressions *into = calloc(1, sizeof *into);
    const char *end = text + length, *wrong = into ? NULL : "does not fit into memory";
    size_t number = 0;
    while (!wrong && text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;
        number++;
        const char *from = text, *to = stop;
        while (from < to && strchr(blanks, *from) && *from)
            from++;
        while (from < to && strchr(blanks, to[-1]) && to[-1])
            to--;
        if (memchr(from, '\0', (size_t)(to - from))) {
            wrong = "holds a NUL byte";
        } else if (from < to && *from != '#') {
            char *copy = strndup(from, (size_t)(to - from));
            if (copy)
                add(into, copy, &wrong);
            else
                wrong = "does not fit into memory";
        }
        text = stop + (newline != NULL);
    }
    if (!wrong)
        return into;
    snprintf(why, size, "the suppressions %.512s:%zu: the line %s", name, number, wrong);
    suppressions_free(into);
    return NULL;
}

struct suppressions *suppressions_read(const char *path, char *why, size_t size) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    FILE *in = descriptor < 0 ? NULL : fdopen(descriptor, "r");
    char *text = NULL;
    size_t length = 0;
    FILE *copy = in ? open_memstream(&text, &length) : NULL;
    char bytes[4096];
    for (size_t got; copy && (got = fread(bytes, 1, sizeof bytes, in)) > 0;)
        fwrite(bytes, 1, got, copy);
    bool good = copy && !ferror(in);
    int error = errno;
    if (copy)
        good = fclose(copy) == 0 && good;
    if (in)
        fclose(in);
    struct suppressions *read = good ? suppressions_parse(text, length, path, why, size) : NULL;
    if (!good)
        snprintf(why, size, "the suppressions %.512s cannot be read: %s", path, strerror(error));
    free(text);
    return read;
}
