/* unwatched.h: what a check could not see, so that no absence is silent. */
#ifndef PQONE_UNWATCHED_H
#define PQONE_UNWATCHED_H

#include "../launch.h"
#include "outcome.h"

/* After the run: a sentence for all that was out of sight. --allow-unused makes them harmless. */
void unwatched_find(const struct launch *launch, const struct ledger_list *list, struct problems *into);

#endif
