/* summary.h: what happened, over one or more ledgers, as text for people or JSON for programs. */
#ifndef PQONE_SUMMARY_H
#define PQONE_SUMMARY_H

#include <stdbool.h>
#include <stdio.h>

#include "ledger_reader.h"
#include "symbols.h"

/* The version of the JSON form; the man page says what it holds. */
enum { SUMMARY_JSON_VERSION = 1 };

/* Writes a block per process that has something to say, with a line over all of them if there are several. */
void summary_text(FILE *out, const struct ledger *ledgers, size_t count, struct symbols *symbols,
                  bool colour);

/* The same facts, complete, as one JSON document and a newline. False: no memory. */
bool summary_json(FILE *out, const struct ledger *ledgers, size_t count, struct symbols *symbols);

#endif
