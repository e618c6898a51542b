/* commands.h: what `pqone` can do, and the exit statuses that are its own. */
#ifndef PQONE_COMMANDS_H
#define PQONE_COMMANDS_H

#define PQONE_VERSION "0.1"

/* As env(1) has them: pqone itself could not, found but not executable, not found. */
enum {
    EXIT_FINDINGS = 23, /* as LeakSanitizer has it */
    EXIT_PQONE = 125,
    EXIT_NOT_EXECUTABLE = 126,
    EXIT_NOT_FOUND = 127
};

/* Each takes the arguments after its own name, NULL-terminated, and returns the exit status. */
int run_command(char **arguments);
int check_command(char **arguments);
int report_command(char **arguments);

/* Help texts, on standard output. */
void help_pqone(void);
void help_run(void);
void help_check(void);
void help_report(void);

#endif
