/*
 * words.h: a list of conninfo words, as PQconnectdbParams takes them, built up piece by piece.
 */
#ifndef PQONE_WORDS_H
#define PQONE_WORDS_H

#include <stdbool.h>

#include "roads/real.h"

struct request;

enum { WORDS_MAX = 256 };

struct words {
    const char *keywords[WORDS_MAX + 1]; /* NULL-terminated; later words override earlier ones */
    const char *values[WORDS_MAX + 1];
    int count;
    int expand_dbname;
    PQconninfoOption *parsed, *parsed_via; /* what some of the pointers point into */
};

/* The words of a request with PQONE_VIA's behind them. False if libpq cannot parse it, or it has too many
 * words. Free with words_free() in any case. */
bool words_of_request(struct words *words, struct libpq *libpq, const struct request *request);
bool words_add(struct words *words, const char *keyword, const char *value);
void words_free(struct words *words, struct libpq *libpq);

#endif
