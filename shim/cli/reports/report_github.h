/*
 * report_github.h: annotations of a GitHub Actions step, and its summary.
 *
 * One workflow command a line: the summary first, then the findings, loudest first, within what GitHub shows
 * of a step (ten errors, ten warnings, ten notices); the rest is counted in the summary. What is suppressed
 * or in the baseline is not annotated. Where $GITHUB_STEP_SUMMARY is set, all of it goes there too, as
 * Markdown.
 */
#ifndef PQONE_REPORT_GITHUB_H
#define PQONE_REPORT_GITHUB_H

#include "reports.h"

bool report_github(FILE *out, const struct report *report);

#endif
