/* options.c: the command lines of `pqone run`, `pqone check` and `pqone report`. */
#include "options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/reports.h"
#include "say.h"

/* Below this many letters to change, a name was meant and mistyped. */
enum { SLIPS = 3, NAME_MAX_LENGTH = 40 };

/* The types are spelled out only here: the parser of settings.c needs no more than the name, but the
 * command line must know which option may stand without a value. */
struct option_row {
    const char *name, *type;
};
static const struct option_row option_rows[] = {
#define SETTING(field, name, type, default_text, accepted, help) {name, #type},
#include "../settings.def"
#undef SETTING
};

char *options_spelling(const char *name, char *into, size_t size) {
    size_t at = 0;
    for (; name[at] && at + 1 < size; at++)
        into[at] = name[at] == '_' ? '-' : (char)tolower((unsigned char)name[at]);
    into[at] = '\0';
    return into;
}

static const struct option_row *find_setting(const char *option, size_t length) {
    for (size_t i = 0; i < sizeof option_rows / sizeof *option_rows; i++) {
        char spelling[64];
        options_spelling(option_rows[i].name, spelling, sizeof spelling);
        if (strlen(spelling) == length && memcmp(spelling, option, length) == 0)
            return &option_rows[i];
    }
    return NULL;
}

bool options_is_switch(const char *name) {
    for (size_t i = 0; i < sizeof option_rows / sizeof *option_rows; i++)
        if (strcmp(option_rows[i].name, name) == 0)
            return strcmp(option_rows[i].type, "FLAG") == 0;
    return false;
}

/* A bad value in the environment is not refused: the shim names it in its log and goes on with the
 * default, and so does the launcher. */
static void settings_from_environment(struct settings *into) {
    settings_defaults(into);
    for (size_t i = 0; i < setting_row_count; i++) {
        char variable[80], why[512];
        snprintf(variable, sizeof variable, "PQONE_%s", setting_rows[i].name);
        const char *value = getenv(variable);
        if (value)
            setting_parse(setting_rows[i].name, value, into, why, sizeof why);
    }
}

/* The sentence begins with the variable, which nobody has written who gave an option. */
static void name_the_option(const char *name, char *why, size_t size) {
    char spelling[64], said[512];
    size_t length = strlen("PQONE_") + strlen(name);
    if (strncmp(why, "PQONE_", 6) != 0 || strncmp(why + 6, name, strlen(name)) != 0)
        return;
    snprintf(said, sizeof said, "%s", why + length);
    snprintf(why, size, "--%s%s", options_spelling(name, spelling, sizeof spelling), said);
}

/* Into the environment only after it was accepted: the program inherits it, and would complain a second
 * time. */
static bool accept_setting(const char *name, const char *value, struct options *into, char *why,
                           size_t size) {
    if (!setting_parse(name, value, &into->settings, why, size)) {
        name_the_option(name, why, size);
        return false;
    }
    char variable[80];
    snprintf(variable, sizeof variable, "PQONE_%s", name);
    if (setenv(variable, value, 1) == 0)
        return true;
    snprintf(why, size, "out of memory");
    return false;
}

static bool accept_report(const char *text, struct options *into, char *why, size_t size) {
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    struct report_output output = {.format = report_format_named(text, length),
                                   .file = equals ? equals + 1 : NULL};
    if (!output.format) {
        char words[128];
        snprintf(why, size,
                 "--report %.60s: no such format in this version; accepted: %s, each with =FILE or =-", text,
                 report_format_words(words, sizeof words));
        return false;
    }
    if (output.file && !*output.file) {
        snprintf(why, size, "--report %.60s: the name of the file is empty", text);
        return false;
    }
    if (into->report_count == REPORTS_MAX) {
        snprintf(why, size, "--report is given more than %d times", REPORTS_MAX);
        return false;
    }
    if (output.file && strcmp(output.file, "-") == 0)
        output.file = "/dev/stdout";
    into->reports[into->report_count++] = output;
    return true;
}

/* `report` has none of the settings, and only `check` has what judges. */
enum command { COMMAND_RUN, COMMAND_CHECK, COMMAND_REPORT };

static bool flag(const char *name, size_t length, enum command command, struct options *into) {
    if (length == 4 && memcmp(name, "help", 4) == 0)
        into->help = true;
    else if (length == 7 && memcmp(name, "version", 7) == 0)
        into->version = true;
    else if (command != COMMAND_REPORT && length == 5 && memcmp(name, "quiet", 5) == 0)
        into->quiet = true;
    else
        return false;
    return true;
}

