/*
 * suppressions.h: findings that are not to fail a check, in LeakSanitizer's form.
 *
 * A line KIND:PATTERN suppresses findings of that kind (leak, lost, held, unknown, left, duplicate, misuse,
 * budget)
 * where the pattern matches the function, the file or the module of any frame, script frames included; of a
 * budget, the target's name. * stands for anything, ^ and $ bind to the beginning and the end, and without
 * them it may match anywhere. Lines that begin with # and empty ones say nothing.
 */
#ifndef PQONE_SUPPRESSIONS_H
#define PQONE_SUPPRESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdicts.h"

struct suppressions;

/* NULL: `why` holds one sentence, with file and line where a line is wrong. */
struct suppressions *suppressions_read(const char *path, char *why, size_t size);
/* The same for text in memory; `name` stands for the file. */
struct suppressions *suppressions_parse(const char *text, size_t length, const char *name, char *why,
                                        size_t size);
void suppressions_free(struct suppressions *suppressions);

/* The first line that matches, whose hits grow by finding->count; NULL: none does. */
const char *suppressions_match(struct suppressions *suppressions, const struct finding *finding);

/* Lines and their hits, in the file's order. */
size_t suppressions_count(const struct suppressions *suppressions);
const char *suppressions_line(const struct suppressions *suppressions, size_t index, uint64_t *hits);

/* Does the text match? As the pattern of a line. */
bool suppression_matches(const char *pattern, const char *text);

#endif
