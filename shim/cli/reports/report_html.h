/* report_html.h: the report as one page that needs nothing else: style, scripts and data are inside. */
#ifndef PQONE_REPORT_HTML_H
#define PQONE_REPORT_HTML_H

#include "reports.h"

bool report_html(FILE *out, const struct report *report);

#endif
