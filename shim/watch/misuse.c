/* misuse.c: counts, writes down and logs what breaks libpq's contract. */
#include "misuse.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "call_site.h"
#include "log.h"
#include "recorder.h"

enum weight { FINDING, NOTE };

static const struct misuse_row rows[] = {
#define MISUSE(name, word, weight, says, advice) [MISUSE_##name] = {word, says, advice, weight == NOTE},
#include "misuse.def"
#undef MISUSE
};

const struct misuse_row *misuse_row(uint32_t kind) {
    return kind > MISUSE_NONE && kind < MISUSES ? &rows[kind] : NULL;
}

void misuse_happened(enum misuse kind, const struct misused *what, void *caller) {
    int error = errno;
    uint32_t place = call_site_here(caller);
    struct ledger_misuse *row = recorder_misuse(kind, what->site, place);
    char here[16], there[16];
    if (!rows[kind].is_note)
        atomic_fetch_add(&recorder()->counters.misuse, 1);
    if (row && row->target == UINT32_MAX) {
        row->target = what->target;
        row->handle = what->handle;
        snprintf(row->function, sizeof row->function, "%s", what->function);
    }
    log_event(LOG_MISUSE, place, (uint32_t)kind, "%s, for %s, at %s; opened at %s; %s", rows[kind].says,
              what->name ? what->name : "an unknown target", log_site(place, here),
              log_site(what->site, there), rows[kind].advice);
    errno = error;
}
