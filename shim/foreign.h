/*
 * foreign.h: connections of a libpq that is newer than the table. The program holds libpq's own pointers;
 * they are only watched.
 */
#ifndef PQONE_FOREIGN_H
#define PQONE_FOREIGN_H

#include "set.h"

/* Writes down that the program has `conn`, and returns it. The set reference goes over. */
PGconn *foreign_opened(struct set *set, uint32_t site, PGconn *conn);

/* Before PQfinish on a pointer that we did not mint: whose it is, NULL if we do not know it. */
struct libpq *foreign_finished(const PGconn *conn);

void foreign_fork(enum fork_side side);

#endif
