/* outcome.c: how a check ended. */
#include "outcome.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../commands.h"
#include "../reports/findings.h"

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

/* What a gate counts together, and what --fail-on calls it. */
static const struct group {
    enum finding_kind first, last;
    const char *one, *many, *word;
} groups[] = {
    {FINDING_LOST, FINDING_UNKNOWN, "leaked handle", "leaked handles", "leak"},
    {FINDING_MISUSE, FINDING_MISUSE, "misuse", "misuses", "misuse"},
    {FINDING_BUDGET, FINDING_BUDGET, "target over its budget", "targets over their budget", "budget"},
    {FINDING_DUPLICATE, FINDING_DUPLICATE, "duplicate", "duplicates", "duplicate"},
    {FINDING_LEFT, FINDING_LEFT, "handle left to a runtime's shutdown",
     "handles left to a runtime's shutdown", "left"},
};
enum { GROUPS = sizeof groups / sizeof *groups, RUNNING_TOLD = 3 };

/* Those that fail, or those that are neither accepted nor fail. */
static uint64_t count_group(const struct verdicts *verdicts, const struct group *group, bool failing) {
    uint64_t count = 0;
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        bool accepted = finding->is_note || finding->is_known || finding->suppressed_by;
        if (finding->kind >= group->first && finding->kind <= group->last &&
            (failing ? finding->fails : !finding->fails && !accepted))
            count += finding->kind == FINDING_BUDGET ? 1 : finding->count;
    }
    return count;
}

/* "2 leaked handles, 1 misuse" of what fails, or of what does not. Returns how many things that are. */
static uint64_t put_groups(FILE *out, const struct verdicts *verdicts, bool failing) {
    const char *between = "";
    uint64_t all = 0;
    for (size_t i = 0; i < GROUPS; i++) {
        uint64_t count = count_group(verdicts, &groups[i], failing);
        if (count == 0)
            continue;
        fprintf(out, "%s%" PRIu64 " %s", between, count, count == 1 ? groups[i].one : groups[i].many);
        between = ", ";
        all += count;
    }
    return all;
}

/* A check that passes is not one that found nothing. */
static void put_passed(FILE *out, const struct verdicts *verdicts) {
    const char *between = "";
    uint64_t all = put_groups(out, verdicts, false);
    if (all == 0) {
        fputs("nothing that fails the check was found", out);
        return;
    }
    fprintf(out, " %s not fail it (--fail-on ", all == 1 ? "does" : "do");
    for (size_t i = 0; i < GROUPS; i++) {
        if (count_group(verdicts, &groups[i], false) == 0)
            continue;
        fprintf(out, "%s%s", between, groups[i].word);
        between = ",";
    }
    fputs(" would)", out);
}

/* ", but 1 process was still running and was not judged: svc[4711] with 4 handles" */
static void put_running(FILE *out, const struct verdicts *verdicts, bool passed) {
    size_t count = verdicts->running_count;
    uint64_t handles = 0;
    if (count == 0)
        return;
    fprintf(out, "%s%zu process%s still running and %s not judged: ", passed ? ", but " : "; ", count,
            count == 1 ? " was" : "es were", count == 1 ? "was" : "were");
    for (size_t i = 0; i < count && i < RUNNING_TOLD; i++) {
        const struct running *running = &verdicts->running[i];
        const char *slash = strrchr(running->program, '/');
        fprintf(out, "%s%s[%d]", i ? ", " : "", slash && slash[1] ? slash + 1 : running->program,
                (int)running->pid);
        handles += running->handles;
        if (running->handles)
            fprintf(out, " with %" PRIu64 " handle%s", running->handles, running->handles == 1 ? "" : "s");
    }
    /* What it took over from a parent and has not touched yet is in no ledger of its own. */
    if (handles == 0 && verdicts->totals.unjudged)
        fprintf(out, " with %" PRIu64 " handle%s", verdicts->totals.unjudged,
                verdicts->totals.unjudged == 1 ? "" : "s");
    if (count > RUNNING_TOLD)
        fprintf(out, " and %zu more", count - RUNNING_TOLD);
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
        put_groups(out, verdicts, true);
    else if (problems->fatal)
        fputs(outcome->program_status ? "not everything could be watched"
                                      : "not everything could be watched, so nothing is proved",
              out);
    else if (!outcome->program_status)
        put_passed(out, verdicts);
    put_running(out, verdicts, !verdicts->failing && !problems->fatal && !outcome->program_status);
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
