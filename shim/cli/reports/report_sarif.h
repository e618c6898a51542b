/*
 * report_sarif.h: the report as SARIF 2.1.0, for code scanning.
 *
 * A rule for each kind of finding, a result for each finding. Paths are relative to %SRCROOT%
 * (source_path.h); `stacks` have every frame, `codeFlows` the way down to the call, of the frames that have a
 * line. A result is found again by partialFingerprints, which hold what a baseline holds.
 */
#ifndef PQONE_REPORT_SARIF_H
#define PQONE_REPORT_SARIF_H

#include "reports.h"

bool report_sarif(FILE *out, const struct report *report);

#endif
