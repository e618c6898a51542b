/* log_line.c: one datagram of the shim as the line that a person reads. */
#include "log_line.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../watch/log.h"
#include "incarnation.h"
#include "symbols/stack.h"

/* A ledger by its file's name; read again when a line names a site that it did not have yet. */
struct known_ledger {
    struct known_ledger *next;
    char name[256];
    bool readable;
    struct ledger ledger;
};

struct log_names {
    char *directory;
    struct known_ledger *ledgers;
    struct symbols *symbols;
};

struct log_names *log_names_new(const char *directory) {
    struct log_names *names = calloc(1, sizeof *names);
    if (!names)
        return NULL;
    names->directory = strdup(directory);
    names->symbols = symbols_new();
    return names;
}

void log_names_free(struct log_names *names) {
    if (!names)
        return;
    for (struct known_ledger *known = names->ledgers, *next; known; known = next) {
        next = known->next;
        ledger_release(&known->ledger);
        free(known);
    }
    symbols_free(names->symbols);
    free(names->directory);
    free(names);
}

static bool has_site(const struct known_ledger *known, uint32_t site) {
    return known->readable && site < known->ledger.site_count && known->ledger.sites[site].depth > 0;
}

/* The name comes over a socket: only what is a ledger's name in our own directory is opened. */
static bool is_ledger_name(const char *name) {
    pid_t pid;
    uint64_t start;
    const char *rest;
    return !strchr(name, '/') && incarnation_from_name(name, &pid, &start, &rest);
}

/* Read once for most lines: a site's row is written before the first line that names it, and never
 * changes afterwards. */
static const struct ledger *ledger_with(struct log_names *names, const char *name, uint32_t site) {
    struct known_ledger *known = names->ledgers;
    while (known && strcmp(known->name, name) != 0)
        known = known->next;
    if (known && has_site(known, site))
        return &known->ledger;
    if (!is_ledger_name(name) || strlen(name) >= sizeof known->name)
        return NULL;
    if (!known) {
        known = calloc(1, sizeof *known);
        if (!known)
            return NULL;
        strcpy(known->name, name);
        known->next = names->ledgers;
        names->ledgers = known;
    }
    char path[4096], why[256];
    snprintf(path, sizeof path, "%s/%s", names->directory, name);
    ledger_release(&known->ledger);
    known->readable = ledger_read(path, &known->ledger, why, sizeof why);
    return has_site(known, site) ? &known->ledger : NULL;
}

/* A token at `at`, its bytes as they are or, in JSON, as that must write them. Returns its length, 0: none.
 */
static size_t token(const char *at, const char *end, uint32_t *site) {
    static const char *const begins[] = {"\002", "\\u0002"}, *const ends[] = {"\003", "\\u0003"};
    for (int form = 0; form < 2; form++) {
        size_t begin = strlen(begins[form]), close = strlen(ends[form]);
        if ((size_t)(end - at) < begin || memcmp(at, begins[form], begin) != 0)
            continue;
        const char *digit = at + begin;
        uint64_t number = 0;
        while (digit < end && isdigit((unsigned char)*digit) && number < UINT32_MAX)
            number = number * 10 + (uint64_t)(*digit++ - '0');
        if (digit == at + begin || (size_t)(end - digit) < close || memcmp(digit, ends[form], close) != 0)
            continue;
        *site = number < UINT32_MAX ? (uint32_t)number : UINT32_MAX;
        return begin + (size_t)(digit - at - (ptrdiff_t)begin) + close;
    }
    return 0;
}

static void put(FILE *out, const char *text, bool json) {
    for (; *text; text++) {
        if (json && (*text == '"' || *text == '\\'))
            fputc('\\', out);
        fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, out);
    }
}

static void write_line(struct log_names *names, const char *ledger_name, const char *at, const char *end,
                       FILE *out) {
    bool json = at < end && *at == '{';
    while (at < end) {
        uint32_t site;
        size_t length = token(at, end, &site);
        if (length) {
            char text[1024] = "an unknown place";
            const struct ledger *ledger = ledger_with(names, ledger_name, site);
            struct stack stack;
            if (ledger && stack_of_site(names->symbols, ledger, site, &stack)) {
                frame_text(stack_first(&stack), text, sizeof text);
                stack_release(&stack);
            }
            put(out, text, json);
            at += length;
            continue;
        }
        fputc(((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f ? '?' : *at, out);
        at++;
    }
    fputc('\n', out);
}

char *log_line(struct log_names *names, const char *datagram, size_t length, pid_t *sender) {
    const char *end = datagram + length;
    const char *newline = memchr(datagram, '\n', length);
    char head[320];
    if (!newline || (size_t)(newline - datagram) >= sizeof head)
        return NULL;
    memcpy(head, datagram, (size_t)(newline - datagram));
    head[newline - datagram] = '\0';
    char *name;
    unsigned long pid = strtoul(head, &name, 10);
    if (name == head || *name != ' ' || pid == 0 || pid > INT32_MAX)
        return NULL;
    *sender = (pid_t)pid;
    while (end > newline + 1 && (end[-1] == '\n' || end[-1] == '\0'))
        end--;
    if (end == newline + 1)
        return NULL;
    char *line = NULL;
    size_t size;
    FILE *out = open_memstream(&line, &size);
    if (!out)
        return NULL;
    write_line(names, name + 1, newline + 1, end, out);
    fclose(out);
    return line;
}
