/* settings.c: reads PQONE_* into struct settings, by the table settings.def. */
#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "watch/ledger.h"
#include "watch/log.h"

/* One past the longest directory: a file's name has to fit behind it. */
#define DIRECTORY_LIMIT (PATH_MAX - 128)

enum type {
    TYPE_MODE,
    TYPE_LIMIT,
    TYPE_FRAMES,
    TYPE_DURATION,
    TYPE_TIMEOUT,
    TYPE_WORDS,
    TYPE_CONNINFO,
    TYPE_DIRECTORY,
    TYPE_LOG,
    TYPE_FORMAT,
    TYPE_ON_DUPLICATE,
    TYPE_FLAG,
};

const struct setting_row setting_rows[] = {
#define SETTING(field, name, type, default_text, accepted, help) {name, default_text, accepted, help},
#include "settings.def"
#undef SETTING
};
const size_t setting_row_count = sizeof setting_rows / sizeof setting_rows[0];

static const struct {
    enum type type;
    size_t offset;
} fields[] = {
#define SETTING(field, name, type, default_text, accepted, help) \
    {TYPE_##type, offsetof(struct settings, field)},
#include "settings.def"
#undef SETTING
};

/* Longest name in the table, with PQONE_ before it. */
#define VARIABLE_SIZE 64

struct word {
    const char *text;
    unsigned value;
};

static const struct word mode_words[] = {{"share", MODE_SHARE},
                                         {"session", MODE_SESSION},
                                         {"observe", MODE_OBSERVE},
                                         {"off", MODE_OFF},
                                         {NULL, 0}};
static const struct word on_duplicate_words[] = {{"log", ON_DUPLICATE_LOG},
                                                 {"ignore", ON_DUPLICATE_IGNORE},
                                                 {"fail", ON_DUPLICATE_FAIL},
                                                 {"abort", ON_DUPLICATE_ABORT},
                                                 {NULL, 0}};
static const struct word format_words[] = {{"text", LOG_TEXT}, {"json", LOG_JSON}, {NULL, 0}};
static const struct word place_words[] = {
    {"stderr", LOG_TO_STDERR}, {"syslog", LOG_TO_SYSLOG}, {"none", LOG_TO_NONE}, {NULL, 0}};
static const struct word flag_words[] = {{"0", false}, {"1", true}, {NULL, 0}};

static bool read_word(const struct word *words, const char *text, unsigned *value) {
    for (; words->text; words++)
        if (strcmp(words->text, text) == 0) {
            *value = words->value;
            return true;
        }
    return false;
}

const char *setting_mode_word(enum mode mode) {
    for (const struct word *word = mode_words; word->text; word++)
        if (word->value == mode)
            return word->text;
    return "unknown";
}

/* Digits only: strtoull would take signs, blanks and hexadecimal. Returns what follows, NULL on overflow
 * or when there is no digit. */
static const char *read_digits(const char *text, uint64_t limit, uint64_t *value) {
    if (!isdigit((unsigned char)*text))
        return NULL;
    *value = 0;
    for (; isdigit((unsigned char)*text); text++)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*text - '0'), value) || *value > limit)
            return NULL;
    return text;
}

static bool read_count(const char *text, uint32_t low, uint32_t high, uint32_t *count) {
    uint64_t value;
    const char *end = read_digits(text, high, &value);
    if (!end || *end || value < low)
        return false;
    *count = (uint32_t)value;
    return true;
}

static bool read_duration(const char *text, int64_t *duration) {
    static const struct {
        const char *suffix;
        int64_t nanoseconds;
    } units[] = {{"", 1000000000},
                 {"us", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"min", 60 * INT64_C(1000000000)},
                 {"h", 3600 * INT64_C(1000000000)},
                 {"d", 86400 * INT64_C(1000000000)}};
    uint64_t value;
    int64_t product;
    const char *suffix = read_digits(text, INT64_MAX, &value);
    for (size_t i = 0; suffix && i < sizeof units / sizeof units[0]; i++)
        if (strcmp(suffix, units[i].suffix) == 0) {
            if (__builtin_mul_overflow((int64_t)value, units[i].nanoseconds, &product))
                return false;
            *duration = product;
            return true;
        }
    return false;
}

