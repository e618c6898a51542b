/* proposals.h: lines for --suppressions that would silence what failed a check. */
#ifndef PQONE_PROPOSALS_H
#define PQONE_PROPOSALS_H

#include <stdio.h>

#include "verdicts.h"

/* A line that suppresses the finding and as few of the `count` others as can be, among which it may be
 * itself. To be freed; NULL: no memory, or nothing is known to name it by. */
char *proposal_for(const struct finding *finding, const struct finding *others, size_t count);

/* A line for each finding that fails, once, with the stacks that it is meant for as comments above it. False:
 * no memory. */
bool proposals_put(FILE *out, const struct verdicts *verdicts);

#endif
