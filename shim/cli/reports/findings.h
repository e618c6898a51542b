/*
 * findings.h: what a ledger's rows mean, once for the text and the JSON report.
 *
 * Handles and duplicates are gathered by call site as a person reads it: two stacks with the same text
 * are one place.
 */
#ifndef PQONE_FINDINGS_H
#define PQONE_FINDINGS_H

#include "../symbols/symbols.h"

/* A call site with all that happened there. */
struct place {
    char text[1024]; /* innermost frame, then up to two callers */
    uint32_t site;   /* a row with this text, LEDGER_ROW_NONE if the site is unknown */
    uint64_t opened, duplicates, pins;
    uint64_t unfinished, never_connected; /* handles; the second are among the first */
    uint64_t lost, held;                  /* likewise; of the others nobody knows */
    int64_t oldest_opened, last_used;     /* of the unfinished ones, CLOCK_MONOTONIC */
    uint32_t target;                      /* of an unfinished one */
    uint32_t pin;                         /* of an unfinished one that is pinned */
};

enum fate { FATE_ALIVE, FATE_EXITED, FATE_EXECED, FATE_KILLED };

struct findings {
    struct place *places;
    size_t place_count;
    uint64_t unfinished; /* handles, those without a row included */
    uint64_t inherited;  /* handles that came by fork and were never used */
    size_t duplicate_places;
    uint64_t needed; /* server connections that would have done, summed over targets */
    enum fate fate;  /* killed: ended without exit() or exec, by a signal or _exit */
};

/* False: no memory. */
bool findings_gather(const struct ledger *ledger, struct symbols *symbols, struct findings *into);
void findings_release(struct findings *findings);

/* Server connections that would have done, summed over the targets of one process. */
uint64_t findings_needed(const struct ledger *ledger);

/* Statements of finished and unfinished handles. */
uint64_t findings_statements(const struct ledger *ledger);

/* Is there anything beyond the counters that a person should read? */
bool findings_matter(const struct ledger *ledger, const struct findings *findings);

/* "SIGKILL". Returns `into`. */
char *findings_signal(int signal, char *into, size_t size);

/* later - earlier, for times that a damaged file may have made absurd; never negative. */
int64_t findings_span(int64_t earlier, int64_t later);

#endif
