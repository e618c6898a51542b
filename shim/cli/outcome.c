/* outcome.c: how a check ended. */
#include "outcome.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "commands.h"
#include "findings.h"

void problem_add(struct problems *problems, bool fatal, const char *format, ...) {
    va_list arguments;
    char *sentence = NULL;
    va_start(arguments, format);
    int length = vasprintf(&sentence, format, arguments);
    va_end(arguments);
    problems->fatal = problems->fatal || fatal;
    char **more =
        length < 0 ? NULL : realloc(problems->sentences, (problems->count + 1) * sizeof *problems->sentences);
    if (!more) {
        if (length >= 0)
            free(sentence);
        return;
    }
    problems->sentences = more;
    problems->sentences[problems->count++] = sentence;
}

void problems_release(struct problems *problems) {
    for (size_t i = 0; i < problems->count; i++)
        free(problems->sentences[i]);
    free(problems->sentences);
    memset(problems, 0, sizeof *problems);
}

/* "2 leaks, 1 misuse" of what fails. */
static void put_failing(FILE *out, const struct verdicts *verdicts) {
    static const struct {
        enum finding_kind first, last;
        const char *one, *many;
    } groups[] = {
        {FINDING_LOST, FINDING_UNKNOWN, "leaked handle", "leaked handles"},
        {FINDING_MISUSE, FINDING_MISUSE, "misuse", "misuses"},
        {FINDING_BUDGET, FINDING_BUDGET, "target over its budget", "targets over their budget"},
        {FINDING_DUPLICATE, FINDING_DUPLICATE, "duplicate", "duplicates"},
        {FINDING_LEFT, FINDING_LEFT, "handle left to a runtime's shutdown",
         "handles left to a runtime's shutdown"},
    };
    const char *between = "";
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        uint64_t count = 0;
        for (size_t j = 0; j < verdicts->count; j++) {
            const struct finding *finding = &verdicts->findings[j];
            if (finding->fails && finding->kind >= groups[i].first && finding->kind <= groups[i].last)
                count += finding->kind == FINDING_BUDGET ? 1 : finding->count;
        }
        if (count == 0)
            continue;
        fprintf(out, "%s%" PRIu64 " %s", between, count, count == 1 ? groups[i].one : groups[i].many);
        between = ", ";
    }
}

static void put_why(FILE *out, const struct outcome *outcome, int signal, const struct verdicts *verdicts,
                    const struct problems *problems) {
    char name[32];
    if (signal)
        fprintf(out, "the program was ended by %s", findings_signal(signal, name, sizeof name));
    else if (outcome->program_status)
        fprintf(out, "the program itself ended with status %d", outcome->program_status);
    if (outcome->program_status && (verdicts->failing || problems->fatal))
        fputs("; besides, ", out);
    if (verdicts->failing)
        put_failing(out, verdicts);
    else if (problems->fatal)
        fputs(outcome->program_status ? "not everything could be watched"
                                      : "not everything could be watched, so nothing is proved",
              out);
    else if (!outcome->program_status)
        fputs("nothing that fails the check was found", out);
}

void outcome_decide(struct outcome *outcome, int wait_status, const struct verdicts *verdicts,
                    const struct problems *problems, const struct check_options *options,
                    const struct suppressions *suppressions) {
    int signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    int program_status = signal ? 128 + signal : WEXITSTATUS(wait_status);
    *outcome = (struct outcome){.program_status = program_status,
                                .problems = (const char *const *)problems->sentences,
                                .problem_count = problems->count,
                                .has_baseline = options->baseline != NULL,
                                .baseline = options->baseline,
                                .written_baseline = options->write_baseline};
    bool found = verdicts->failing > 0;
    outcome->decided_by = program_status    ? "program"
                          : found           ? "findings"
                          : problems->fatal ? "pqone"
                                            : "nothing";
    outcome->status = program_status    ? program_status
                      : found           ? options->exit_code
                      : problems->fatal ? EXIT_PQONE
                                        : 0;
    char *why = NULL;
    size_t size;
    FILE *out = open_memstream(&why, &size);
    if (out) {
        put_why(out, outcome, signal, verdicts, problems);
        if (fclose(out) != 0)
            why = NULL;
    }
    outcome->why = why ? why : strdup("");
    outcome->suppression_count = suppressions_count(suppressions);
    struct suppression_use *uses = calloc(outcome->suppression_count + 1, sizeof *uses);
    if (!uses)
        outcome->suppression_count = 0;
    for (size_t i = 0; i < outcome->suppression_count; i++)
        uses[i].pattern = suppressions_line(suppressions, i, &uses[i].hits);
    outcome->suppressions = uses;
}

void outcome_release(struct outcome *outcome) {
    free((char *)outcome->why);
    free((struct suppression_use *)outcome->suppressions);
}
