/* help.c: the help texts; the settings come from their table. */
#include <stdio.h>
#include <string.h>

#include "../settings.h"
#include "commands.h"
#include "options.h"
#include "reports/reports.h"

enum { TEXT_COLUMN = 8, WIDTH = 92 };

void help_pqone(void) {
    puts("pqone runs a program that uses libpq, unchanged, on as few PostgreSQL connections as is correct.\n"
         "\n"
         "    pqone run [options] -- CMD...     run the program on shared connections, then print a summary\n"
         "    pqone check [options] -- CMD...   watch the program, change nothing, fail where it leaks "
         "connections\n"
         "    pqone report FILE|PID...          print the report of a process again, from its ledger\n"
         "\n"
         "    pqone COMMAND --help              the options of a command\n"
         "    pqone --version\n"
         "\n"
         "Without this launcher: LD_PRELOAD=/absolute/path/libpqone.so CMD, with settings as PQONE_*.");
}

/* One paragraph, indented and wrapped. */
static void paragraph(const char *text) {
    int column = 0;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column && column + 1 + length > WIDTH - TEXT_COLUMN) {
            putchar('\n');
            column = 0;
        }
        column += printf("%*s%.*s", column ? 1 : TEXT_COLUMN, "", length, text) - (column ? 0 : TEXT_COLUMN);
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void help_setting(const struct setting_row *row) {
    char spelling[64], text[1024];
    options_spelling(row->name, spelling, sizeof spelling);
    printf("    --%s%s    (PQONE_%s, default %s)\n", spelling,
           options_is_switch(row->name) ? "[=0|1]" : " VALUE", row->name, row->default_text);
    snprintf(text, sizeof text, "%s. Accepted: %s.", row->help, row->accepted);
    paragraph(text);
}

static void help_check_option(const struct check_option_row *row) {
    char text[1024];
    printf("    --%s%s    (", row->name, !row->is_switch ? " VALUE" : row->takes_file ? "[=FILE]" : "[=0|1]");
    if (row->variable[0])
        printf("PQONE_%s, ", row->variable);
    printf("default %s)\n", row->default_text);
    snprintf(text, sizeof text, "%s. Accepted: %s.", row->help, row->accepted);
    paragraph(text);
}

void help_run(void) {
    puts(
        "pqone run [options] [--] CMD...\n"
        "\n"
        "Runs CMD with libpqone.so preloaded: its PQconnect* calls, and those of its children, share server\n"
        "connections, every duplicate is logged with the place that asked for it, and a summary follows on\n"
        "standard error. The exit status is CMD's; it dies of the signal that CMD died of. 125: pqone could\n"
        "not start it for a reason of its own, 126: CMD cannot be executed, 127: CMD was not found.\n"
        "\n"
        "    --quiet\n"
        "        no summary; together with --log none not one byte on any stream is pqone's\n"
        "    --report FORMAT[=FILE]    (PQONE_REPORT, default text)\n"
        "        text, json, junit, sarif, github or html; without FILE on standard error, among log\n"
        "        lines; FILE - is standard output. May be given several times.\n"
        "        Any --report stands in place of the summary: --report text --report json=FILE gives both\n"
        "    --help, --version\n"
        "\n"
        "Settings, as options or in the environment:\n");
    for (size_t i = 0; i < setting_row_count; i++)
        help_setting(&setting_rows[i]);
}

/* Those that govern sharing are accepted, for a command line that changes between run and check, and do
 * nothing there. */
static bool says_something_in_check(const char *name) {
    static const char *const silent[] = {"MODE",   "MAX_CONNECTIONS", "WAIT_TIMEOUT", "SAFE_FUNCTIONS",
                                         "LINGER", "IDLE_TIMEOUT",    "MAX_LIFETIME"};
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
        if (strcmp(name, silent[i]) == 0)
            return false;
    return true;
}

/* In check a duplicate is a finding, and the default another. */
static void help_check_setting(const struct setting_row *row) {
    struct setting_row own = *row;
    if (strcmp(row->name, "ON_DUPLICATE") == 0) {
        own.default_text = "ignore";
        own.accepted = "log, ignore or abort";
        own.help = "what is done about a second unfinished handle for one target, besides its place in the "
                   "report: log adds a line at once, abort leaves a core at the very place";
    }
    help_setting(&own);
}

void help_check(void) {
    puts(
        "pqone check [options] [--] CMD...\n"
        "\n"
        "Runs CMD with libpqone.so preloaded, which changes nothing and watches: connections that are never\n"
        "finished, duplicates, misuse of libpq, in CMD and its children. The report comes on standard "
        "error.\n"
        "The exit status is CMD's when that is not 0 (128+n for a signal); else 23 when a finding fails the\n"
        "check; 125: pqone could not watch, 126: CMD cannot be executed, 127: CMD was not found.\n"
        "\n"
        "    --quiet\n"
        "        no report on standard error but one line when the check fails\n"
        "    --report FORMAT[=FILE]    (PQONE_REPORT, default text)");
    char words[128], text[256];
    snprintf(text, sizeof text,
             "%s; without FILE on standard error, among log lines; FILE - is standard output; may be given "
             "several "
             "times",
             report_format_words(words, sizeof words));
    paragraph(text);
    for (size_t i = 0; i < check_option_row_count; i++)
        help_check_option(&check_option_rows[i]);
    puts(
        "    --help, --version\n\nSettings, as options or in the environment; the mode is always observe:\n");
    for (size_t i = 0; i < setting_row_count; i++)
        if (says_something_in_check(setting_rows[i].name))
            help_check_setting(&setting_rows[i]);
}

void help_report(void) {
    puts(
        "pqone report [--report FORMAT[=FILE]] FILE|PID...\n"
        "\n"
        "Prints what processes did with their connections, from their ledgers: files, or pids whose ledgers\n"
        "are looked for where `pqone run` put them. The process may be running, ended or killed.\n"
        "\n"
        "    --report FORMAT[=FILE]\n"
        "        text (the default), json, junit, sarif, github or html; without FILE, and with -, on\n"
        "        standard output; may be given several times\n"
        "    --help, --version\n"
        "\n"
        "The exit status is 0, or 125 when one of them could not be read or written.");
}
