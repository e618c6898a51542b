/* outcome.h: how a check ended: its exit status, and the sentence that says why. */
#ifndef PQONE_OUTCOME_H
#define PQONE_OUTCOME_H

#include "../check_options.h"
#include "../reports/reports.h"
#include "suppressions.h"

/* Sentences about what could not be watched. */
struct problems {
    char **sentences;
    size_t count;
    bool fatal; /* one of them takes the verdict its worth */
};

/* Notes a sentence; `fatal`: the check cannot be passed because of it. */
void problem_add(struct problems *problems, bool fatal, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problems_release(struct problems *problems);

/* `wait_status` is the program's, as waitpid has it. Its own failure comes first, then findings, then that
 * something could not be watched. What the outcome points to belongs to the arguments, and to itself until
 * outcome_release. */
void outcome_decide(struct outcome *outcome, int wait_status, const struct verdicts *verdicts,
                    const struct problems *problems, const struct check_options *options,
                    const struct suppressions *suppressions);
void outcome_release(struct outcome *outcome);

#endif
