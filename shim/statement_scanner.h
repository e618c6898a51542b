/*
 * statement_scanner.h: SQL text as tokens, cut as PostgreSQL's own lexer cuts them.
 *
 * Where servers, settings or encodings would cut differently the token is TOKEN_UNREADABLE, and nothing
 * after it means anything.
 */
#ifndef PQONE_STATEMENT_SCANNER_H
#define PQONE_STATEMENT_SCANNER_H

#include <stdbool.h>
#include <stddef.h>

#include "statement_words.h"

enum token_kind {
    TOKEN_START, /* what stands before the first token */
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_QUOTED, /* an identifier in double quotes */
    TOKEN_STRING, /* of any kind, with its prefix and its continuations on further lines */
    TOKEN_NUMBER,
    TOKEN_PARAMETER,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_BRACKET, /* a closing one */
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_SEMICOLON,
    TOKEN_EQUALS,
    TOKEN_OTHER, /* a byte of an operator, a colon, an opening bracket */
    TOKEN_UNREADABLE,
};

struct token {
    const char *text;
    size_t length;
    enum token_kind kind;
    struct word word;
};

struct scanner {
    const char *at, *end;
    bool backslash_escapes; /* standard_conforming_strings is off */
};

struct token scanner_next(struct scanner *scanner);

/* The same token again, whatever stands before it. */
struct token scanner_peek(const struct scanner *scanner);

/* Past white space and comments; NULL if a comment does not end. */
const char *scanner_skip_space(const char *at);

/* Past a dollar quote, NULL if none ends here that begins at `at`. */
const char *scanner_skip_dollar_quote(const char *at, const char *end);

/* Past a string, from its first quote; `escapes`: a backslash takes the next byte with it. NULL if it does
 * not end. `backslash` is set if it holds one. Continuations included. */
const char *scanner_skip_string(const char *quote, bool escapes, bool *backslash);

bool scanner_begins_word(unsigned char byte);
bool scanner_continues_word(unsigned char byte);

#endif
