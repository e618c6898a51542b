/* report_json.h: the report for programs. Its form is documented in pqone.1, member by member. */
#ifndef PQONE_REPORT_JSON_H
#define PQONE_REPORT_JSON_H

#include "reports.h"

/* The versions of the document (`pqone_report`) and of its member `check`. */
enum { REPORT_JSON_VERSION = 1, REPORT_JSON_CHECK_VERSION = 1 };

/* `check` is null where `report->verdicts` is NULL. */
bool report_json(FILE *out, const struct report *report);

#endif
