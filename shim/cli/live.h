/* live.h: the look into a running process: does anything in it still point at its open handles? */
#ifndef PQONE_LIVE_H
#define PQONE_LIVE_H

#include "ledger_reader.h"

/* Reads the ledger of a running process again and fills in the verdicts of its open handles. The process is
 * stopped for it, some milliseconds for most; where that is not allowed but its memory can be read, it is
 * searched twice while it runs, and only what was missed both times is lost. False: the verdicts stay
 * unknown, and `why` is one sentence without a name in front. Nothing to look for is true. */
bool live_look(struct ledger *ledger, char *why, size_t size);

#endif
