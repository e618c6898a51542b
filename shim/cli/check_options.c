/* check_options.c: the options that only `pqone check` has. */
#include "check_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verdicts/gate.h"

enum type { KINDS, COUNT, STATUS, FILE_NAME, SWITCH, OUTPUT };
#define FILE FILE_NAME
static const struct {
    enum type type;
    size_t offset;
} fields[] = {
#define CHECK_OPTION(field, name, variable, type, default_text, accepted, help) \
    {type, offsetof(struct check_options, field)},
#include "check_options.def"
#undef CHECK_OPTION
};
#undef FILE

const struct check_option_row check_option_rows[] = {
#define FILE FILE_NAME
#define CHECK_OPTION(field, name, variable, type, default_text, accepted, help) \
    {name,                                                                      \
     variable,                                                                  \
     default_text,                                                              \
     accepted,                                                                  \
     help,                                                                      \
     type == SWITCH || type == OUTPUT,                                          \
     type == SWITCH   ? "1"                                                     \
     : type == OUTPUT ? ""                                                      \
                      : NULL,                                                   \
     type == FILE_NAME || type == OUTPUT},
#include "check_options.def"
#undef CHECK_OPTION
#undef FILE
};
const size_t check_option_row_count = sizeof check_option_rows / sizeof *check_option_rows;

int check_option_named(const char *name, size_t length) {
    for (size_t i = 0; i < check_option_row_count; i++)
        if (strlen(check_option_rows[i].name) == length &&
            memcmp(check_option_rows[i].name, name, length) == 0)
            return (int)i;
    return -1;
}

static bool read_number(const char *text, uint64_t most, uint64_t *into) {
    uint64_t number = 0;
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || (number = number * 10 + (uint64_t)(*at - '0')) > most)
            return false;
    }
    *into = number;
    return *text != '\0';
}

static bool read_value(int row, const char *text, struct check_options *into) {
    void *field = (char *)into + fields[row].offset;
    uint64_t number;
    switch (fields[row].type) {
    case KINDS:
        break; /* its mistakes have sentences of their own */
    case COUNT:
        return read_number(text, 1000000, field) && *(uint64_t *)field > 0;
    case STATUS:
        if (!read_number(text, 255, &number))
            return false;
        *(int *)field = (int)number;
        return true;
    case FILE_NAME:
        *(const char **)field = text;
        return *text != '\0';
    case OUTPUT:
        *(const char **)field = text;
        return true;
    case SWITCH:
        if (!read_number(text, 1, &number))
            return false;
        *(bool *)field = number;
        return true;
    }
    return false;
}

bool check_option_accept(int row, const char *value, struct check_options *into, char *why, size_t size) {
    if (fields[row].type == KINDS) {
        into->fail_on_is_default = false;
        return gate_fail_on(value, &into->fail_on, why, size);
    }
    if (read_value(row, value, into))
        return true;
    snprintf(why, size, "--%s %.60s: accepted is %s", check_option_rows[row].name, value,
             check_option_rows[row].accepted);
    return false;
}

bool check_options_begin(struct check_options *into, char *why, size_t size) {
    memset(into, 0, sizeof *into);
    into->budget = UINT64_MAX;
    for (size_t i = 0; i < check_option_row_count; i++)
        if (strcmp(check_option_rows[i].default_text, "none") != 0 &&
            !check_option_accept((int)i, check_option_rows[i].default_text, into, why, size))
            return false;
    into->fail_on_is_default = true;
    for (size_t i = 0; i < check_option_row_count; i++) {
        char variable[80];
        snprintf(variable, sizeof variable, "PQONE_%s", check_option_rows[i].variable);
        const char *text = check_option_rows[i].variable[0] ? getenv(variable) : NULL;
        if (text && *text && !check_option_accept((int)i, text, into, why, size))
            return false;
    }
    return true;
}

bool check_options_end(struct check_options *options, char *why, size_t size) {
    if (options->budget != UINT64_MAX && options->fail_on_is_default)
        options->fail_on |= 1u << FINDING_BUDGET;
    if (options->budget == UINT64_MAX && (options->fail_on & 1u << FINDING_BUDGET)) {
        snprintf(why, size, "--fail-on budget says nothing without --budget N");
        return false;
    }
    return true;
}
