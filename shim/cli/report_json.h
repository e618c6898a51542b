/* report_json.h: the report for programs. Its form is documented in pqone.1, member by member. */
#ifndef PQONE_REPORT_JSON_H
#define PQONE_REPORT_JSON_H

#include "reports.h"

/* The version of the document (`pqone_report`). */
enum { REPORT_JSON_VERSION = 1 };

bool report_json(FILE *out, const struct report *report);

#endif
