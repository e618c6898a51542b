/* gate.c: which findings fail a check. */
#include "gate.h"

#include <stdio.h>
#include <string.h>

#include "baseline.h"
#include "suppressions.h"

#define BIT(kind) (1u << (kind))

static const struct {
    const char *word;
    unsigned bits;
} words[] = {
    {"leak", BIT(FINDING_LOST) | BIT(FINDING_HELD) | BIT(FINDING_UNKNOWN)},
    {"lost", BIT(FINDING_LOST)},
    {"held", BIT(FINDING_HELD) | BIT(FINDING_UNKNOWN)},
    {"unknown", BIT(FINDING_UNKNOWN)},
    {"left", BIT(FINDING_LEFT)},
    {"duplicate", BIT(FINDING_DUPLICATE)},
    {"misuse", BIT(FINDING_MISUSE)},
    {"budget", BIT(FINDING_BUDGET)},
    {"none", 0},
};

bool gate_kinds(const char *word, unsigned *bits) {
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i].word, word) == 0) {
            *bits = words[i].bits;
            return true;
        }
    }
    return false;
}

bool gate_fail_on(const char *list, unsigned *bits, char *why, size_t size) {
    *bits = 0;
    size_t count = 0;
    bool none = false;
    while (*list) {
        char word[32];
        size_t length = strcspn(list, ",");
        unsigned more = 0;
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), list);
        if (!gate_kinds(word, &more)) {
            snprintf(why, size,
                     "--fail-on: there is no %s; accepted are leak, lost, held, unknown, left, duplicate, "
                     "misuse, budget, separated by commas, or none",
                     *word ? word : "empty word");
            return false;
        }
        *bits |= more;
        none = none || more == 0;
        count++;
        list += length;
        if (*list == ',' && *++list == '\0')
            count = 0; /* an empty word at the end is as wrong as one in the middle */
    }
    if (count == 0 || (none && count > 1)) {
        snprintf(why, size, "--fail-on: %s",
                 none ? "none stands alone" : "there is an empty word; none means that nothing fails");
        return false;
    }
    return true;
}

/* Two lines of one function, or lost in one process and held in another, count together. */
static void compare(const struct gate *gate, struct finding *finding, const struct finding *findings,
                    size_t count) {
    uint64_t found = 0;
    finding->known = baseline_minds(finding) ? baseline_count(gate->baseline, finding->identity) : 0;
    for (size_t i = 0; finding->known && i < count; i++)
        if (baseline_minds(&findings[i]) && strcmp(findings[i].identity, finding->identity) == 0)
            found += findings[i].count;
    finding->is_known = finding->known && found <= finding->known;
    finding->grown = finding->known && found > finding->known ? found - finding->known : 0;
}

void gate_judge(struct gate *gate, struct finding *findings, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!findings[i].is_note)
            findings[i].suppressed_by = suppressions_match(gate->suppressions, &findings[i]);
    for (size_t i = 0; i < count; i++) {
        struct finding *finding = &findings[i];
        compare(gate, finding, findings, count);
        finding->fails = (gate->fail_on & BIT(finding->kind)) && !finding->is_note &&
                         !finding->suppressed_by && !finding->is_known;
    }
}
