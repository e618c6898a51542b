/*
 * trimmer.h: gives back the room that ledgers of dead processes do not use.
 *
 * A ledger is allocated in full, about a megabyte, so that its process can never fail to write to it. Once
 * that is dead the unused rows are holes: a build of a thousand psql would fill a small /run otherwise.
 */
#ifndef PQONE_TRIMMER_H
#define PQONE_TRIMMER_H

struct trimmer;

/* Trims now and then, in a thread of its own, until it is stopped. NULL: it cannot be started, which costs
 * room only. `directory` is kept, not copied. */
struct trimmer *trimmer_start(const char *directory);
/* Trims a last time. NULL is harmless. */
void trimmer_stop(struct trimmer *trimmer);

#endif
