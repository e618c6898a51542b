/* check.c: `pqone check`: the program unchanged, watched, and judged at its end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "launch.h"
#include "library.h"
#include "program.h"
#include "reports/reports.h"
#include "say.h"
#include "verdicts/baseline.h"
#include "verdicts/gate.h"
#include "verdicts/outcome.h"
#include "verdicts/proposals.h"
#include "verdicts/unwatched.h"

/* One check from its options to its exit status. */
struct check {
    struct launch launch;
    struct gate gate;
    struct ledger_list list;
    struct symbols *symbols;
    struct verdicts verdicts;
    struct problems problems;
    int proposals; /* where --gen-suppressions goes; -1: a file that is still to be opened */
};

static int refuse(const char *why) {
    say("%s", why);
    return EXIT_PQONE;
}

static bool is_one(const char *name, const char *other) {
    return other && strcmp(name, other) == 0;
}

/* The launcher gives its standard output up while the program runs, so there a copy is kept. */
static bool prepare_proposals(struct check *check, char *why, size_t size) {
    const struct options *options = &check->launch.options;
    const char *name = options->check.gen_suppressions;
    bool to_output = strcmp(name, "-") == 0;
    check->proposals = STDERR_FILENO;
    if (!*name)
        return true;
    if (reports_go_to(options, to_output ? "/dev/stdout" : name)) {
        snprintf(why, size, "the suppressions of this run and a report cannot go to one file, %.512s", name);
        return false;
    }
    if (is_one(name, options->check.suppressions) || is_one(name, options->check.write_baseline)) {
        snprintf(why, size, "the suppressions of this run would overwrite %.512s; another file, please",
                 name);
        return false;
    }
    check->proposals = to_output ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
    if (to_output ? check->proposals >= 0 : reports_file_can_be_written(name))
        return true;
    snprintf(why, size, "the suppressions %.512s cannot be written: %s", name, strerror(errno));
    return false;
}

/* Everything that can refuse comes before the first trace on disk. */
static bool prepare(struct check *check, char *why, size_t size) {
    struct options *options = &check->launch.options;
    const struct check_options *own = &options->check;
    check->gate.fail_on = own->fail_on;
    check->gate.budget = own->budget;
    if (!library_find(check->launch.library, sizeof check->launch.library, why, size) ||
        !reports_prepare(options, why, size) ||
        (own->write_baseline && !baseline_can_be_written(own->write_baseline, why, size)))
        return false;
    if (own->write_baseline && reports_go_to(options, own->write_baseline)) {
        snprintf(why, size, "the baseline and a report cannot go to one file, %.512s", own->write_baseline);
        return false;
    }
    if (own->gen_suppressions && !prepare_proposals(check, why, size))
        return false;
    if (own->suppressions && !(check->gate.suppressions = suppressions_read(own->suppressions, why, size)))
        return false;
    if (own->baseline && !(check->gate.baseline = baseline_read(own->baseline, why, size)))
        return false;
    return true;
}

/* A check that cannot see into the program is no check. False: `why` holds one sentence. */
static bool is_in_reach(struct check *check, char *why, size_t size) {
    bool allowed = check->launch.options.check.allow_unused;
    if (launch_is_off(&check->launch)) {
        snprintf(why, size,
                 "pqone is switched off (mode off or PQONE_DISABLE), so there is nothing to check");
        if (!allowed)
            return false;
        problem_add(&check->problems, false, "%s", why);
    } else if (program_is_out_of_reach(check->launch.options.rest[0], why, size)) {
        if (!allowed)
            return false;
        problem_add(&check->problems, false, "%s", why);
    }
    return true;
}

/* What is written there is accepted: the first run of a project with leaks has to end well. */
static void write_baseline(struct check *check) {
    const char *path = check->launch.options.check.write_baseline;
    struct verdicts *verdicts = &check->verdicts;
    char why[PATH_MAX + 256];
    if (!path)
        return;
    if (!baseline_write(path, verdicts->findings, verdicts->count, why, sizeof why)) {
        problem_add(&check->problems, true, "%s", why);
        return;
    }
    for (size_t i = 0; i < verdicts->count; i++) {
        verdicts->findings[i].is_known = baseline_minds(&verdicts->findings[i]);
        verdicts->findings[i].fails = verdicts->findings[i].fails && !verdicts->findings[i].is_known;
    }
    verdicts->failing = 0;
}

