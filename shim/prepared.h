/*
 * prepared.h: lists of prepared statements: a handle's by the program's names, a connection's by ours.
 *
 * On a connection a statement goes by a name made of its number. Numbers count up in the whole process and
 * are never used twice, so a greater one was prepared later. A handle's list is its owner's, a connection's
 * the lease holder's; nothing is shared between the two, and there is no lock.
 */
#ifndef PQONE_PREPARED_H
#define PQONE_PREPARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>

struct server;

struct prepared {
    struct prepared *next;
    uint64_t number; /* of the handle's own PQprepare; on a connection, of what was prepared there */
    uint64_t hash;   /* of text and types */
    bool literal;    /* settings may read its text in another way */
    bool unproven;   /* sent, and no answer seen yet; on a connection, only for who sent it */
    int count;       /* of types that were given, not of parameters */
    const Oid *types;
    const char *text;
    char *name; /* the program's; "" on a connection */
};

enum {
    PREPARED_NAME = 48,  /* room for a name of ours */
    PREPARED_MANY = 200, /* names made on a connection, after which it is rid of them */
};

/* A statement that nobody has: the server answers 26000. */
extern const char prepared_nobodys[];

uint64_t prepared_next(void);
void prepared_write_name(uint64_t number, char name[PREPARED_NAME]);

/* The program's own name as the server may see it: never one of ours. */
const char *prepared_foreign_name(const char *name);

uint64_t prepared_hash(const char *text, int count, const Oid *types);

/* The copy that was put into the list, or NULL: memory is short. */
struct prepared *prepared_add(struct prepared **list, uint64_t number, const char *name, const char *text,
                              int count, const Oid *types);
void prepared_remove(struct prepared **list, const struct prepared *gone);
void prepared_clear(struct prepared **list);

/* As the server compares names: by their first 63 bytes. */
struct prepared *prepared_named(struct prepared *list, const char *name);

/* What the connection has that is `wanted`: prepared by its own PQprepare, or with equal text and types and
 * not before it, since an older one may have seen other tables. NULL: it has to be prepared there. */
struct prepared *prepared_on(const struct server *server, const struct prepared *wanted);

/* Notes one on the connection. */
struct prepared *prepared_put_on(struct server *server, uint64_t number, const char *text, int count,
                                 const Oid *types);
/* Its session is new. */
void prepared_leave(struct server *server);

/* Does the text hold anything that settings or the client's encoding may read in another way? */
bool prepared_holds_literal(const char *text);

/* Does the text hold a literal that means another moment each time it is read ('now', 'today')? The server
 * reads it once, when it prepares. */
bool prepared_fixes_time(const char *text);

#endif
