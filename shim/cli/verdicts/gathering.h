/* gathering.h: findings while they are put together: what reads the same becomes one. */
#ifndef PQONE_GATHERING_H
#define PQONE_GATHERING_H

#include "verdicts.h"

struct gathering;

/* What a finding is grouped by, and what it says. Rows are those of the ledger at hand. */
struct occurrence {
    enum finding_kind kind;
    const struct misuse_row *misuse;
    uint32_t opened, place, target; /* rows, LEDGER_ROW_NONE for none */
    const char *says, *advice, *function;
    uint64_t count;
};

/* NULL: no memory. `symbols` outlives it. */
struct gathering *gathering_new(struct symbols *symbols);

/* The ledger whose rows follow. */
void gathering_begin(struct gathering *gathering, const struct ledger *ledger);

/* Adds it to the finding that reads the same, or makes one. NULL: no memory. The finding may move with the
 * next call. */
struct finding *gathering_add(struct gathering *gathering, const struct occurrence *occurrence);

/* The stack of a row of the ledger at hand, as text, a line for each frame; "" for none. NULL: no memory. */
const char *gathering_site_text(struct gathering *gathering, uint32_t site);

/* Hands the findings over, with their identities, and frees everything else. False: memory ran out somewhere
 * on the way; nothing is handed over. */
bool gathering_end(struct gathering *gathering, struct finding **findings, size_t *count);

#endif