/* False, and said: what was asked for is not there. */
static bool propose_suppressions(const struct check *check) {
    const char *name = check->launch.options.check.gen_suppressions;
    char *text = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&text, &size);
    bool good = lines && proposals_put(lines, &check->verdicts);
    if (lines)
        good = fclose(lines) == 0 && good;
    if (!good)
        say("the suppressions do not fit into memory");
    int file = check->proposals;
    if (good && file < 0 &&
        (file = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666)) < 0) {
        say("the suppressions %s cannot be written: %s", name, strerror(errno));
        good = false;
    }
    if (good && !say_bytes(file, text, size)) {
        say("the suppressions%s%s cannot be written: %s", *name ? " " : "", name, strerror(errno));
        good = false;
    }
    if (file > STDERR_FILENO)
        close(file);
    free(text);
    return good;
}

static int conclude(struct check *check) {
    struct options *options = &check->launch.options;
    struct outcome outcome;
    write_baseline(check);
    outcome_decide(&outcome, check->launch.child.status, &check->verdicts, &check->problems, &options->check,
                   check->gate.suppressions);
    struct report report = {
        .list = &check->list, .symbols = check->symbols, .verdicts = &check->verdicts, .outcome = &outcome};
    if (check->gate.budget != UINT64_MAX)
        report.budget = check->gate.budget;
    bool quiet = options->quiet;
    if (quiet)
        options_keep_files_only(options);
    bool written = (quiet && options->report_count == 0) || reports_write(options, &report, STDERR_FILENO);
    if (options->check.gen_suppressions)
        written = propose_suppressions(check) && written;
    int status = outcome.status == 0 && !written ? EXIT_PQONE : outcome.status;
    /* Quiet, but never without a word for why it failed. */
    if (quiet && (outcome.status != outcome.program_status || check->verdicts.failing))
        say("check failed: %s", outcome.why);
    outcome_release(&outcome);
    return status;
}

static int judge(struct check *check) {
    int status = EXIT_PQONE;
    launch_ledgers(&check->launch, &check->list);
    unwatched_find(&check->launch, &check->list, &check->problems);
    check->symbols = symbols_new();
    if (check->symbols && verdicts_gather(&check->list, check->symbols, &check->gate, &check->verdicts))
        status = conclude(check);
    else
        say("out of memory: nothing was judged");
    verdicts_release(&check->verdicts);
    symbols_free(check->symbols);
    ledger_files_release(&check->list);
    return status;
}

static int run(struct check *check) {
    char why[PATH_MAX + 512];
    if (!prepare(check, why, sizeof why) || !is_in_reach(check, why, sizeof why))
        return refuse(why);
    if (!launch_find_place(&check->launch, why, sizeof why)) {
        say("%s, so nothing can be checked", why);
        return EXIT_PQONE;
    }
    int status = launch_run(&check->launch);
    if (status)
        return status;
    status = judge(check);
    /* A shell ends its loop or script after a ^C only if what it waits for died of it too. */
    bool interrupted =
        WIFSIGNALED(check->launch.child.status) && WTERMSIG(check->launch.child.status) == SIGINT;
    return interrupted ? child_end_like(&check->launch.child) : status;
}

int check_command(char **arguments) {
    static struct check check;
    struct options *options = &check.launch.options;
    char why[PATH_MAX + 256];
    int status = EXIT_PQONE;
    if (!options_check(arguments, options, why, sizeof why)) {
        say("%s", why);
    } else if (options->help || options->version) {
        if (options->help)
            help_check();
        else
            puts("pqone " PQONE_VERSION);
        status = EXIT_SUCCESS;
    } else if (!*options->rest) {
        say("check: which program? Usage: pqone check [options] -- CMD...");
    } else {
        check.launch.checks = true;
        check.launch.silent = options->quiet && options->settings.log == LOG_TO_NONE;
        status = run(&check);
    }
    suppressions_free(check.gate.suppressions);
    baseline_free(check.gate.baseline);
    problems_release(&check.problems);
    options_release(options);
    return status;
}
