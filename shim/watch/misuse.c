/* misuse.c: counts, writes down and logs what breaks libpq's contract. */
#include "misuse.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "../settings.h"
#include "call_site.h"
#include "log.h"
#include "recorder.h"
#include "watch.h"

enum weight { FINDING, NOTE };

static const struct misuse_row rows[] = {
#define MISUSE(name, word, weight, says, advice) [MISUSE_##name] = {word, says, advice, weight == NOTE},
#include "misuse.def"
#undef MISUSE
};

const struct misuse_row *misuse_row(uint32_t kind) {
    return kind > MISUSE_NONE && kind < MISUSES ? &rows[kind] : NULL;
}

void misuse_found(enum misuse kind, const struct misused *what, uint32_t place, uint64_t count) {
    int error = errno;
    const struct misuse_row *about = &rows[kind];
    struct ledger_misuse *row = recorder_misuse(kind, what->site, place);
    bool named = what->function && !strstr(about->says, what->function);
    char here[16], there[16], times[32] = "";
    if (!about->is_note)
        atomic_fetch_add(&recorder()->counters.misuse, count);
    if (row && count > 1)
        atomic_fetch_add(&row->count, count - 1);
    watch_lock(WATCH_RECORDER);
    if (row && row->target == UINT32_MAX) {
        row->target = what->target;
        row->handle = what->handle;
        snprintf(row->function, sizeof row->function, "%s", what->function ? what->function : "");
    }
    watch_unlock(WATCH_RECORDER);
    if (about->is_note) { /* psycopg2 makes one with every close(): the report says it, once */
        errno = error;
        return;
    }
    if (count > 1)
        snprintf(times, sizeof times, "%llu times ", (unsigned long long)count);
    log_event(LOG_MISUSE, place == UINT32_MAX ? LOG_NOWHERE : place, (uint32_t)kind,
              "%s%s%s%s%s, for %s, at %s; its handle was opened at %s; %s", times, about->says,
              named ? " (" : "", named ? what->function : "", named ? ")" : "",
              what->name ? what->name : "an unknown target", log_site(place, here),
              log_site(what->site, there), about->advice);
    errno = error;
}

void misuse_happened(enum misuse kind, const struct misused *what, void *caller) {
    bool unknown = !caller && settings()->stack == 1; /* without a stack there is only the caller */
    misuse_found(kind, what, unknown ? CALL_SITE_NONE : call_site_here(caller), 1);
}
