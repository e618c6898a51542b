/* check.c: `pqone check`: the program unchanged, watched, and judged at its end. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "gate.h"
#include "launch.h"
#include "library.h"
#include "reports.h"
#include "say.h"

static int refuse(const char *why) {
    say("%s", why);
    return EXIT_PQONE;
}

static int judge(struct launch *launch) {
    struct gate gate = {.budget = UINT64_MAX};
    struct ledger_list list = {0};
    char why[128];
    gate_fail_on("leak,misuse", &gate.fail_on, why, sizeof why);
    launch_ledgers(launch, &list);
    struct symbols *symbols = symbols_new();
    struct verdicts verdicts;
    int status = EXIT_PQONE;
    if (verdicts_gather(&list, symbols, &gate, &verdicts)) {
        int program = WIFSIGNALED(launch->child.status) ? 128 + WTERMSIG(launch->child.status)
                                                        : WEXITSTATUS(launch->child.status);
        status = program ? program : verdicts.failing ? EXIT_FINDINGS : 0;
        struct outcome outcome = {.status = status,
                                  .program_status = program,
                                  .decided_by = program            ? "program"
                                                : verdicts.failing ? "findings"
                                                                   : "nothing",
                                  .why = ""};
        struct report report = {
            .list = &list, .symbols = symbols, .verdicts = &verdicts, .outcome = &outcome};
        reports_write(&launch->options, &report, STDERR_FILENO);
        verdicts_release(&verdicts);
    }
    symbols_free(symbols);
    ledger_files_release(&list);
    return status;
}

int check_command(char **arguments) {
    static struct launch launch;
    char why[PATH_MAX + 256];
    setenv("PQONE_MODE", "observe", 1);
    if (!options_run(arguments, &launch.options, why, sizeof why) ||
        !library_find(launch.library, sizeof launch.library, why, sizeof why))
        return refuse(why);
    if (!*launch.options.rest)
        return refuse("check: which program? Usage: pqone check [options] -- CMD...");
    if (!launch_find_place(&launch, why, sizeof why))
        return refuse(why);
    int status = launch_run(&launch);
    if (status == 0)
        status = judge(&launch);
    options_release(&launch.options);
    return status;
}
