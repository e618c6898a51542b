/* html_tables.h: the tables of the HTML report. They read without a script; tables.js makes them sortable. */
#ifndef PQONE_HTML_TABLES_H
#define PQONE_HTML_TABLES_H

#include "../verdicts/verdicts.h"
#include "call_sites.h"
#include "reports.h"

struct html_tables {
    FILE *out;
    const struct report *report;
    const struct verdicts *verdicts;
    const struct call_sites *sites;
};

void html_findings(const struct html_tables *tables);
void html_call_sites(const struct html_tables *tables);
void html_targets(const struct html_tables *tables);
void html_processes(const struct html_tables *tables);

#endif
