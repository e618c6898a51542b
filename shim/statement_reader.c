/* statement_reader.c: one pass over the tokens; see the header. */
#include "statement_reader.h"

#include <string.h>
#include <strings.h>

void reader_start(struct reader *reader, const char *sql, const struct reading *reading) {
    memset(reader, 0, sizeof *reader);
    reader->reading = reading;
    reader->scanner = (struct scanner){sql, sql + strlen(sql), !reading->standard_conforming_strings};
    reader_begin_statement(reader);
}

void reader_begin_statement(struct reader *reader) {
    struct token start = {reader->scanner.at, 0, TOKEN_START, {0, 0, 0}};
    reader->token = reader->previous = reader->before = reader->lead = start;
    reader->chain.count = 0;
    reader->chain.last = NULL;
    reader->content = 0;
    reader->depth = 0;
    reader->name_follows = reader->update_seen = reader->closed_from_item = false;
    reader->with_list = reader->from_item = 0;
}

/* Comments between two words could hold anything, a password too. */
static bool only_blanks_between(const struct token *first, const struct token *last) {
    for (const char *at = first->text + first->length; at < last->text; at++)
        if (!strchr(" \t\r\n\f.", *at))
            return false;
    return true;
}

/* Of what pins, all but this may change how the server reads a statement that it is given later. */
static bool reparses(enum pin_reason reason) {
    switch (reason) {
    case PIN_SEQUENCE:
    case PIN_ADVISORY_LOCK:
    case PIN_LISTEN:
    case PIN_CURSOR:
    case PIN_IDENTITY:
    case PIN_SETTING:
    case PIN_CUSTOM_SETTING:
        return false;
    default:
        return true;
    }
}

