/* unwatched.c: what a check could not see. */
#include "unwatched.h"

#include <string.h>

static void look_at(const struct ledger *ledger, bool fatal, struct problems *into) {
    const struct ledger_header *header = &ledger->header;
    uint32_t notes = header->notes;
    if (notes & LEDGER_NOTE_OFF)
        problem_add(into, fatal, "pqone was switched off in process %d (%s) by its own environment",
                    (int)header->pid, header->program);
    else if (header->mode[0] && strcmp(header->mode, "observe") != 0)
        problem_add(into, fatal,
                    "process %d (%s) ran in mode %s, which its own environment asked for: what it shared "
                    "cannot be judged",
                    (int)header->pid, header->program, header->mode);
    if (notes & LEDGER_NOTE_ROAD)
        problem_add(into, fatal,
                    "process %d (%s) reached libpq on a road that pqone could not take; the log says which",
                    (int)header->pid, header->program);
}

void unwatched_find(const struct launch *launch, const struct ledger_list *list, struct problems *into) {
    bool fatal = !launch->options.check.allow_unused, loaded = false;
    uint64_t opened = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        look_at(ledger, fatal, into);
        opened += ledger->header.counters.handles_opened;
        loaded = loaded || ledger->header.notes & LEDGER_NOTE_BYPASSED || ledger->header.libpq[0];
        for (uint32_t row = 0; row < ledger->handle_count; row++)
            opened += ledger->handles[row].state != LEDGER_HANDLE_FREE;
    }
    if (opened || into->count)
        return;
    problem_add(into, fatal,
                loaded ? "libpq was loaded, but no connect came through pqone: none was made, or it went "
                         "another way"
                       : "libpq was never used, as far as libpqone.so could see: there was nothing to check");
}