/* What an option's name means; exactly one of these, or it does not exist. */
struct meaning {
    const struct option_row *setting;
    int check; /* row of check_options.def, -1: none */
    bool report;
};

static struct meaning meaning_of(const char *option, size_t length, enum command command) {
    struct meaning meaning = {NULL, -1, length == 6 && memcmp(option, "report", 6) == 0};
    if (command != COMMAND_REPORT)
        meaning.setting = find_setting(option, length);
    if (command == COMMAND_CHECK)
        meaning.check = check_option_named(option, length);
    return meaning;
}

static bool is_switch(const struct meaning *meaning) {
    return meaning->check >= 0 ? check_option_rows[meaning->check].is_switch
                               : meaning->setting && strcmp(meaning->setting->type, "FLAG") == 0;
}

static const char *value_alone(const struct meaning *meaning) {
    return meaning->check >= 0 ? check_option_rows[meaning->check].alone : "1";
}

static bool accept(const struct meaning *meaning, const char *value, struct options *into, char *why,
                   size_t size) {
    if (meaning->report)
        return accept_report(value, into, why, size);
    if (meaning->check >= 0)
        return check_option_accept(meaning->check, value, &into->check, why, size);
    return accept_setting(meaning->setting->name, value, into, why, size);
}

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* How many letters were mistyped: put in, left out, or other ones. */
static unsigned slips_between(const char *word, size_t length, const char *name) {
    unsigned row[NAME_MAX_LENGTH + 1];
    size_t width = strlen(name);
    if (length > NAME_MAX_LENGTH || width > NAME_MAX_LENGTH)
        return SLIPS;
    for (size_t j = 0; j <= width; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= length; i++) {
        unsigned before = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= width; j++) {
            unsigned above = row[j];
            row[j] = least(before + (word[i - 1] != name[j - 1]), least(above, row[j - 1]) + 1);
            before = above;
        }
    }
    return row[width];
}

static void consider(const char *word, size_t length, const char *name, unsigned *best, char *into,
                     size_t size) {
    unsigned slips = slips_between(word, length, name);
    /* Of a word of four letters, two are half of it. */
    if (slips >= *best || slips * 3 > length + 1)
        return;
    *best = slips;
    snprintf(into, size, "%s", name);
}

/* "; did you mean --linger?", or that --help knows. */
static void say_no_such_option(const char *option, size_t length, enum command command, char *why,
                               size_t size) {
    static const char *const others[] = {"report", "help", "version", "quiet"};
    unsigned best = SLIPS;
    char closest[64] = "";
    for (size_t i = 0; i < sizeof others / sizeof *others - (command == COMMAND_REPORT); i++)
        consider(option, length, others[i], &best, closest, sizeof closest);
    for (size_t i = 0; command != COMMAND_REPORT && i < setting_row_count; i++) {
        char spelling[64];
        consider(option, length, options_spelling(setting_rows[i].name, spelling, sizeof spelling), &best,
                 closest, sizeof closest);
    }
    for (size_t i = 0; command == COMMAND_CHECK && i < check_option_row_count; i++)
        consider(option, length, check_option_rows[i].name, &best, closest, sizeof closest);
    snprintf(why, size, "there is no option --%.*s; %s%s%s", length > 60 ? 60 : (int)length, option,
             *closest ? "did you mean --" : "see --help", closest, *closest ? "?" : "");
}

/* One option at *arguments, which is moved past its value. */
static bool parse_option(char ***arguments, enum command command, struct options *into, char *why,
                         size_t size) {
    const char *option = **arguments + 2;
    const char *equals = strchr(option, '=');
    size_t length = equals ? (size_t)(equals - option) : strlen(option);
    if (flag(option, length, command, into)) {
        if (!equals)
            return true;
        snprintf(why, size, "--%.*s takes no value", (int)length, option);
        return false;
    }
    struct meaning meaning = meaning_of(option, length, command);
    if (!meaning.setting && meaning.check < 0 && !meaning.report) {
        say_no_such_option(option, length, command, why, size);
        return false;
    }
    const char *value = equals ? equals + 1 : NULL;
    /* --disable program: the word behind a switch is never its value. */
    if (!value && is_switch(&meaning))
        value = value_alone(&meaning);
    else if (!value && (*arguments)[1] && strcmp((*arguments)[1], "--") != 0)
        value = *++*arguments;
    if (!value) {
        snprintf(why, size, "--%.*s needs a value", (int)length, option);
        return false;
    }
    return accept(&meaning, value, into, why, size);
}

