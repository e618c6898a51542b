/*
 * spans.h: with PQONE_TRACE, when each handle was alive and when it was busy: the timeline of a report.
 *
 * A handle's spans are written by whoever uses the handle, one thread at a time, as its other fields are.
 * Busy parts less than SPANS_GAP apart become one, so that a loop of short queries does not fill the table;
 * not if another handle became busy in between, for then the two would look as if they had been busy at once.
 */
#ifndef PQONE_SPANS_H
#define PQONE_SPANS_H

#include <stdbool.h>

#include "recorder.h"

/* Nanoseconds. Once half of their room is used, busy parts so close are joined whoever came in between. */
#define SPANS_GAP INT64_C(1000000)

/* What a handle keeps; all zero at first, and again in a forked child. */
struct spans {
    struct ledger_span *alive, *busy; /* NULL: there was none, or no room */
    bool begun;
};

/* Whose it is; indexes into the ledger, UINT32_MAX for what is not known. */
struct span_owner {
    uint64_t number;
    uint32_t site, target;
};

/* The one branch that everybody pays; what follows is called only if it is true. */
static inline bool spans_wanted(const struct ledger_header *ledger) {
    return __builtin_expect(ledger->traced != 0, 0);
}

/* The handle is there: OPEN or FAILED, or INHERITED by a fork and now used here. */
void spans_open(struct spans *spans, struct span_owner owner, enum ledger_handle_state state);
/* It turned out to be something else: FAILED, LEFT or HANDED. */
void spans_became(struct spans *spans, enum ledger_handle_state state);
/* It is gone, and a busy part ends with it. */
void spans_close(struct spans *spans);

/* It holds a lease; it does not any more. One that was not
 * opened in this process begins here, as INHERITED. */
void spans_busy(struct spans *spans, struct span_owner owner);
void spans_idle(struct spans *spans);

#endif