/* 0 is refused: elsewhere in this world it means "never", to a reader it means "at once". */
static bool read_timeout(const char *text, int64_t *duration) {
    int64_t value = SETTING_NEVER;
    if (strcmp(text, "off") != 0 && (!read_duration(text, &value) || value == 0))
        return false;
    *duration = value;
    return true;
}

static bool is_name_byte(unsigned char byte) {
    return isalnum(byte) || byte >= 0x80 || (byte && strchr("_$.*", byte));
}

static void free_words(char **words) {
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

static char *lower_case(const char *text, size_t length) {
    char *word = strndup(text, length);
    for (char *at = word; at && *at; at++)
        *at = (char)tolower((unsigned char)*at);
    return word;
}

static bool split_words(const char *text, char **list) {
    size_t count = 0;
    for (text += strspn(text, ", \t"); *text; text += strspn(text, ", \t")) {
        size_t length = 0;
        while (is_name_byte((unsigned char)text[length]))
            length++;
        const char *after = text + length + strspn(text + length, " \t");
        if (length == 0 || (*after && *after != ',') || !(list[count++] = lower_case(text, length)))
            return false;
        text = after;
    }
    return count > 0;
}

static bool read_words(const char *text, char ***words) {
    size_t commas = 0;
    for (const char *at = text; *at; at++)
        commas += *at == ',';
    char **list = calloc(commas + 2, sizeof *list);
    if (!list || !split_words(text, list)) {
        free_words(list);
        return false;
    }
    free_words(*words);
    *words = list;
    return true;
}

static bool has_control_byte(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    return false;
}

static bool read_path(const char *text, size_t limit, char **path) {
    if (text[0] != '/' || strnlen(text, limit) >= limit || has_control_byte(text))
        return false;
    char *copy = strdup(text);
    if (!copy)
        return false;
    free(*path);
    *path = copy;
    return true;
}

static bool read_log(const char *text, struct settings *into) {
    unsigned place = LOG_TO_PATH;
    if (read_word(place_words, text, &place)) {
        free(into->log_path);
        into->log_path = NULL;
    } else if (!read_path(text, PATH_MAX, &into->log_path)) {
        return false;
    }
    into->log = (enum log_place)place;
    return true;
}

/* Keywords whose value is a secret, up to libpq 18. Case does not matter here though it does to libpq:
 * a misspelt PASSWORD= is a password all the same. */
static bool is_secret(const char *keyword, size_t length) {
    static const char *const secrets[] = {"password", "sslpassword", "oauth_client_secret",
                                          "scram_client_key", "scram_server_key"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++)
        if (strlen(secrets[i]) == length && strncasecmp(secrets[i], keyword, length) == 0)
            return true;
    return false;
}

static int hex_digit(char digit) {
    const char *all = "0123456789abcdef", *at = digit ? strchr(all, tolower((unsigned char)digit)) : NULL;
    return at ? (int)(at - all) : -1;
}

/* The keyword of a URI parameter may be percent-encoded, and libpq decodes it. */
static bool is_secret_encoded(const char *keyword, size_t length) {
    char plain[32];
    size_t out = 0;
    for (size_t i = 0; i < length && out < sizeof plain; i++) {
        char byte = keyword[i];
        if (byte == '%' && i + 2 < length && hex_digit(keyword[i + 1]) >= 0 &&
            hex_digit(keyword[i + 2]) >= 0) {
            byte = (char)(hex_digit(keyword[i + 1]) * 16 + hex_digit(keyword[i + 2]));
            i += 2;
        }
        plain[out++] = byte;
    }
    return is_secret(plain, out);
}

static bool is_uri(const char *text) {
    return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

/* A colon before an @ is a password wherever libpq would stop reading the user's name. */
static bool uri_has_secret(const char *uri) {
    const char *start = strstr(uri, "://") + 3, *query = strchrnul(start, '?');
    const char *at = memrchr(start, '@', (size_t)(query - start));
    if (at && memchr(start, ':', (size_t)(at - start)))
        return true;
    while (*query) {
        const char *keyword = query + 1, *end = keyword + strcspn(keyword, "=&");
        if (is_secret_encoded(keyword, (size_t)(end - keyword)))
            return true;
        query = strchrnul(end, '&');
    }
    return false;
}

/* Skips a value as libpq's own parser does: quotes, and a backslash before any byte. NULL: unterminated. */
static const char *skip_value(const char *at) {
    bool quoted = *at == '\'';
    for (at += quoted; *at && (quoted ? *at != '\'' : !isspace((unsigned char)*at)); at++)
        if (*at == '\\' && at[1])
            at++;
    if (quoted && *at != '\'')
        return NULL;
    return at + quoted;
}

/* Words such as host=… port=6432, or a URI, without a password; also not inside a dbname that is a
 * conninfo of its own. */
static bool conninfo_is_fine(const char *text) {
    if (is_uri(text))
        return !uri_has_secret(text);
    size_t words = 0;
    for (text += strspn(text, " \t\r\n\f\v"); *text; words++) {
        const char *keyword = text;
        text += strcspn(text, "= \t\r\n\f\v");
        size_t length = (size_t)(text - keyword);
        text += strspn(text, " \t\r\n\f\v");
        if (length == 0 || *text != '=' || is_secret(keyword, length))
            return false;
        text++;
        text += strspn(text, " \t\r\n\f\v");
        const char *end = skip_value(text);
        if (!end)
            return false;
        if (length == 6 && memcmp(keyword, "dbname", 6) == 0) {
            const char *inner = text + (*text == '\'');
            if (is_uri(inner) ? uri_has_secret(inner) : strcasestr(inner, "password") && strchr(inner, '='))
                return false;
        }
        text = end + strspn(end, " \t\r\n\f\v");
    }
    return words > 0;
}

static bool read_conninfo(const char *text, char **via) {
    char *copy = conninfo_is_fine(text) ? strdup(text) : NULL;
    if (!copy)
        return false;
    free(*via);
    *via = copy;
    return true;
}

/* "none" where the default is none: a launcher's user can take back what the environment says. */
static bool is_none(enum type type, const char *text, void *field) {
    if (strcmp(text, "none") != 0)
        return false;
    if (type == TYPE_WORDS) {
        free_words(*(char ***)field);
        *(char ***)field = NULL;
    } else {
        free(*(char **)field);
        *(char **)field = NULL;
    }
    return true;
}

static bool read_choice(enum type type, const char *text, void *field) {
    unsigned value = 0;
    switch (type) {
    case TYPE_MODE:
        return read_word(mode_words, text, &value) && (*(enum mode *)field = (enum mode)value, true);
    case TYPE_FORMAT:
        return read_word(format_words, text, &value) &&
               (*(enum log_format *)field = (enum log_format)value, true);
    case TYPE_ON_DUPLICATE:
        return read_word(on_duplicate_words, text, &value) &&
               (*(enum on_duplicate *)field = (enum on_duplicate)value, true);
    default:
        return read_word(flag_words, text, &value) && (*(bool *)field = value != 0, true);
    }
}

static bool read_value(enum type type, const char *text, void *field, struct settings *into) {
    switch (type) {
    case TYPE_LIMIT:
        if (strcmp(text, "none") == 0)
            return *(uint32_t *)field = SETTING_NO_LIMIT, true;
        return read_count(text, 1, 100000, field);
    case TYPE_FRAMES:
        return read_count(text, 0, LEDGER_FRAMES, field);
    case TYPE_DURATION:
        return read_duration(text, field);
    case TYPE_TIMEOUT:
        return read_timeout(text, field);
    case TYPE_WORDS:
        return is_none(type, text, field) || read_words(text, field);
    case TYPE_CONNINFO:
        return is_none(type, text, field) || read_conninfo(text, field);
    case TYPE_DIRECTORY:
        return is_none(type, text, field) || read_path(text, DIRECTORY_LIMIT, field);
    case TYPE_LOG:
        return read_log(text, into);
    default:
        return read_choice(type, text, field);
    }
}

/* At most 48 bytes of the value, so that the sentence keeps room for what is accepted. */
static void shorten(const char *text, char *out, size_t size) {
    size_t length = 0;
    for (; text[length] && length < size - 4; length++)
        out[length] = (unsigned char)text[length] < ' ' || text[length] == 0x7f ? '?' : text[length];
    if (text[length]) {
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
        memcpy(out + length, "...", 3);
        length += 3;
    }
    out[length] = '\0';
}

static void explain(size_t row, const char *text, char *why, size_t size) {
    char value[52];
    if (fields[row].type == TYPE_CONNINFO) {
        snprintf(why, size,
                 "PQONE_%s is not accepted: it takes %s (a password there would be public: use a passfile)",
                 setting_rows[row].name, setting_rows[row].accepted);
        return;
    }
    shorten(text, value, sizeof value);
    snprintf(why, size, "PQONE_%s \"%s\" is not accepted: it takes %s", setting_rows[row].name, value,
             setting_rows[row].accepted);
}

static bool read_row(size_t row, const char *text, struct settings *into) {
    if (!read_value(fields[row].type, text, (char *)into + fields[row].offset, into))
        return false;
    if (fields[row].offset == offsetof(struct settings, idle_timeout))
        into->idle_timeout_is_default = false;
    return true;
}

bool setting_parse(const char *name, const char *text, struct settings *into, char *why, size_t size) {
    for (size_t row = 0; row < setting_row_count; row++)
        if (strcmp(setting_rows[row].name, name) == 0) {
            if (read_row(row, text, into))
                return true;
            explain(row, text, why, size);
            return false;
        }
    char shown[52];
    shorten(name, shown, sizeof shown);
    snprintf(why, size, "there is no setting PQONE_%s", shown);
    return false;
}

void settings_defaults(struct settings *into) {
    memset(into, 0, sizeof *into);
    for (size_t row = 0; row < setting_row_count; row++)
        read_row(row, setting_rows[row].default_text, into);
    into->idle_timeout_is_default = true;
}

void settings_clear(struct settings *these) {
    free_words(these->safe_functions);
    free(these->via);
    free(these->log_path);
    free(these->ledger_dir);
    memset(these, 0, sizeof *these);
}

/* NAME=VALUE, each with its NUL. */
static char remembered[4096];
static size_t remembered_size;

void settings_remember(void) {
    for (char **entry = environ; entry && *entry; entry++) {
        size_t size = strlen(*entry) + 1;
        if (strncmp(*entry, "PQONE_", 6) != 0 || size > sizeof remembered - remembered_size)
            continue;
        memcpy(remembered + remembered_size, *entry, size);
        remembered_size += size;
    }
}

/* What the environment says. Where the run's name has gone from it, so has the rest: then what it said at the
 * start, or this process would leave its ledger where its launcher does not look. */
static const char *variable_value(const char *variable) {
    if (remembered_size == 0 || getenv("PQONE_RUN"))
        return secure_getenv(variable);
    size_t length = strlen(variable);
    for (size_t at = 0; at < remembered_size; at += strlen(remembered + at) + 1)
        if (strncmp(remembered + at, variable, length) == 0 && remembered[at + length] == '=')
            return remembered + at + length + 1;
    return NULL;
}

/* The name becomes part of a path (DIR/RUN.sock), so it holds nothing but plain letters. */
static void read_run(struct settings *into) {
    const char *run = variable_value("PQONE_RUN");
    size_t length = run ? strnlen(run, sizeof into->run) : 0;
    if (length == 0 || length >= sizeof into->run || run[0] == '.')
        return;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)run[i]) && !strchr("._-", run[i]))
            return;
    memcpy(into->run, run, length + 1);
}

