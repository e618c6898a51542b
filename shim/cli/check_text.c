/* check_text.c: what a check found, as text for people. */
#include <inttypes.h>
#include <string.h>

#include "check_text.h"
#include "verdicts.h"

bool check_text(FILE *out, const struct report *report) {
    const struct verdicts *verdicts = report->verdicts;
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        char place[1024];
        fprintf(out, "pqone: %s %s: %" PRIu64 ", %s, opened at %s\n", finding->fails ? "FAIL" : "note",
                finding_word(finding->kind), finding->count, finding->says,
                frame_text(stack_first(&finding->opened), place, sizeof place));
    }
    return !ferror(out);
}
