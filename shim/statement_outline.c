/* statement_outline.c: a statement for people, without anything that could be a secret. */
#include <string.h>
#include <strings.h>

#include "statement.h"
#include "statement_scanner.h"

struct outline {
    char *out;
    size_t size, used;
    bool full;
};

/* Cut at a character's begin, and with room for the dots. */
static void cut(struct outline *outline) {
    outline->full = true;
    size_t room = outline->size - 1, dots = room < 3 ? room : 3;
    size_t keep = outline->used < room - dots ? outline->used : room - dots;
    while (keep > 0 && keep < outline->used && ((unsigned char)outline->out[keep] & 0xc0) == 0x80)
        keep--;
    memcpy(outline->out + keep, "...", dots);
    outline->used = keep + dots;
}

static void put(struct outline *outline, const char *text, size_t length) {
    size_t room = outline->size - 1 - outline->used;
    if (outline->full)
        return;
    size_t fits = length < room ? length : room;
    memcpy(outline->out + outline->used, text, fits);
    outline->used += fits;
    if (fits < length)
        cut(outline);
}

/* Past the string, if all readings agree where it ends; NULL ends the outline: what follows may be inside. */
static const char *skip_string(const char *quote, bool escapes) {
    bool backslash = false;
    const char *with = scanner_skip_string(quote, true, &backslash);
    return escapes || with == scanner_skip_string(quote, false, &backslash) ? with : NULL;
}

/* The end of the literal that begins at `at`, `at` itself if none does, NULL if it has no certain end. */
static const char *skip_literal(const char *at, const char *end) {
    unsigned char byte = (unsigned char)*at;
    if (byte == '\'')
        return skip_string(at, false);
    if (byte && strchr("eEbBxXnN", byte) && at[1] == '\'')
        return skip_string(at + 1, byte == 'e' || byte == 'E');
    if ((byte == 'u' || byte == 'U') && at[1] == '&' && at[2] == '\'')
        return skip_string(at + 2, false);
    if (byte == '$' && !(at[1] >= '0' && at[1] <= '9'))
        return scanner_skip_dollar_quote(at, end);
    if (byte == '$' || (byte >= '0' && byte <= '9')) {
        /* A letter and a quote right behind a number may be the prefix of a string. */
        for (at++; (scanner_continues_word((unsigned char)*at) && *at != '$') || *at == '.'; at++)
            if (at[1] == '\'' && scanner_begins_word((unsigned char)*at))
                return at;
    }
    return at;
}

static const char *skip_quoted(const char *at) {
    do
        at = strchrnul(at + 1, '"');
    while (at[0] && *++at == '"');
    return at[-1] == '"' ? at : NULL;
}

static bool is_password(const char *word, size_t length) {
    return length == 8 && strncasecmp(word, "password", 8) == 0;
}

void statement_outline(const char *sql, char *out, size_t size) {
    if (size == 0)
        return;
    struct outline outline = {out, size, 0, false};
    const char *at = sql ? sql : "", *end = at + strlen(at);
    while (*at && !outline.full) {
        const char *next = scanner_skip_space(at);
        if (next && next > at && *next && outline.used > 0)
            put(&outline, " ", 1);
        if (next && !*next)
            break;
        const char *token = next;
        next = token ? skip_literal(token, end) : NULL;
        if (next && next == token) {
            if (scanner_begins_word((unsigned char)*token))
                while (scanner_continues_word((unsigned char)*next))
                    next++;
            else if (*token == '"')
                next = skip_quoted(token);
            else
                next++;
        } else if (next) {
            put(&outline, "?", 1);
            at = next;
            continue;
        }
        if (next)
            put(&outline, token, (size_t)(next - token));
        if (!next || is_password(token, (size_t)(next - token))) {
            put(&outline, next ? " ?" : "?", next ? 2 : 1);
            break;
        }
        at = next;
    }
    out[outline.used] = 0;
}