static bool parse(char **arguments, enum command command, struct options *into, char *why, size_t size) {
    for (; *arguments; arguments++) {
        const char *word = *arguments;
        if (strcmp(word, "--") == 0) {
            arguments++;
            break;
        }
        if (word[0] != '-' || word[1] == '\0')
            break;
        if (word[1] != '-') {
            if (strcmp(word, "-h") == 0) {
                into->help = true;
                continue;
            }
            snprintf(why, size, "there is no option %.60s; see --help", word);
            return false;
        }
        if (!parse_option(&arguments, command, into, why, size))
            return false;
        if (into->help || into->version)
            return true;
    }
    into->rest = arguments;
    return true;
}

/* The variable is only the default for the option, so that one command line can narrow it. */
static void report_from_environment(struct options *into, char *why, size_t size) {
    const char *report = getenv("PQONE_REPORT");
    if (report && *report && into->report_count == 0 && !accept_report(report, into, why, size)) {
        say("PQONE_REPORT is not used: %s", why);
        into->report_count = 0;
    }
}

bool options_run(char **arguments, struct options *into, char *why, size_t size) {
    memset(into, 0, sizeof *into);
    settings_from_environment(&into->settings);
    if (!parse(arguments, COMMAND_RUN, into, why, size))
        return false;
    report_from_environment(into, why, size);
    return true;
}

/* Only watching tells what the program does by itself. `variable` is PQONE_MODE as it was; now it is set if
 * an option has set it. */
static bool observe(struct options *into, const char *variable, char *why, size_t size) {
    enum mode asked = into->settings.mode;
    const char *word = setting_mode_word(asked);
    if (asked != MODE_OBSERVE && asked != MODE_OFF && getenv("PQONE_MODE")) {
        snprintf(why, size, "check changes nothing, it only watches: --mode %s is for pqone run", word);
        return false;
    }
    if (asked != MODE_OBSERVE && asked != MODE_OFF && variable && strcmp(variable, word) == 0 && !into->quiet)
        say("PQONE_MODE=%s is set aside: check only watches (observe)", word);
    return accept_setting("MODE", asked == MODE_OFF ? "off" : "observe", into, why, size);
}

/* A duplicate is in the report, so no log line repeats it, unless somebody asked for that. `variable` is
 * PQONE_ON_DUPLICATE as it was; now it is set if an option has set it. */
static bool tell_duplicates_once(struct options *into, const char *variable, char *why, size_t size) {
    bool by_option = getenv("PQONE_ON_DUPLICATE"), refuses = into->settings.on_duplicate == ON_DUPLICATE_FAIL;
    if (refuses && by_option) {
        snprintf(why, size, "check changes nothing, it only watches: --on-duplicate fail is for pqone run");
        return false;
    }
    if (by_option)
        return true;
    if (refuses && !into->quiet)
        say("PQONE_ON_DUPLICATE=fail is set aside: check only watches (ignore)");
    if (!variable || refuses)
        return accept_setting("ON_DUPLICATE", "ignore", into, why, size);
    return setenv("PQONE_ON_DUPLICATE", variable, 1) == 0;
}

/* The variable's value, which is kept out of the environment until the options are read. NULL: not set. */
static char *take_variable(const char *name) {
    const char *value = getenv(name);
    char *copy = value ? strdup(value) : NULL;
    unsetenv(name);
    return copy;
}

bool options_check(char **arguments, struct options *into, char *why, size_t size) {
    memset(into, 0, sizeof *into);
    settings_from_environment(&into->settings);
    char *mode = take_variable("PQONE_MODE"), *on_duplicate = take_variable("PQONE_ON_DUPLICATE");
    bool good =
        check_options_begin(&into->check, why, size) && parse(arguments, COMMAND_CHECK, into, why, size);
    if (good && !into->help && !into->version)
        good = check_options_end(&into->check, why, size) && observe(into, mode, why, size) &&
               tell_duplicates_once(into, on_duplicate, why, size);
    free(mode);
    free(on_duplicate);
    if (good)
        report_from_environment(into, why, size);
    return good;
}

bool options_report(char **arguments, struct options *into, char *why, size_t size) {
    memset(into, 0, sizeof *into);
    settings_from_environment(&into->settings);
    return parse(arguments, COMMAND_REPORT, into, why, size);
}

void options_keep_files_only(struct options *options) {
    size_t kept = 0;
    for (size_t i = 0; i < options->report_count; i++)
        if (options->reports[i].file)
            options->reports[kept++] = options->reports[i];
    options->report_count = kept;
}

void options_release(struct options *options) {
    settings_clear(&options->settings);
}
