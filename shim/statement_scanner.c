/* statement_scanner.c: PostgreSQL's lexical rules (scan.l), as far as they decide where a token ends. */
#include "statement_scanner.h"

#include <string.h>

enum class {
    BAD,
    NUL,
    SPACE,
    LETTER,
    DIGIT,
    DOLLAR,
    QUOTE,
    DOUBLE,
    OPEN,
    CLOSE,
    BRACKET,
    COMMA,
    DOT,
    SEMICOLON,
    EQUALS,
    OTHER
};

/* Bytes that are in no token of any version (a vertical tab is white space since 16, an error before) stay
 * BAD. */
static const unsigned char classes[256] = {
    [0] = NUL,
    [' '] = SPACE,
    ['\t'] = SPACE,
    ['\n'] = SPACE,
    ['\r'] = SPACE,
    ['\f'] = SPACE,
    ['A' ... 'Z'] = LETTER,
    ['a' ... 'z'] = LETTER,
    ['_'] = LETTER,
    [0x80 ... 0xff] = LETTER,
    ['0' ... '9'] = DIGIT,
    ['$'] = DOLLAR,
    ['\''] = QUOTE,
    ['"'] = DOUBLE,
    ['('] = OPEN,
    [')'] = CLOSE,
    [']'] = BRACKET,
    ['['] = OTHER,
    [','] = COMMA,
    ['.'] = DOT,
    [';'] = SEMICOLON,
    ['='] = EQUALS,
    [':'] = OTHER,
    ['~'] = OTHER,
    ['!'] = OTHER,
    ['@'] = OTHER,
    ['#'] = OTHER,
    ['^'] = OTHER,
    ['&'] = OTHER,
    ['|'] = OTHER,
    ['`'] = OTHER,
    ['?'] = OTHER,
    ['+'] = OTHER,
    ['-'] = OTHER,
    ['*'] = OTHER,
    ['/'] = OTHER,
    ['%'] = OTHER,
    ['<'] = OTHER,
    ['>'] = OTHER,
};

/* 1 where a word goes on: one load and one branch a byte. */
static const unsigned char in_word[256] = {
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['_'] = 1, ['0' ... '9'] = 1, ['$'] = 1, [0x80 ... 0xff] = 1,
};

static inline unsigned char class_of(char byte) {
    return classes[(unsigned char)byte];
}
bool scanner_begins_word(unsigned char byte) {
    return classes[byte] == LETTER;
}
bool scanner_continues_word(unsigned char byte) {
    return in_word[byte];
}

static const char *skip_line(const char *at) {
    while (*at && *at != '\n' && *at != '\r')
        at++;
    return at;
}

static const char *skip_block_comment(const char *at) {
    size_t depth = 1;
    for (at += 2; *at; at++) {
        if (at[0] == '*' && at[1] == '/') {
            at++;
            if (--depth == 0)
                return at + 1;
        } else if (at[0] == '/' && at[1] == '*') {
            at++;
            depth++;
        }
    }
    return NULL;
}

const char *scanner_skip_space(const char *at) {
    for (;;) {
        while (class_of(*at) == SPACE)
            at++;
        if (at[0] == '-' && at[1] == '-')
            at = skip_line(at);
        else if (at[0] == '/' && at[1] == '*') {
            if (!(at = skip_block_comment(at)))
                return NULL;
        } else
            return at;
    }
}

/* SQL joins strings that only white space with a line end separates; line comments count as such. The
 * opening quote of the continuation, NULL if there is none. */
static const char *continuation(const char *at) {
    bool line_end = false;
    for (;; at++) {
        if (*at == '\n' || *at == '\r')
            line_end = true;
        else if (at[0] == '-' && at[1] == '-')
            at = skip_line(at) - 1;
        else if (class_of(*at) != SPACE)
            return *at == '\'' && line_end ? at : NULL;
    }
}

/* Past the closing quote, a doubled one being part of the text; NULL if there is none. */
static const char *closing_quote(const char *at, bool escapes) {
    for (;; at++) {
        if (escapes) {
            at += strcspn(at, "'\\");
            if (*at == '\\') {
                if (!*++at)
                    return NULL;
                continue;
            }
        } else
            at = strchrnul(at, '\'');
        if (!*at)
            return NULL;
        if (*++at != '\'')
            return at;
    }
}

const char *scanner_skip_string(const char *quote, bool escapes, bool *backslash) {
    const char *at;
    do {
        at = closing_quote(quote + 1, escapes);
        const char *found = at ? memchr(quote, '\\', (size_t)(at - quote)) : NULL;
        *backslash = *backslash || found;
    } while (at && (quote = continuation(at)));
    return at;
}

