/* statement_calls.c: is an identifier before a parenthesis a function, and a harmless one? */
#include <string.h>
#include <strings.h>

#include "statement_reader.h"

static bool is_keyword(const struct token *token) {
    return token->kind == TOKEN_WORD && token->word.flags & WORD_IS_KEYWORD;
}

/* Has an operand ended with this token, so that only an operator can follow, and no call? A closing
 * parenthesis does not qualify: DISTINCT ON (a) f(b). */
static bool ends_operand(const struct token *token) {
    switch (token->kind) {
    case TOKEN_QUOTED:
    case TOKEN_STRING:
    case TOKEN_NUMBER:
    case TOKEN_PARAMETER:
    case TOKEN_BRACKET:
        return true;
    case TOKEN_WORD:
        return !(token->word.flags & (WORD_IS_KEYWORD | WORD_IS_PREFIX));
    default:
        return false;
    }
}

static bool is_join_kind(const struct token *token) {
    return token->kind == TOKEN_WORD && token->word.id >= WORD_INNER && token->word.id <= WORD_NATURAL;
}

/* Words that PostgreSQL lets name a function: where is each certainly the keyword? */
static bool is_keyword_here(const struct reader *reader, const struct chain *chain) {
    const struct token *before = &chain->before, *earlier = &chain->earlier;
    switch (chain->parts[0].word.id) {
    case WORD_OVER:
    case WORD_FILTER:
        return before->kind == TOKEN_CLOSE;
    case WORD_BY:
        return reader_is(before, WORD_ORDER) || reader_is(before, WORD_GROUP) ||
               reader_is(before, WORD_PARTITION);
    case WORD_KEY:
        return reader_is(before, WORD_PRIMARY) || reader_is(before, WORD_FOREIGN);
    case WORD_SETS:
        return reader_is(before, WORD_GROUPING);
    case WORD_ROLLUP:
        return reader_is(before, WORD_BY) && reader_is(earlier, WORD_GROUP);
    case WORD_RANGE:
        return reader_is(before, WORD_BY) && reader_is(earlier, WORD_PARTITION);
    case WORD_MATERIALIZED:
        return reader_is(before, WORD_AS) || (reader_is(before, WORD_NOT) && reader_is(earlier, WORD_AS));
    case WORD_VARYING:
        return reader_is(before, WORD_CHARACTER);
    case WORD_CONFLICT:
        return reader_is(before, WORD_ON);
    case WORD_SET:
    case WORD_RESET:
        return reader_is(before, WORD_UPDATE) || ends_operand(before);
    case WORD_INCLUDE:
        return before->kind == TOKEN_CLOSE && reader->content & CONTENT_CREATE;
    case WORD_JOIN:
        return is_join_kind(before) || ends_operand(before);
    case WORD_ILIKE:
        return ends_operand(before) || (reader_is(before, WORD_NOT) && ends_operand(earlier));
    default:
        return false;
    }
}

/* Where the grammar has a name before a parenthesis that is not a function's. */
static bool is_name_here(const struct reader *reader, const struct chain *chain) {
    const struct token *before = &chain->before;
    uint64_t level = reader->depth < 64 ? UINT64_C(1) << reader->depth : 0;
    if (before->kind == TOKEN_CLOSE)
        return chain->behind_from_item;
    if (before->kind == TOKEN_COMMA)
        return reader->with_list & level;
    if (before->kind != TOKEN_WORD)
        return false;
    switch (before->word.id) {
    case WORD_INTO:
    case WORD_REFERENCES:
    case WORD_TABLE:
    case WORD_EXISTS:
    case WORD_ONLY:
    case WORD_AS:
        return true;
    case WORD_WITH:
    case WORD_RECURSIVE:
        return reader->with_list & level;
    case WORD_ORDINALITY:
        return reader_is(&chain->earlier, WORD_WITH);
    case WORD_TABLESAMPLE:
        return chain->count == 1 && chain->parts[0].word.id == WORD_SAMPLER;
    case WORD_ON:
        return reader->content & CONTENT_INDEX && reader->depth == 0;
    case WORD_USING:
        return (reader->content & CONTENT_INDEX && reader->depth == 0) ||
               reader_is(&chain->earlier, WORD_EXCLUDE);
    default:
        return false;
    }
}

