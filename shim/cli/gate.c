/* gate.c: which findings fail a check. */
#include "gate.h"

#include <stdio.h>
#include <string.h>

#define BIT(kind) (1u << (kind))

static const struct {
    const char *word;
    unsigned bits;
} words[] = {
    {"leak", BIT(FINDING_LOST) | BIT(FINDING_HELD) | BIT(FINDING_UNKNOWN)},
    {"lost", BIT(FINDING_LOST)},
    {"held", BIT(FINDING_HELD) | BIT(FINDING_UNKNOWN)},
    {"left", BIT(FINDING_LEFT)},
    {"duplicate", BIT(FINDING_DUPLICATE)},
    {"misuse", BIT(FINDING_MISUSE)},
    {"budget", BIT(FINDING_BUDGET)},
    {"none", 0},
};

bool gate_fail_on(const char *list, unsigned *bits, char *why, size_t size) {
    *bits = 0;
    size_t count = 0;
    bool none = false;
    while (*list) {
        size_t length = strcspn(list, ","), at = 0;
        while (at < sizeof words / sizeof *words &&
               (strlen(words[at].word) != length || memcmp(words[at].word, list, length) != 0))
            at++;
        if (at == sizeof words / sizeof *words) {
            snprintf(why, size, "--fail-on: there is no %.*s", length > 60 ? 60 : (int)length, list);
            return false;
        }
        *bits |= words[at].bits;
        none = none || words[at].bits == 0;
        count++;
        list += length + (list[length] == ',');
    }
    if (count == 0 || (none && count > 1)) {
        snprintf(why, size, "--fail-on: %s",
                 count ? "none stands alone" : "the list is empty; none means that nothing fails");
        return false;
    }
    return true;
}

void gate_judge(struct gate *gate, struct finding *findings, size_t count) {
    for (size_t i = 0; gate && i < count; i++) {
        struct finding *finding = &findings[i];
        finding->fails = (gate->fail_on & BIT(finding->kind)) && !finding->is_note &&
                         !finding->suppressed_by && !finding->is_known;
    }
}
