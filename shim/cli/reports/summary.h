/* summary.h: what happened, over one or more ledgers, as text for people; and each process as JSON. */
#ifndef PQONE_SUMMARY_H
#define PQONE_SUMMARY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "../ledger_reader.h"
#include "../symbols/stack.h"
#include "../symbols/symbols.h"

/* Writes a block per process that has something to say, with a line over all of them if there are several. */
void summary_text(FILE *out, const struct ledger *ledgers, size_t count, struct symbols *symbols,
                  bool colour);

/* The same facts of one process, complete: an element of `processes` in the JSON report. NULL: no memory. */
json_t *summary_json(const struct ledger *ledger, struct symbols *symbols);

/* A frame of a stack, in every part of the JSON report. */
json_t *summary_json_frame(const struct frame *frame);

#endif
