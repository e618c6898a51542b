/* reports.h: writes the reports that were asked for, each in its format to its place. */
#ifndef PQONE_REPORTS_H
#define PQONE_REPORTS_H

#include <stdbool.h>

#include "ledger_files.h"
#include "options.h"

/* Can the files of the reports be written? Asked before the program starts, and leaves nothing behind. False:
 * `why` holds one sentence. */
bool reports_can_be_written(const struct options *options, char *why, size_t size);

/* Without any --report: text. Those without a file go to `descriptor`. False, and said: one of them could
 * not be written. */
bool reports_write(const struct options *options, const struct ledger_list *list, int descriptor);

#endif
