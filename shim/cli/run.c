/* run.c: `pqone run`: the program with libpqone.so in it, and what it did with its connections. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../watch/place.h"
#include "child.h"
#include "commands.h"
#include "incarnation.h"
#include "ledger_files.h"
#include "library.h"
#include "log_relay.h"
#include "options.h"
#include "program.h"
#include "reports.h"
#include "say.h"

/* What one run has in hand; `directory` is "" when there is no place for ledgers. */
struct run {
    struct options options;
    char id[64], directory[PATH_MAX], library[PATH_MAX];
    struct log_relay *relay;
    struct child child;
    int64_t child_end;
    bool warned; /* that the program is out of reach, which is why nothing will have been watched */
    bool silent; /* not one byte of ours on any stream, unless the program cannot be started */
};

static int refuse(const char *why) {
    say("%s", why);
    return EXIT_PQONE;
}

static bool is_off(const struct run *run) {
    return run->options.settings.disable || run->options.settings.mode == MODE_OFF;
}

/* Ledgers and log lines of every process of this run come to one directory, also of those whose
 * environment has lost XDG_RUNTIME_DIR. Without a place the program runs all the same. */
static void find_place(struct run *run) {
    char why[PATH_MAX + 256];
    snprintf(run->id, sizeof run->id, "%d-%llu", (int)getpid(),
             (unsigned long long)incarnation_start(getpid()));
    if (!place_of_ledgers(run->options.settings.ledger_dir, run->directory, sizeof run->directory, why,
                          sizeof why)) {
        run->directory[0] = '\0';
        if (!run->silent)
            say("%s; there will be no summary, and log lines do not name source lines", why);
        return;
    }
    ledger_files_prune(run->directory);
    run->relay = log_relay_open(run->directory, run->id, &run->options.settings, why, sizeof why);
    if (!run->relay && !run->silent)
        say("log lines will not name source lines: %s", why);
}

static bool set_environment(const struct run *run) {
    char *preload = library_preload(run->library, getenv("LD_PRELOAD"));
    bool good = preload && setenv("LD_PRELOAD", preload, 1) == 0 && setenv("PQONE_RUN", run->id, 1) == 0;
    if (good && run->directory[0])
        good = setenv("PQONE_LEDGER_DIR", run->directory, 1) == 0;
    free(preload);
    return good;
}

static int start_failed(struct run *run) {
    const char *command = run->options.rest[0];
    int error = run->child.error;
    say("%s: %s", command, strerror(error));
    if (run->child.pid < 0)
        return EXIT_PQONE;
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* The program's own process ended just now; when other dead processes ended, nobody knows. */
static void tell_end(const struct run *run, struct ledger_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct ledger *ledger = &list->ledgers[i];
        if (ledger->header.pid != run->child.pid || ledger->header.process_state != LEDGER_RUNNING ||
            ledger->replaced)
            continue;
        if (!ledger->end)
            ledger->end = run->child_end;
        ledger->left = WIFEXITED(run->child.status);
        ledger->signal = WIFSIGNALED(run->child.status) ? WTERMSIG(run->child.status) : 0;
    }
}

/* --quiet silences what would go to standard error, not a report that was asked for in a file. */
static void keep_files_only(struct options *options) {
    size_t kept = 0;
    for (size_t i = 0; i < options->report_count; i++)
        if (options->reports[i].file)
            options->reports[kept++] = options->reports[i];
    options->report_count = kept;
}

static void summarise(struct run *run) {
    struct options *options = &run->options;
    struct ledger_list list = {0};
    if (!run->directory[0])
        return;
    if (options->quiet) {
        keep_files_only(options);
        if (options->report_count == 0)
            return;
    }
    ledger_files_of_run(run->directory, run->id, &list);
    tell_end(run, &list);
    if (list.count == 0 && !options->quiet && !run->warned)
        say("%s", is_off(run) ? "switched off (mode off or PQONE_DISABLE): nothing was shared or watched"
                              : "libpq was never used by the program, as far as libpqone.so could see, so "
                                "nothing was shared or watched");
    /* An empty text says nothing beyond that sentence; an empty JSON is still what a script reads. */
    if (list.count || options->report_count)
        reports_write(options, &(struct report){.list = &list}, STDERR_FILENO);
    ledger_files_release(&list);
}

/* The order matters at the end: the socket is emptied and removed before signals can end us, and the summary
 * comes after the last log line. */
static int start_and_wait(struct run *run) {
    if (!child_start(run->options.rest, &run->child)) {
        log_relay_close(run->relay);
        return start_failed(run);
    }
    /* libdw would fetch debug information over the network while the program waits for its log line. */
    unsetenv("DEBUGINFOD_URLS");
    if (run->relay && !log_relay_start(run->relay) && !run->silent)
        say("log lines are lost: no thread can be started to receive them");
    child_wait(&run->child);
    run->child_end = incarnation_clock();
    log_relay_close(run->relay);
    child_signals_back();
    summarise(run);
    return child_end_like(&run->child);
}

int run_command(char **arguments) {
    static struct run run;
    char why[PATH_MAX + 256];
    if (!options_run(arguments, &run.options, why, sizeof why))
        return refuse(why);
    if (run.options.help || run.options.version) {
        if (run.options.help)
            help_run();
        else
            puts("pqone " PQONE_VERSION);
        return EXIT_SUCCESS;
    }
    if (!*run.options.rest)
        return refuse("run: which program? Usage: pqone run [options] -- CMD...");
    run.silent = run.options.quiet && run.options.settings.log == LOG_TO_NONE;
    /* Everything that can refuse comes before the first trace on disk. */
    if (!library_find(run.library, sizeof run.library, why, sizeof why) ||
        !reports_can_be_written(&run.options, why, sizeof why))
        return refuse(why);
    run.warned =
        !run.silent && !is_off(&run) && program_is_out_of_reach(run.options.rest[0], why, sizeof why);
    if (run.warned)
        say("%s", why);
    find_place(&run);
    if (!set_environment(&run)) {
        log_relay_close(run.relay);
        return refuse("out of memory");
    }
    int status = start_and_wait(&run);
    options_release(&run.options);
    return status;
}
