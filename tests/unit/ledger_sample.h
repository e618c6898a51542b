/* ledger_sample.h: ledgers made by hand, for tests of those who read them. */
#ifndef PQONE_LEDGER_SAMPLE_H
#define PQONE_LEDGER_SAMPLE_H

#include <stddef.h>

#include "../../shim/watch/ledger.h"

/* An empty ledger of a process that opened it ten seconds after boot and is gone; the caller frees. */
struct ledger_header *sample_ledger(int pid);

/* The next row of a table, zero, counted as used. */
struct ledger_module *sample_module(struct ledger_header *header, const char *path);
struct ledger_site *sample_site(struct ledger_header *header, const char *name);
struct ledger_target *sample_target(struct ledger_header *header, const char *name);
/* An open handle; `site` and `target` are rows. */
struct ledger_handle *sample_handle(struct ledger_header *header, unsigned site, unsigned target);
struct ledger_server *sample_server(struct ledger_header *header, int backend_pid, unsigned target);

/* One misuse of a handle that was opened at `site`; the kind is a number of misuse.h. */
struct ledger_misuse *sample_misuse(struct ledger_header *header, unsigned kind, unsigned site);
/* Makes `site` a script's: a line FILE TAB LINE TAB FUNCTION NEWLINE for each frame. */
void sample_script(struct ledger_header *header, struct ledger_site *site, enum ledger_language language,
                   const char *lines);

/* Nanoseconds. */
#define SAMPLE_SECOND INT64_C(1000000000)
#define SAMPLE_OPENED (10 * SAMPLE_SECOND)

#endif
