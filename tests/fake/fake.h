/*
 * fake.h: the fake libpq's own side: what was called, with what, and what it answered.
 *
 * The fake is generated from the shim's table, so that it has every function of every version. Functions
 * are seen as machine words in and a word out (all of libpq's arguments are integers or pointers); that
 * keeps it free of libpq's headers and of their version.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdint.h>

enum { FAKE_ARGUMENTS = 8 };

struct fake_call {
    const char *name;
    int count;
    uintptr_t arguments[FAKE_ARGUMENTS]; /* of the last call */
    uintptr_t answer;
};

/* What is known of calls to `name`; never NULL. */
const struct fake_call *fake_call_of(const char *name);
void fake_forget(void);
/* A connection as libpq itself would have it, made behind the shim's back. */
void *fake_connection(void);
/* Is this a PGconn of the fake, not finished? */
int fake_is_connection(const void *pointer);
/* Open connections. */
int fake_open_connections(void);
/* The first function that was given something else where a PGconn, PGcancel or PGcancelConn belongs, or NULL.
 */
const char *fake_deceived(void);

#endif
