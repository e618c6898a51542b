/*
 * baseline.h: what a check found before, so that only what is new fails.
 *
 * A JSON file: {"pqone_baseline": 1, "findings": [{"identity": TEXT, "count": N}, ...]}, sorted by identity.
 * Identities hold functions and file names, no lines: code that moved within its file is the same.
 */
#ifndef PQONE_BASELINE_H
#define PQONE_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdicts.h"

enum { BASELINE_VERSION = 1 };

struct baseline;

/* NULL: `why` holds one sentence. */
struct baseline *baseline_read(const char *path, char *why, size_t size);
void baseline_free(struct baseline *baseline);

/* How many it has of that identity; 0: none. */
uint64_t baseline_count(const struct baseline *baseline, const char *identity);

/* Writes what could fail some check: no notes, nothing that is suppressed. The file is replaced as a whole.
 * False: `why` holds one sentence. */
bool baseline_write(const char *path, const struct finding *findings, size_t count, char *why, size_t size);

/* Could it be written? Asked before the program starts; leaves nothing behind. */
bool baseline_can_be_written(const char *path, char *why, size_t size);

/* Is it something that a baseline remembers? */
bool baseline_minds(const struct finding *finding);

#endif
