/*
 * settings.h: what the user asked for, from PQONE_* in the environment; the table is settings.def.
 *
 * Read once, at the first call that needs it, and constant from then on. A bad value is one log line
 * with the value and what is accepted, and the default is used. A variable that is set but empty counts as
 * unset. Values may be hostile: any length, any byte.
 */
#ifndef PQONE_SETTINGS_H
#define PQONE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mode { MODE_SHARE, MODE_SESSION, MODE_OBSERVE, MODE_OFF };
enum on_duplicate { ON_DUPLICATE_LOG, ON_DUPLICATE_IGNORE, ON_DUPLICATE_FAIL, ON_DUPLICATE_ABORT };
enum log_place { LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_NONE, LOG_TO_PATH };
enum log_format { LOG_TEXT, LOG_JSON };

#define SETTING_NO_LIMIT 0        /* max_connections: none */
#define SETTING_NEVER INT64_C(-1) /* a duration that is off */

struct settings {
    enum mode mode;
    uint32_t max_connections;
    int64_t wait_timeout;  /* durations are nanoseconds */
    char **safe_functions; /* NULL-terminated, lower case; NULL when none */
    uint32_t stack;
    enum on_duplicate on_duplicate;
    int64_t linger;
    int64_t idle_timeout;
    bool idle_timeout_is_default;
    int64_t max_lifetime;
    int64_t leak_threshold; /* SETTING_NEVER: off */
    bool trace;
    char *via; /* NULL when none */
    enum log_place log;
    char *log_path; /* with LOG_TO_PATH; %p not yet replaced */
    enum log_format log_format;
    char *ledger_dir; /* NULL when not set */
    bool disable;
    char run[64]; /* PQONE_RUN: the launcher's name for this run, not for people to set; "" without one */
};

/* The process's settings; reads the environment the first time. Never NULL. */
const struct settings *settings(void);

/* Keeps PQONE_* as they are now, for a program under a launcher that clears its environment before its first
 * use of libpq. Called once, when the shim is loaded. */
void settings_remember(void);

/* One row of the table, for --help and the like. */
struct setting_row {
    const char *name, *default_text, *accepted, *help;
};
extern const struct setting_row setting_rows[];
extern const size_t setting_row_count;

/* Parses `text` for setting `name` ("MAX_CONNECTIONS") into `into`, which settings_defaults() has filled.
 * False if it is not accepted; then `why` (at least 256 bytes) holds one sentence with the value
 * (shortened, control bytes as ?) and what is accepted. A password inside VIA is refused; no value of VIA
 * is ever repeated, readable or not. */
bool setting_parse(const char *name, const char *text, struct settings *into, char *why, size_t size);

/* The built-in defaults; for memory that holds no settings yet. */
void settings_defaults(struct settings *into);

/* Frees what setting_parse() allocated. Never for the struct that settings() returns. */
void settings_clear(struct settings *these);

/* "share", "session", "observe", "off". */
const char *setting_mode_word(enum mode mode);

#endif
