/*
 * timeline.h: the spans of all processes as one JSON document, which the page's script reads.
 *
 * {"length": µs, "budget": N, "processes": [...], "sites": [...], "targets": [...], "statements": [...],
 *  "handles": [[...]...], "busy": [[...]...]}; lanes.js says what a handle's row and its busy parts hold.
 * Times are whole microseconds since the first process began.
 */
#ifndef PQONE_TIMELINE_H
#define PQONE_TIMELINE_H

#include "call_sites.h"
#include "reports.h"

struct timeline;

/* Puts the spans in order. NULL: no memory. */
struct timeline *timeline_new(const struct report *report, const struct call_sites *sites);
void timeline_free(struct timeline *timeline);

/* How many handles it has; processes that were not traced, ran out of room, or found none for a timeline. */
size_t timeline_handles(const struct timeline *timeline);

/* The targets of all processes, each name once. */
uint32_t timeline_targets(const struct timeline *timeline, const char *const **names);

/* Writes the document; what is a stranger's word in it cannot end the script element. */
void timeline_write(FILE *out, const struct timeline *timeline, uint64_t budget);

/* "exited", "killed by SIGKILL", ... Returns `into`. */
char *timeline_fate(const struct ledger *ledger, char *into, size_t size);

#endif