const char *scanner_skip_dollar_quote(const char *at, const char *end) {
    const char *tag = at + 1;
    if (class_of(*tag) == LETTER)
        while (class_of(*tag) == LETTER || class_of(*tag) == DIGIT)
            tag++;
    if (*tag != '$')
        return NULL;
    size_t length = (size_t)(tag + 1 - at);
    const char *close = memmem(tag + 1, (size_t)(end - tag - 1), at, length);
    return close ? close + length : NULL;
}

/* A letter right behind a number is one token here, two there and an error elsewhere (1e1E'...'). */
static const char *skip_number(const char *at) {
    while (class_of(*at) == DIGIT)
        at++;
    if (*at == '.')
        for (at++; class_of(*at) == DIGIT; at++)
            ;
    if (*at == 'e' || *at == 'E') {
        const char *exponent = at + 1 + (at[1] == '+' || at[1] == '-');
        if (class_of(*exponent) == DIGIT)
            for (at = exponent; class_of(*at) == DIGIT; at++)
                ;
    }
    return class_of(*at) == LETTER ? NULL : at;
}

static struct token token_to(struct scanner *scanner, const char *from, const char *to,
                             enum token_kind kind) {
    if (!to)
        return (struct token){from, 0, TOKEN_UNREADABLE, {0, 0, 0}};
    scanner->at = to;
    return (struct token){from, (size_t)(to - from), kind, {0, 0, 0}};
}

static struct token string(struct scanner *scanner, const char *from, const char *quote, bool escapes) {
    bool backslash = false;
    escapes = escapes || scanner->backslash_escapes;
    const char *to = scanner_skip_string(quote, false, &backslash);
    return token_to(scanner, from, escapes && backslash ? NULL : to, TOKEN_STRING);
}

static struct token word(struct scanner *scanner, const char *from) {
    const char *at = from + 1;
    while (in_word[(unsigned char)*at])
        at++;
    size_t length = (size_t)(at - from);
    if (length == 1) {
        char letter = (char)(*from | 0x20);
        if (*at == '\'' && strchr("ebxn", letter))
            return string(scanner, from, at, letter == 'e');
        if (letter == 'u' && at[0] == '&' && (at[1] == '\'' || at[1] == '"'))
            return token_to(scanner, from, NULL, TOKEN_UNREADABLE);
    }
    scanner->at = at;
    return (struct token){from, length, TOKEN_WORD, word_find(from, length, false)};
}

static struct token quoted(struct scanner *scanner, const char *from) {
    const char *at = from + 1;
    while ((at = strchrnul(at, '"')) && at[0] && at[1] == '"')
        at += 2;
    if (!*at)
        return token_to(scanner, from, NULL, TOKEN_UNREADABLE);
    struct token token = token_to(scanner, from, at + 1, TOKEN_QUOTED);
    token.word = word_find(from + 1, (size_t)(at - from - 1), true);
    return token;
}

static struct token dollar(struct scanner *scanner, const char *from) {
    if (class_of(from[1]) != DIGIT)
        return token_to(scanner, from, scanner_skip_dollar_quote(from, scanner->end), TOKEN_STRING);
    const char *at = from + 1;
    while (class_of(*at) == DIGIT)
        at++;
    return token_to(scanner, from, class_of(*at) == LETTER ? NULL : at, TOKEN_PARAMETER);
}

struct token scanner_next(struct scanner *scanner) {
    const char *at = scanner_skip_space(scanner->at);
    if (!at)
        return token_to(scanner, scanner->at, NULL, TOKEN_UNREADABLE);
    switch (class_of(*at)) {
    case LETTER:
        return word(scanner, at);
    case DIGIT:
        return token_to(scanner, at, skip_number(at), TOKEN_NUMBER);
    case QUOTE:
        return string(scanner, at, at, false);
    case DOUBLE:
        return quoted(scanner, at);
    case DOLLAR:
        return dollar(scanner, at);
    case NUL:
        return token_to(scanner, at, at, TOKEN_END);
    case OPEN:
        return token_to(scanner, at, at + 1, TOKEN_OPEN);
    case CLOSE:
        return token_to(scanner, at, at + 1, TOKEN_CLOSE);
    case BRACKET:
        return token_to(scanner, at, at + 1, TOKEN_BRACKET);
    case COMMA:
        return token_to(scanner, at, at + 1, TOKEN_COMMA);
    case DOT:
        return token_to(scanner, at, at + 1, TOKEN_DOT);
    case SEMICOLON:
        return token_to(scanner, at, at + 1, TOKEN_SEMICOLON);
    case EQUALS:
        return token_to(scanner, at, at + 1, TOKEN_EQUALS);
    case OTHER:
        return token_to(scanner, at, at + 1, TOKEN_OTHER);
    default:
        return token_to(scanner, at, NULL, TOKEN_UNREADABLE);
    }
}

struct token scanner_peek(const struct scanner *scanner) {
    struct scanner ahead = *scanner;
    return scanner_next(&ahead);
}
