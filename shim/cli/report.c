/* report.c: `pqone report`: a report again, of ledgers of living or dead processes. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../watch/place.h"
#include "commands.h"
#include "ledger_files.h"
#include "live.h"
#include "options.h"
#include "reports/reports.h"
#include "say.h"
#include "verdicts/verdicts.h"

static bool is_pid(const char *word, pid_t *pid) {
    char *end;
    if (!isdigit((unsigned char)*word))
        return false;
    unsigned long number = strtoul(word, &end, 10);
    if (*end || number == 0 || number > INT_MAX)
        return false;
    *pid = (pid_t)number;
    return true;
}

/* Those that the list has from `first` on. What cannot be known is said, and is no failure. */
static void look_into(struct ledger_list *list, size_t first) {
    char why[512] = "";
    for (size_t i = first; i < list->count; i++)
        if (!live_look(&list->ledgers[i], why, sizeof why))
            say("%s", why);
}

static bool add_pid(const struct options *options, pid_t pid, struct ledger_list *list) {
    char directory[PATH_MAX], why[PATH_MAX + 256];
    if (!place_of_ledgers(options->settings.ledger_dir, directory, sizeof directory, why, sizeof why)) {
        say("%s", why);
        return false;
    }
    size_t first = list->count;
    if (ledger_files_of_pid(directory, pid, list) > 0) {
        look_into(list, first);
        return true;
    }
    say("%s holds no ledger of process %d that can be read: it did not use libpq under pqone, or the ledger "
        "is gone",
        directory, (int)pid);
    return false;
}

static bool add_file(const char *path, struct ledger_list *list) {
    struct ledger ledger;
    char why[256];
    if (!ledger_read(path, &ledger, why, sizeof why)) {
        say("%s %s", path, why);
        return false;
    }
    return ledger_files_add(list, &ledger);
}

/* Of processes that a check only watched, what the check would say; of one that runs, what it holds now. */
static bool is_of_a_check(const struct ledger_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (list->ledgers[i].alive || strcmp(list->ledgers[i].header.mode, "observe") != 0)
            return false;
    return true;
}

static bool print(const struct options *options, const struct ledger_list *list) {
    struct verdicts verdicts = {0};
    struct symbols *symbols = symbols_new();
    struct report report = {.list = list, .symbols = symbols};
    if (symbols && is_of_a_check(list) && verdicts_gather(list, symbols, NULL, &verdicts))
        report.verdicts = &verdicts;
    bool good = reports_write(options, &report, STDOUT_FILENO);
    verdicts_release(&verdicts);
    symbols_free(symbols);
    return good;
}

static int report(struct options *options) {
    struct ledger_list list = {0};
    char why[PATH_MAX + 256];
    bool good = reports_prepare(options, why, sizeof why);
    if (!good) {
        say("%s", why);
        return EXIT_PQONE;
    }
    for (char **word = options->rest; *word; word++) {
        pid_t pid;
        good = (is_pid(*word, &pid) ? add_pid(options, pid, &list) : add_file(*word, &list)) && good;
    }
    if (list.count > 0)
        good = print(options, &list) && good;
    ledger_files_release(&list);
    return good ? EXIT_SUCCESS : EXIT_PQONE;
}

int report_command(char **arguments) {
    struct options options;
    char why[512];
    int status = EXIT_PQONE;
    if (!options_report(arguments, &options, why, sizeof why)) {
        say("%s", why);
    } else if (options.help || options.version) {
        if (options.help)
            help_report();
        else
            puts("pqone " PQONE_VERSION);
        status = EXIT_SUCCESS;
    } else if (!*options.rest) {
        say("report: of what? Usage: pqone report [--report FORMAT[=FILE]] FILE|PID...");
    } else {
        status = report(&options);
    }
    options_release(&options);
    return status;
}