/* Not seen here: `t.f` and `(t).f`, which call f(t) if t has no column f; to pin every qualified column
 * would pin every query. The functions of pg_catalog that matter pin by their mere name (REFUSED in
 * functions.def), so what remains is a function of the user's, with a row as its argument, named like a
 * column. */
bool call_is_call(const struct reader *reader) {
    const struct chain *chain = &reader->chain;
    if (is_name_here(reader, chain))
        return false;
    if (chain->count == 1 && chain->parts[0].kind == TOKEN_WORD)
        return !is_keyword(&chain->parts[0]) && !is_keyword_here(reader, chain);
    return true;
}

/* Appends an identifier as the server will understand it; false where that could be argued about. */
static bool append(char *name, size_t size, size_t *length, const struct token *part) {
    const char *text = part->text + (part->kind == TOKEN_QUOTED);
    size_t count = part->length - (part->kind == TOKEN_QUOTED ? 2 : 0);
    if (count == 0 || count > 63 || *length + count + 2 > size) /* longer ones are cut by the server */
        return false;
    for (size_t i = 0; i < count; i++) {
        char c = text[i];
        if (part->kind == TOKEN_QUOTED && strchr(".*\"", c))
            return false;
        if (part->kind == TOKEN_WORD && c >= 'A' && c <= 'Z')
            c = (char)(c | 0x20);
        name[(*length)++] = c;
    }
    name[*length] = 0;
    return true;
}

/* `*` stands for any bytes but a dot: `*` alone means unqualified names, not every function there is.
 * One retry position is enough, since a later star can always do what an earlier one could, up to a dot. */
static bool matches(const char *pattern, const char *name) {
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
        } else if (*pattern == *name) {
            pattern++;
            name++;
        } else if (star && *retry != '.') {
            pattern = star;
            name = ++retry;
        } else
            return false;
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

bool call_is_safe(const struct chain *chain, char *const *patterns) {
    char name[3 * 64 + 1];
    size_t length = 0;
    if (!patterns || chain->count > 3)
        return false;
    for (size_t i = 0; i < chain->count; i++) {
        if (i > 0)
            name[length++] = '.';
        if (!append(name, sizeof name, &length, &chain->parts[i]))
            return false;
    }
    for (; *patterns; patterns++)
        if (matches(*patterns, name))
            return true;
    return false;
}

/* Is the plain literal certainly this text, or certainly free of it? Continued or quoted text is neither. */
static bool holds(const struct token *literal, const char *text) {
    size_t length = strlen(text);
    for (size_t i = 0; i + length <= literal->length; i++)
        if (strncasecmp(literal->text + i, text, length) == 0)
            return true;
    return false;
}
static bool is_plain(const struct token *token) {
    return token->kind == TOKEN_STRING && token->length >= 2 && token->text[0] == '\'' &&
           !memchr(token->text + 1, '\'', token->length - 2);
}

/* The second argument, up to its comma; false if the search path could come to begin with pg_temp. */
static bool skip_value(struct scanner *rest, bool search_path) {
    size_t depth = 0, tokens = 0;
    for (;; tokens++) {
        struct token token = scanner_next(rest);
        if (tokens > 64) /* nested ones would make this quadratic */
            return false;
        if (token.kind == TOKEN_END || token.kind == TOKEN_SEMICOLON || token.kind == TOKEN_UNREADABLE)
            return false;
        if (token.kind == TOKEN_COMMA && depth == 0)
            return tokens > 0;
        if (search_path && !(tokens == 0 && is_plain(&token) && !holds(&token, "pg_")))
            return false;
        if (token.kind == TOKEN_OPEN)
            depth++;
        else if (token.kind == TOKEN_CLOSE && depth-- == 0)
            return false;
    }
}

bool call_is_local_setting(struct scanner rest) {
    struct token name = scanner_next(&rest);
    /* Assigning seed seeds the generator at once, and a name with a dot stays defined: no rollback helps. */
    if (!is_plain(&name) || holds(&name, "seed") || holds(&name, ".") ||
        scanner_next(&rest).kind != TOKEN_COMMA)
        return false;
    if (!skip_value(&rest, holds(&name, "search_path")))
        return false;
    struct token is_local = scanner_next(&rest);
    return reader_is(&is_local, WORD_TRUE) && scanner_next(&rest).kind == TOKEN_CLOSE;
}
