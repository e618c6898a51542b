/* check_text.h: what a check found, as text for people. */
#ifndef PQONE_CHECK_TEXT_H
#define PQONE_CHECK_TEXT_H

#include "reports.h"

/* A report_format's writer, of a report that has verdicts. */
bool check_text(FILE *out, const struct report *report);

#endif
