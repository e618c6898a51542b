/*
 * statement_reader.h: the inner half of statement.c: one pass over the tokens of a text, with what stood
 * before, finding calls and words that pin. statement.c says what each kind of statement means.
 */
#ifndef PQONE_STATEMENT_READER_H
#define PQONE_STATEMENT_READER_H

#include "statement.h"
#include "statement_scanner.h"

/* What a statement can contain, and so what its words are taken for. */
enum content {
    CONTENT_CALLS = 1, /* expressions: an identifier before a parenthesis may be a call */
    CONTENT_QUERY = 2, /* a query: INSERT, INTO, DEFAULT and their like count wherever they stand */
    CONTENT_CREATE = 4,
    CONTENT_INDEX = 8,   /* CREATE INDEX: names before a parenthesis behind ON and USING */
    CONTENT_SCHEMA = 16, /* CREATE SCHEMA */
    CONTENT_ALTER_TABLE = 32,
    CONTENT_ALTER_TYPE = 64,
    CONTENT_ALTER_DEFAULTS = 128, /* ALTER DATABASE, ALTER ROLE: SET is for sessions to come */
    CONTENT_CURSOR = 256,
    CONTENT_SEARCH_PATH = 512, /* SET LOCAL search_path */
};

/* A name in front of the current token: schema.name, with the two tokens before it. */
struct chain {
    const char *last; /* where the last part stands; a word that nobody looked at has no chain */
    struct token parts[3];
    size_t count; /* more than 3: not a function's name */
    struct token before, earlier;
    bool behind_from_item;
    bool is_given; /* the statement gives the name: it is no call */
};

struct reader {
    struct scanner scanner;
    const struct reading *reading;
    struct verdict verdict;
    struct token token, previous, before; /* `before` came before `previous` */
    struct chain chain;
    /* Of this statement: */
    struct token lead; /* its first word, a culprit that never is a literal */
    unsigned content;
    size_t depth;
    bool name_follows; /* the next identifier is a name that the statement gives */
    bool update_seen;
    /* A bit for each depth of parentheses, up to 64; beyond, nothing is recognised, so more pins. */
    uint64_t with_list; /* inside WITH, before the main query: names may have column lists */
    uint64_t from_item; /* the parentheses belong to an item of FROM: an alias may follow */
    bool closed_from_item;
};

void reader_start(struct reader *reader, const char *sql, const struct reading *reading);

/* Forgets the statement; the next token begins another. */
void reader_begin_statement(struct reader *reader);

/* The next token becomes `token`; nothing is concluded from it. False at the end of the statement. */
bool reader_advance(struct reader *reader);

/* Concludes what there is to conclude from `token`. */
void reader_look(struct reader *reader);

/* Advances and looks to the end of the statement. */
void reader_rest(struct reader *reader);

/* Pins because of the words from `first` to `last`; only `last` is named if more than blanks lie between. */
void reader_pin(struct reader *reader, enum pin_reason reason, const struct token *first,
                const struct token *last);

/* Does the setting of that name decide what a literal becomes when its statement is prepared? RESET ALL has
 * one of them, too, and what is written in more than one piece may be one. */
bool reader_decides_reading(const char *name, size_t length);

static inline bool reader_is(const struct token *token, enum word_id id) {
    return token->kind == TOKEN_WORD && token->word.id == id;
}
static inline bool reader_is_name(const struct token *token) {
    return token->kind == TOKEN_WORD || token->kind == TOKEN_QUOTED;
}

/* Does one of `patterns` match the (qualified) name? In statement_calls.c, as is the rest about calls. */
bool call_is_safe(const struct chain *chain, char *const *patterns);

/* Is the name in front of the current opening parenthesis that of a function? */
bool call_is_call(const struct reader *reader);

/* set_config(literal, …, true), with `rest` right behind its opening parenthesis. */
bool call_is_local_setting(struct scanner rest);

#endif
