/* options.h: the command lines of `pqone run`, `pqone check` and `pqone report`; settings follow
 * settings.def. */
#ifndef PQONE_OPTIONS_H
#define PQONE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "../settings.h"
#include "check_options.h"

enum { REPORTS_MAX = 8 };
struct report_format; /* reports.h */

struct report_output {
    const struct report_format *format;
    const char *file; /* NULL: where this command prints; points into the arguments */
    int descriptor;   /* a copy of our own that the file's name means (/dev/stdout), else 0 */
};

struct options {
    struct settings settings; /* environment and options together, as the shim will see them */
    struct report_output reports[REPORTS_MAX];
    size_t report_count; /* 0: none was asked for, which means text */
    bool quiet, help, version;
    struct check_options check;
    char **rest; /* the command, or the files: what follows the options */
};

/* Every option of `run`. What is accepted is put into this process's environment as PQONE_NAME, for the
 * program. False: `why` holds one sentence. */
bool options_run(char **arguments, struct options *into, char *why, size_t size);

/* The same, and those of check_options.def. Duplicates are in the report, so PQONE_ON_DUPLICATE is `ignore`
 * unless somebody set it; `fail` would change the program, and is treated as a mode is. The mode becomes
 * observe, unless pqone is switched off; any other mode that was asked for is refused on the command line,
 * and set aside with a word where the environment has it. */
bool options_check(char **arguments, struct options *into, char *why, size_t size);

/* The few options of `report`. */
bool options_report(char **arguments, struct options *into, char *why, size_t size);

/* A name of settings.def as an option: lower case, hyphens. Returns `into`. */
char *options_spelling(const char *name, char *into, size_t size);

/* Is the setting of settings.def a switch? Its value, if any, is part of the word: --disable=0. */
bool options_is_switch(const char *name);

/* --quiet silences what would go to standard error, not a report that was asked for in a file. */
void options_keep_files_only(struct options *options);

/* Releases what the settings hold. */
void options_release(struct options *options);

#endif
