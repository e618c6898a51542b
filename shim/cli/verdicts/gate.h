/* gate.h: which findings fail a check: --fail-on, --budget, suppressions, baseline. */
#ifndef PQONE_GATE_H
#define PQONE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "verdicts.h"

struct suppressions;
struct baseline;

struct gate {
    unsigned fail_on;                  /* a bit for each enum finding_kind */
    uint64_t budget;                   /* handles alive at once per target; UINT64_MAX: no budget */
    struct suppressions *suppressions; /* NULL: none */
    struct baseline *baseline;         /* NULL: none */
};

/* leak lost held unknown left duplicate misuse budget none, separated by commas. False: `why` holds one
 * sentence. */
bool gate_fail_on(const char *list, unsigned *bits, char *why, size_t size);

/* One word of that list as bits; false: there is no such word. */
bool gate_kinds(const char *word, unsigned *bits);

/* Sets suppressed_by, is_known and fails of every finding. */
void gate_judge(struct gate *gate, struct finding *findings, size_t count);

#endif