enum { UNKNOWN_NAMED = 4 };
struct complaints {
    size_t count, unknown_count;
    char why[sizeof fields / sizeof fields[0]][256];
    char unknown[UNKNOWN_NAMED][64];
};

/* A misspelt setting would do nothing in silence. PQONE_REPORT is the launcher's, the rest is between us. */
static void find_unknown(struct complaints *complaints) {
    static const char *const others[] = {"REPORT=", "RUN=", "SUPPRESSIONS=", "TEST_"};
    for (char **entry = environ; entry && *entry && complaints->unknown_count < UNKNOWN_NAMED; entry++) {
        if (strncmp(*entry, "PQONE_", 6) != 0)
            continue;
        const char *name = *entry + 6;
        size_t length = strcspn(name, "=");
        bool known = false;
        for (size_t row = 0; row < setting_row_count && !known; row++)
            known = strlen(setting_rows[row].name) == length &&
                    strncmp(setting_rows[row].name, name, length) == 0;
        for (size_t i = 0; i < sizeof others / sizeof *others && !known; i++)
            known = strncmp(name, others[i], strlen(others[i])) == 0;
        if (!known)
            snprintf(complaints->unknown[complaints->unknown_count++], sizeof complaints->unknown[0], "%.*s",
                     (int)(length < 50 ? length : 50), name);
    }
}