bool reader_decides_reading(const char *name, size_t length) {
    static const char *const names[] = {"timezone",
                                        "time",
                                        "datestyle",
                                        "intervalstyle",
                                        "xmloption",
                                        "xml",
                                        "names",
                                        "transform_null_equals",
                                        "array_nulls",
                                        "lc_monetary",
                                        "backslash_quote",
                                        "standard_conforming_strings",
                                        "all",
                                        "client_encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (length == strlen(names[i]) && strncasecmp(name, names[i], length) == 0)
            return true;
    return memchr(name, '\'', length) != NULL || memchr(name, '\n', length) != NULL;
}

void reader_pin(struct reader *reader, enum pin_reason reason, const struct token *first,
                const struct token *last) {
    struct verdict *verdict = &reader->verdict;
    enum taint taint = pin_row(reason)->taint;
    verdict->reparses |= reparses(reason);
    verdict->rereads |= reason == PIN_SETTING || reason == PIN_CUSTOM_SETTING;
    if (taint > verdict->taint)
        verdict->taint = taint;
    if (verdict->reason != PIN_NONE)
        return;
    verdict->reason = reason;
    if (!only_blanks_between(first, last))
        first = last;
    verdict->culprit = first->text;
    verdict->culprit_length = (size_t)(last->text + last->length - first->text);
}

static bool has_ended(const struct token *token) {
    return token->kind == TOKEN_SEMICOLON || token->kind == TOKEN_END || token->kind == TOKEN_UNREADABLE;
}

bool reader_advance(struct reader *reader) {
    if (has_ended(&reader->token))
        return false;
    reader->before = reader->previous;
    reader->previous = reader->token;
    reader->token = scanner_next(&reader->scanner);
    if (reader->token.kind == TOKEN_WORD && reader->previous.kind == TOKEN_DOT)
        reader->token.word = word_as_identifier(reader->token.word);
    if (reader->token.kind == TOKEN_UNREADABLE) {
        reader_pin(reader, PIN_UNREADABLE, &reader->lead, &reader->lead);
        reader->verdict.traits |= STATEMENT_WRITES;
    }
    return !has_ended(&reader->token);
}

static uint64_t level(const struct reader *reader) {
    return reader->depth < 64 ? UINT64_C(1) << reader->depth : 0;
}

/* The bit of a WITH list lives as long as the tokens follow the grammar of such a list, name by name;
 * whatever else comes is the main query, in which a name before a parenthesis is a call. */
static void follow_with_list(struct reader *reader) {
    uint64_t bit = level(reader);
    const struct token *token = &reader->token, *previous = &reader->previous;
    if (reader_is(token, WORD_WITH) && (previous->kind == TOKEN_OPEN || previous->kind == TOKEN_START)) {
        reader->with_list |= bit;
        return;
    }
    if (!(reader->with_list & bit))
        return;
    bool goes_on = false;
    if (token->kind == TOKEN_OPEN)
        goes_on = reader_is_name(previous);
    else if (token->kind == TOKEN_COMMA)
        goes_on = previous->kind == TOKEN_CLOSE;
    else if (token->kind == TOKEN_CLOSE)
        return; /* the level ends, and its bit with it */
    else if (reader_is_name(token))
        goes_on = reader_is(previous, WORD_WITH) || reader_is(previous, WORD_RECURSIVE) ||
                  previous->kind == TOKEN_COMMA || reader_is(token, WORD_AS) || reader_is(token, WORD_NOT) ||
                  reader_is(token, WORD_MATERIALIZED);
    if (!goes_on)
        reader->with_list &= ~bit;
}

static void extend_chain(struct reader *reader) {
    struct chain *chain = &reader->chain;
    chain->last = reader->token.text;
    if (reader->previous.kind == TOKEN_DOT && reader_is_name(&reader->before) && chain->count > 0) {
        if (chain->count < 3)
            chain->parts[chain->count] = reader->token;
        chain->count++;
        return;
    }
    chain->parts[0] = reader->token;
    chain->count = 1;
    chain->before = reader->previous;
    chain->earlier = reader->before;
    chain->behind_from_item = reader->closed_from_item;
    chain->is_given = reader->name_follows;
    reader->name_follows = false;
    if (reader->previous.kind == TOKEN_DOT)
        chain->count = 4; /* (expression).name and the like: the qualified name is not all of it */
}

/* Does the call need no pin (any more)? A refused function has had its own already. */
static bool is_settled(const struct reader *reader) {
    const struct chain *chain = &reader->chain;
    unsigned known = chain->parts[chain->count - 1].word.flags & (WORD_IS_HARMLESS | WORD_IS_REFUSED);
    if (known && (chain->count == 1 || (chain->count == 2 && chain->parts[0].word.id == WORD_PG_CATALOG)))
        return true;
    return call_is_safe(chain, reader->reading->safe_functions);
}

static void look_open(struct reader *reader) {
    bool from_item = false;
    if (reader_is_name(&reader->previous) && reader->content & CONTENT_CALLS) {
        const struct chain *chain = &reader->chain;
        const struct token *opener = &reader->previous;
        if (chain->last != reader->previous.text) {
            /* The word was the statement's own (COPY, EXPLAIN ANALYZE), and never looked at. */
        } else if (chain->is_given) {
            opener = &chain->before;
        } else if (chain->count > 3) {
            reader_pin(reader, PIN_FUNCTION, &reader->previous, &reader->previous);
        } else if (call_is_call(reader)) {
            opener = &chain->before;
            if (!is_settled(reader))
                reader_pin(reader, PIN_FUNCTION, &chain->parts[0], &reader->previous);
        }
        from_item =
            reader_is(opener, WORD_FROM) || reader_is(opener, WORD_LATERAL) || reader_is(opener, WORD_JOIN);
    }
    reader->depth++;
    uint64_t bit = level(reader);
    reader->with_list &= ~bit;
    reader->from_item = from_item ? reader->from_item | bit : reader->from_item & ~bit;
}

static void look_close(struct reader *reader) {
    uint64_t bit = level(reader);
    reader->closed_from_item = reader->from_item & bit;
    reader->from_item &= ~bit;
    reader->with_list &= ~bit;
    if (reader->depth > 0)
        reader->depth--;
}

/* An identifier, quoted or not, whatever its place. */
static void look_identifier(struct reader *reader) {
    const struct token *token = &reader->token;
    const char *name = token->text + (token->kind == TOKEN_QUOTED);
    if ((*name | 0x20) == 'p' &&
        (strncasecmp(name, "pg_temp", 7) == 0 || strncasecmp(name, "pg_toast_temp", 13) == 0))
        reader_pin(reader, PIN_TEMPORARY, token, token);
    if (token->word.id == WORD_SET_CONFIG) {
        struct scanner rest = reader->scanner;
        bool opens = scanner_next(&rest).kind == TOKEN_OPEN, rereads = reader->verdict.rereads;
        struct token setting = scanner_peek(&rest);
        bool harmless = opens && setting.kind == TOKEN_STRING && setting.text[0] == '\'' &&
                        !reader_decides_reading(setting.text + 1, setting.length - 2);
        if (!opens || !call_is_local_setting(rest))
            reader_pin(reader, PIN_CUSTOM_SETTING, token, token);
        else if (!harmless)
            reader->verdict.reparses_locally = true;
        if (harmless)
            reader->verdict.rereads = rereads;
    } else if (token->word.flags & WORD_IS_REFUSED) {
        reader_pin(reader, token->word.reason, token, token);
        if (strncasecmp(name, "pg_prepared_st", 14) == 0)
            reader->verdict.reparses = reader->verdict.shows_prepared = true;
    } else if (token->word.id == WORD_PG_SETTINGS && reader->update_seen)
        reader_pin(reader, PIN_CUSTOM_SETTING, token, token); /* a rule makes it set_config(…, false) */
    extend_chain(reader);
}

static bool is_temporary(const struct token *token) {
    return token->word.id == WORD_TEMP || token->word.id == WORD_TEMPORARY;
}

/* Keywords of a query that change what it leaves behind. */
static void look_query_word(struct reader *reader) {
    const struct token *token = &reader->token, *previous = &reader->previous;
    unsigned *traits = &reader->verdict.traits;
    switch (token->word.id) {
    case WORD_INSERT:
    case WORD_MERGE:
        *traits |= STATEMENT_WRITES;
        reader_pin(reader, PIN_SEQUENCE, token, token);
        break;
    case WORD_UPDATE:
        reader->update_seen = true;
        if (!reader_is(previous, WORD_FOR) && !reader_is(previous, WORD_KEY))
            *traits |= STATEMENT_WRITES;
        break;
    case WORD_DELETE:
    case WORD_INTO:
        *traits |= STATEMENT_WRITES;
        break;
    case WORD_DEFAULT:
        reader_pin(reader, PIN_SEQUENCE, token, token);
        break;
    case WORD_TEMP:
    case WORD_TEMPORARY:
    case WORD_LOCAL:
    case WORD_GLOBAL:
        if (reader_is(previous, WORD_INTO))
            reader_pin(reader, PIN_TEMPORARY, previous, token);
        break;
    case WORD_HOLD:
        if (reader->content & CONTENT_CURSOR && reader_is(previous, WORD_WITH))
            reader_pin(reader, PIN_CURSOR, previous, token);
        break;
    default:
        break;
    }
}

/* A column that ALTER TABLE adds is filled in at once: a built-in type without DEFAULT is filled with
 * null, a domain of the user's may have nextval as its default. */
static bool adds_plain_column(struct scanner rest) {
    struct token token = scanner_next(&rest);
    switch (token.kind == TOKEN_WORD ? token.word.id : WORD_NONE) {
    case WORD_CONSTRAINT:
    case WORD_PRIMARY:
    case WORD_FOREIGN:
    case WORD_UNIQUE:
    case WORD_CHECK:
    case WORD_EXCLUDE:
        return true;
    case WORD_COLUMN:
        token = scanner_next(&rest);
        break;
    default:
        break;
    }
    if (reader_is(&token, WORD_IF)) {
        scanner_next(&rest);
        scanner_next(&rest);
        token = scanner_next(&rest);
    }
    struct token type = scanner_next(&rest);
    return reader_is_name(&token) && type.kind == TOKEN_WORD && type.word.flags & WORD_IS_TYPE &&
           scanner_next(&rest).kind != TOKEN_DOT;
}

static void look_definition_word(struct reader *reader) {
    const struct token *token = &reader->token, *previous = &reader->previous;
    unsigned content = reader->content;
    enum word_id id = token->word.id;
    if (content & CONTENT_CREATE) {
        if (is_temporary(token) && (reader_is(previous, WORD_CREATE) || reader_is(previous, WORD_REPLACE) ||
                                    reader_is(previous, WORD_LOCAL) || reader_is(previous, WORD_GLOBAL)))
            reader_pin(reader, PIN_TEMPORARY, previous, token);
        /* CREATE TABLE … AS WITH … may write, and its INSERT takes defaults. */
        if (id == WORD_INSERT || id == WORD_MERGE ||
            (id == WORD_UPDATE && !reader_is(previous, WORD_ON) && !reader_is(previous, WORD_FOR)))
            reader_pin(reader, PIN_SEQUENCE, token, token);
        if (id == WORD_EXECUTE && reader_is(previous, WORD_AS))
            reader_pin(reader, PIN_PREPARED, token, token);
        if (id == WORD_CREATE && content & CONTENT_SCHEMA)
            reader_pin(reader, PIN_STATEMENT, token, token);
    } else if (content & CONTENT_ALTER_TABLE) {
        if (id == WORD_DEFAULT || id == WORD_SERIAL ||
            (id == WORD_IDENTITY && !reader_is(previous, WORD_REPLICA)) ||
            (id == WORD_ADD && !adds_plain_column(reader->scanner)))
            reader_pin(reader, PIN_SEQUENCE, token, token);
    } else if (content & CONTENT_ALTER_TYPE && id == WORD_ATTRIBUTE) {
        reader_pin(reader, PIN_STATEMENT, token, token); /* reaches typed tables, as adding a column does */
    } else if (content & CONTENT_ALTER_DEFAULTS && (id == WORD_SET || id == WORD_RESET)) {
        /* A bare program's next session begins with the new value: ours must not be handed on. */
        reader->verdict.traits |= STATEMENT_DATABASE_DDL;
        reader_pin(reader, PIN_STATEMENT, &reader->lead, &reader->lead);
    }
}

/* SET LOCAL search_path: with pg_temp in front a CREATE TABLE outlives the transaction as a temporary one;
 * with pg_catalog not in front the names of the allow-list mean other functions. Text that is not plain
 * could hold either. */
static void look_search_path(struct reader *reader) {
    const struct token *token = &reader->token;
    if (token->kind != TOKEN_STRING && !reader_is_name(token))
        return;
    bool plain = token->kind != TOKEN_STRING ||
                 (token->text[0] == '\'' && !memchr(token->text + 1, '\'', token->length - 2));
    for (size_t i = 0; plain && i + 3 <= token->length; i++)
        plain = strncasecmp(token->text + i, "pg_", 3) != 0;
    if (!plain)
        reader_pin(reader, PIN_TEMPORARY, &reader->lead, &reader->lead);
}

void reader_look(struct reader *reader) {
    const struct token *token = &reader->token;
    if (reader->with_list || reader_is(token, WORD_WITH))
        follow_with_list(reader);
    if (token->kind == TOKEN_OPEN)
        look_open(reader);
    else if (token->kind == TOKEN_CLOSE)
        look_close(reader);
    else {
        if (reader_is_name(token))
            look_identifier(reader);
        if (token->kind == TOKEN_WORD && token->word.id) {
            if (reader->content & CONTENT_QUERY)
                look_query_word(reader);
            else
                look_definition_word(reader);
        }
        if (reader->content & CONTENT_SEARCH_PATH)
            look_search_path(reader);
        reader->closed_from_item = false;
    }
}

void reader_rest(struct reader *reader) {
    while (reader_advance(reader))
        reader_look(reader);
}
