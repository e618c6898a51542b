/*
 * statement.h: judging SQL by reading it.
 *
 * The question is never "what does this do" but "is it known to leave the session as it was". What is not
 * known harmless is named with a reason from pin.def. The scanner is strict: it knows comments (nested),
 * quotes, dollar quotes, several statements in one string, and calls unreadable whatever two servers or
 * settings could read in two ways.
 */
#ifndef PQONE_STATEMENT_H
#define PQONE_STATEMENT_H

#include <stdbool.h>
#include <stddef.h>

#include "pin.h"

/* How the server will read the text; taken from the handle's parameter status. */
struct reading {
    bool standard_conforming_strings;
    bool backslash_safe_encoding; /* false for SJIS, BIG5, GBK, UHC, GB18030, JOHAB */
    char *const *safe_functions;  /* PQONE_SAFE_FUNCTIONS: lower case, `*` is a wildcard; may be NULL; the
                                     list stays as it is while the pointer does */
};

/* What else a caller must know of the text; bits of verdict.traits. */
enum statement_trait {
    STATEMENT_DATABASE_DDL = 1, /* CREATE, DROP or ALTER DATABASE: idle connections would be in its way */
    STATEMENT_DISCARD_ALL = 2,  /* the text is DISCARD ALL and nothing else */
    STATEMENT_WRITES =
        4, /* may write: anything but SELECT, SHOW, VALUES, TABLE, EXPLAIN, transaction control */
};

struct verdict {
    enum pin_reason reason; /* PIN_NONE: known harmless */
    enum taint taint;       /* of the whole text: the worst of all its statements, not only of `reason` */
    unsigned traits;
    bool reparses; /* may change what later statements are read as (temporary tables), or which prepared ones
                      there are by SQL's own names */
    bool rereads;  /* sets what may decide how their literals are read */
    bool shows_prepared;   /* lists the prepared ones */
    bool reparses_locally; /* such a setting, up to the end of the transaction */
    /* The words in `sql` that decided it ("pg_advisory_lock", "SET search_path"); not terminated, points
     * into the text that was judged; length 0 when harmless. Never holds a literal. */
    const char *culprit;
    size_t culprit_length;
};

/* Judges `sql` (NULL is harmless: libpq refuses it). Allocates nothing, never fails, O(length). */
struct verdict statement_judge(const char *sql, const struct reading *reading);

/* Keywords and identifiers of `sql` for people: every literal (string, number, bit string, dollar quote,
 * parameter value) becomes ?, comments go, white space is one blank, cut with "..." at `size`.
 * Quoted identifiers stay. Whatever follows PASSWORD is ?. Unterminated text becomes ?. */
void statement_outline(const char *sql, char *out, size_t size);

/* Is the (lower case, unqualified or pg_catalog) function in the allow-list? For tests and tools. */
bool statement_function_is_harmless(const char *name, size_t length);

#endif
