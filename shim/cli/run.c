/* run.c: `pqone run`: the program with libpqone.so in it, and what it did with its connections. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands.h"
#include "launch.h"
#include "library.h"
#include "program.h"
#include "reports/reports.h"
#include "say.h"

static int refuse(const char *why) {
    say("%s", why);
    return EXIT_PQONE;
}

/* `warned`: that the program is out of reach, which is why nothing will have been watched, has been said. */
static void summarise(struct launch *launch, bool warned) {
    struct options *options = &launch->options;
    struct ledger_list list = {0};
    if (!launch->directory[0])
        return;
    if (options->quiet) {
        options_keep_files_only(options);
        if (options->report_count == 0)
            return;
    }
    launch_ledgers(launch, &list);
    if (list.count == 0 && !options->quiet && !warned)
        say("%s", launch_is_off(launch)
                      ? "switched off (mode off or PQONE_DISABLE): nothing was shared or watched"
                      : "libpq was never used by the program, as far as libpqone.so could see, so "
                        "nothing was shared or watched");
    /* An empty text says nothing beyond that sentence; an empty JSON is still what a script reads. */
    if (list.count || options->report_count)
        reports_write(options, &(struct report){.list = &list}, STDERR_FILENO);
    ledger_files_release(&list);
}

static int start(struct launch *launch) {
    char why[PATH_MAX + 256];
    /* Everything that can refuse comes before the first trace on disk. */
    if (!library_find(launch->library, sizeof launch->library, why, sizeof why) ||
        !reports_prepare(&launch->options, why, sizeof why))
        return refuse(why);
    bool warned = !launch->silent && !launch_is_off(launch) &&
                  program_is_out_of_reach(launch->options.rest[0], why, sizeof why);
    if (warned)
        say("%s", why);
    /* Without a place the program runs all the same. */
    if (!launch_find_place(launch, why, sizeof why) && !launch->silent)
        say("%s; there will be no summary, and log lines do not name source lines", why);
    int status = launch_run(launch);
    if (status)
        return status;
    summarise(launch, warned);
    return child_end_like(&launch->child);
}

int run_command(char **arguments) {
    static struct launch launch;
    char why[PATH_MAX + 256];
    if (!options_run(arguments, &launch.options, why, sizeof why))
        return refuse(why);
    if (launch.options.help || launch.options.version) {
        if (launch.options.help)
            help_run();
        else
            puts("pqone " PQONE_VERSION);
        return EXIT_SUCCESS;
    }
    if (!*launch.options.rest)
        return refuse("run: which program? Usage: pqone run [options] -- CMD...");
    launch.silent = launch.options.quiet && launch.options.settings.log == LOG_TO_NONE;
    int status = start(&launch);
    options_release(&launch.options);
    return status;
}
