/* main.c: `pqone COMMAND`: which part of the launcher is meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "commands.h"
#include "say.h"

static const struct {
    const char *name;
    int (*run)(char **arguments);
} commands[] = {{"run", run_command}, {"check", check_command}, {"report", report_command}};

static const char *const later[] = {"ps", "top", "kill"};

int main(int count, char **arguments) {
    (void)count;
    child_keep_standard_streams();
    const char *name = arguments[0] ? arguments[1] : NULL;
    if (!name) {
        say("which command? Usage: pqone run [options] -- CMD..., or pqone --help");
        return EXIT_PQONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(arguments + 2);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help_pqone();
        return EXIT_SUCCESS;
    }
    if (strcmp(name, "--version") == 0) {
        puts("pqone " PQONE_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        if (strcmp(name, later[i]) == 0) {
            say("%s: not in this version", name);
            return EXIT_PQONE;
        }
    }
    say("there is no command %.60s; see pqone --help", name);
    return EXIT_PQONE;
}
