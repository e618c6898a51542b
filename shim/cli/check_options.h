/* check_options.h: the options that only `pqone check` has; the table is check_options.def. */
#ifndef PQONE_CHECK_OPTIONS_H
#define PQONE_CHECK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_options {
    unsigned fail_on; /* as gate_fail_on() has it; a budget is in it where one is given */
    bool fail_on_is_default;
    uint64_t budget; /* UINT64_MAX: none */
    int exit_code;
    const char *suppressions, *baseline, *write_baseline; /* NULL: none; they point into what was read */
    const char *gen_suppressions; /* NULL: not asked for; "": standard error; "-": standard output */
    bool allow_unused;
};

/* One row of the table, for --help and the like. `variable` may be "". */
struct check_option_row {
    const char *name, *variable, *default_text, *accepted, *help;
    bool is_switch;    /* may stand without a value; then it means `alone` */
    const char *alone; /* NULL: it needs a value */
    bool takes_file;   /* its value, if any, is the name of a file */
};
extern const struct check_option_row check_option_rows[];
extern const size_t check_option_row_count;

/* Defaults, then what the environment says. False: `why` holds one sentence. */
bool check_options_begin(struct check_options *into, char *why, size_t size);

/* Row number of the option of that name, which need not end; -1: there is none. */
int check_option_named(const char *name, size_t length);

/* Reads the value of an option. False: `why` holds one sentence. */
bool check_option_accept(int row, const char *value, struct check_options *into, char *why, size_t size);

/* What only all of them together tell. False: `why` holds one sentence. */
bool check_options_end(struct check_options *options, char *why, size_t size);

#endif
