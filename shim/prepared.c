/* prepared.c: lists of prepared statements. */
#define _GNU_SOURCE
#include "prepared.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server.h"
#include "statement_scanner.h"

enum { SERVER_NAME = 63 }; /* NAMEDATALEN - 1 */

const char prepared_nobodys[] = "pqone: no statement of this connection";

static _Atomic uint64_t last_number;
static _Atomic uint32_t salt; /* so that no name that a program makes up is one of ours by chance */

static uint32_t get_salt(void) {
    uint32_t known = atomic_load_explicit(&salt, memory_order_relaxed), fresh;
    if (known)
        return known;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    fresh = ((uint32_t)now.tv_nsec ^ (uint32_t)now.tv_sec << 9 ^ (uint32_t)getpid() << 16) | 1;
    return atomic_compare_exchange_strong(&salt, &known, fresh) ? fresh : known;
}

uint64_t prepared_next(void) {
    return atomic_fetch_add(&last_number, 1) + 1;
}

void prepared_write_name(uint64_t number, char name[PREPARED_NAME]) {
    snprintf(name, PREPARED_NAME, "pqone_%08x_%llu", get_salt(), (unsigned long long)number);
}

const char *prepared_foreign_name(const char *name) {
    char ours[PREPARED_NAME];
    int length = snprintf(ours, sizeof ours, "pqone_%08x_", get_salt());
    return name && strncmp(name, ours, (size_t)length) == 0 ? prepared_nobodys : name;
}

static uint64_t add_bytes(uint64_t hash, const void *bytes, size_t size) {
    for (const unsigned char *at = bytes; size > 0; at++, size--)
        hash = (hash ^ *at) * UINT64_C(1099511628211);
    return hash;
}

uint64_t prepared_hash(const char *text, int count, const Oid *types) {
    uint64_t hash = add_bytes(UINT64_C(14695981039346656037), text, strlen(text) + 1);
    return types ? add_bytes(hash, types, (size_t)count * sizeof *types) : hash;
}

struct prepared *prepared_add(struct prepared **list, uint64_t number, const char *name, const char *text,
                              int count, const Oid *types) {
    size_t named = strlen(name) + 1, said = strlen(text) + 1;
    if (!types || count < 0)
        count = 0;
    size_t typed = (size_t)count * sizeof *types;
    struct prepared *added = malloc(sizeof *added + typed + said + named);
    if (!added)
        return NULL;
    char *room = (char *)(added + 1);
    if (typed)
        memcpy(room, types, typed);
    memcpy(room + typed, text, said);
    memcpy(room + typed + said, name, named);
    *added = (struct prepared){*list,
                               number,
                               prepared_hash(text, count, types),
                               prepared_holds_literal(text),
                               false,
                               count,
                               (const Oid *)(void *)room,
                               room + typed,
                               room + typed + said};
    return *list = added;
}

void prepared_remove(struct prepared **list, const struct prepared *gone) {
    while (*list && *list != gone)
        list = &(*list)->next;
    struct prepared *found = *list;
    if (!found)
        return;
    *list = found->next;
    free(found);
}

void prepared_clear(struct prepared **list) {
    while (*list)
        prepared_remove(list, *list);
}

struct prepared *prepared_named(struct prepared *list, const char *name) {
    if (!name)
        return NULL;
    while (list && strncmp(list->name, name, SERVER_NAME) != 0)
        list = list->next;
    return list;
}

static bool says_the_same(const struct prepared *one, const struct prepared *other) {
    return one->hash == other->hash && one->count == other->count && strcmp(one->text, other->text) == 0 &&
           (one->count == 0 || memcmp(one->types, other->types, (size_t)one->count * sizeof(Oid)) == 0);
}

struct prepared *prepared_on(const struct server *server, const struct prepared *wanted) {
    struct prepared *equal = NULL;
    for (struct prepared *one = server->prepared; one; one = one->next) {
        if (one->number == wanted->number)
            return one;
        if (!equal && one->number > wanted->number && !one->unproven && says_the_same(one, wanted))
            equal = one;
    }
    return equal;
}

struct prepared *prepared_put_on(struct server *server, uint64_t number, const char *text, int count,
                                 const Oid *types) {
    server->names++;
    return prepared_add(&server->prepared, number, "", text, count, types);
}

void prepared_leave(struct server *server) {
    prepared_clear(&server->prepared);
    server->names = 0;
}

/* As a word, not in "unknown". */
static bool holds(const struct token *literal, const char *word) {
    size_t length = strlen(word);
    for (size_t i = 1; i + length < literal->length; i++)
        if (strncasecmp(literal->text + i, word, length) == 0 &&
            !isalpha((unsigned char)literal->text[i - 1]) &&
            !isalpha((unsigned char)literal->text[i + length]))
            return true;
    return false;
}

/* Strings and NULL (transform_null_equals), but for the NULL that is an operator's. */
bool prepared_holds_literal(const char *text) {
    struct scanner scanner = {.at = text, .end = text + strlen(text), .backslash_escapes = false};
    bool is = false;
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at > 127)
            return true;
    for (;;) {
        struct token token = scanner_next(&scanner);
        bool word = token.kind == TOKEN_WORD;
        if (token.kind == TOKEN_END)
            return false;
        if (token.kind == TOKEN_STRING || token.kind == TOKEN_UNREADABLE ||
            (token.kind == TOKEN_QUOTED && token.text[0] != '"') ||
            (word && !is && token.length == 4 && strncasecmp(token.text, "null", 4) == 0))
            return true;
        is = word && ((token.length == 2 && strncasecmp(token.text, "is", 2) == 0) ||
                      (token.length == 3 && strncasecmp(token.text, "not", 3) == 0));
    }
}

bool prepared_fixes_time(const char *text) {
    struct scanner scanner = {.at = text, .end = text + strlen(text), .backslash_escapes = false};
    for (;;) {
        struct token token = scanner_next(&scanner);
        if (token.kind == TOKEN_END)
            return false;
        /* The words may be written with escapes, too. */
        if (token.kind == TOKEN_UNREADABLE ||
            (token.kind == TOKEN_STRING &&
             (holds(&token, "now") || holds(&token, "today") || holds(&token, "tomorrow") ||
              holds(&token, "yesterday") ||
              (token.text[0] != '\'' && memchr(token.text, '\\', token.length)))))
            return true;
    }
}
