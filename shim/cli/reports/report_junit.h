/*
 * report_junit.h: the report as JUnit XML: a test case for each call site that opened handles.
 *
 * A case is named by its file (or module) and function:line, without callers, so that a CI system follows it
 * from run to run; it fails if a finding there fails the check, and is skipped if all that would were
 * suppressed. The form is the one that both Ant's and Jenkins's schemas take, so stacks stand in the failure
 * and in the suite's system-out, and what stands in no call site (a budget) is a case of its own.
 */
#ifndef PQONE_REPORT_JUNIT_H
#define PQONE_REPORT_JUNIT_H

#include "reports.h"

bool report_junit(FILE *out, const struct report *report);

#endif