static void read_environment(struct settings *into, struct complaints *complaints) {
    settings_defaults(into);
    for (size_t row = 0; row < setting_row_count; row++) {
        char variable[VARIABLE_SIZE];
        snprintf(variable, sizeof variable, "PQONE_%s", setting_rows[row].name);
        const char *text = variable_value(variable);
        if (!text || !*text || read_row(row, text, into))
            continue;
        explain(row, text, complaints->why[complaints->count], sizeof complaints->why[0]);
        complaints->count++;
    }
    read_run(into);
    find_unknown(complaints);
}

static _Atomic(const struct settings *) current;

/*
 * Whoever comes first publishes; a thread that was as fast throws its copy away. No lock: nothing here
 * can be left locked by a fork. Complaints come after publishing, because the log reads the settings.
 */
static const struct settings *read_settings(void) {
    static struct settings without_memory;
    struct settings *fresh = malloc(sizeof *fresh);
    struct complaints *complaints = calloc(1, sizeof *complaints);
    if (!fresh || !complaints) {
        free(fresh);
        free(complaints);
        if (without_memory.stack == 0)
            settings_defaults(&without_memory);
        return &without_memory;
    }
    read_environment(fresh, complaints);
    const struct settings *known = NULL;
    if (atomic_compare_exchange_strong_explicit(&current, &known, fresh, memory_order_acq_rel,
                                                memory_order_acquire)) {
        for (size_t i = 0; i < complaints->count; i++)
            log_event(LOG_SETTING, UINT32_MAX, (uint32_t)i, "%s; the default is used", complaints->why[i]);
        for (size_t i = 0; i < complaints->unknown_count; i++)
            log_event(LOG_SETTING, UINT32_MAX, 0,
                      "there is no setting PQONE_%s in this version; it does nothing",
                      complaints->unknown[i]);
        known = fresh;
    } else {
        settings_clear(fresh);
        free(fresh);
    }
    free(complaints);
    return known;
}

const struct settings *settings(void) {
    const struct settings *known = atomic_load_explicit(&current, memory_order_acquire);
    if (known)
        return known;
    int error = errno;
    known = read_settings();
    errno = error;
    return known;
}
