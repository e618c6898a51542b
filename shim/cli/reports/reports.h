/* reports.h: writes the reports that were asked for, each in its format to its place. */
#ifndef PQONE_REPORTS_H
#define PQONE_REPORTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../ledger_files.h"
#include "../options.h"
#include "../symbols/symbols.h"

struct verdicts;

/* A line of a suppressions file, and what it did in this run. */
struct suppression_use {
    const char *pattern; /* as written, "leak:PQclient_*" */
    uint64_t hits;       /* handles or events; 0: it is not needed any more */
};

/* How a check ended. */
struct outcome {
    int status;             /* the exit status of pqone itself */
    int program_status;     /* the program's, 128+n for a signal; -1 if it never ran */
    const char *decided_by; /* "program", "findings", "pqone", or "nothing" when all is well */
    const char *why;        /* one sentence, never NULL */
    const struct suppression_use *suppressions;
    size_t suppression_count;
    bool has_baseline;           /* --baseline was given: what is not known is new */
    const char *const *problems; /* what could not be watched, a sentence each */
    size_t problem_count;
    const char *baseline, *written_baseline; /* files, NULL: none */
};

/* What every format is made of. */
struct report {
    const struct ledger_list *list;
    struct symbols *symbols;
    const struct verdicts *verdicts; /* NULL: nobody judged (`pqone run`) */
    const struct outcome *outcome;   /* NULL: nothing was at stake (`pqone run`, `pqone report`) */
    bool colour;
    uint64_t budget; /* --budget: handles alive at once per target; 0: none */
};

struct report_format {
    const char *word; /* behind --report */
    /* Writes the whole report, ends in a newline. False: no memory. */
    bool (*write)(FILE *out, const struct report *report);
    bool judges; /* `verdicts` is never NULL for it */
};

/* The format of that name, which need not end; NULL: there is none. */
const struct report_format *report_format_named(const char *word, size_t length);

/* "text, json or junit": for messages. Returns `into`. */
char *report_format_words(char *into, size_t size);

/* Can the files of the reports be written? Asked before the program starts, and leaves nothing behind on
 * disk. A name that means a descriptor of ours (/dev/stdout, /dev/fd/3) gets its copy, since the launcher
 * gives its own up while the program runs. False: `why` holds one sentence. */
bool reports_prepare(struct options *options, char *why, size_t size);

/* Could a file of that name be written? Leaves nothing behind on disk. False with errno. */
bool reports_file_can_be_written(const char *path);

/* Is it the file of one of the reports? */
bool reports_go_to(const struct options *options, const char *path);

/* Without any --report: text. Those without a file go to `descriptor`. `report->symbols` may be NULL, and
 * `colour` is decided here. False, and said: one of them could not be written. */
bool reports_write(const struct options *options, const struct report *report, int descriptor);

#endif
