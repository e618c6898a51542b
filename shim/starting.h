/*
 * starting.h: connects that programs drive themselves (PQconnectStart), as far as the cap is concerned.
 *
 * An event loop starts all its connects before it polls the first. Below PQONE_MAX_CONNECTIONS each is a real
 * one: who joined another's might wait for one that is never polled. At the cap a handle joins: it has no
 * connection of its own, and is open when the set has one that is. When those that were started come to
 * nothing, or after STARTING_PATIENCE, it connects after all.
 */
#ifndef PQONE_STARTING_H
#define PQONE_STARTING_H

#include "set.h"

/* Nanoseconds; as long as others wait for a blocking first connect. */
#define STARTING_PATIENCE INT64_C(2000000000)

/* May the handle join instead of connecting, or after its connect was refused for want of room? Then it
 * counts as one that does, and has a descriptor. */
bool starting_join(struct handle *handle, bool refused);

/* Is it still to wait, or to connect for itself? Under the set lock. */
bool starting_joins_still(const struct handle *handle);

/* The handle starts a connect of its own. */
void starting_begins(struct handle *handle);

/* It is connected, has failed, or is finished: those that joined look again. Nothing for other handles. */
void starting_ends(struct handle *handle);

/* The housekeeper: wakes who has waited long enough, and says when it has to look again. */
void starting_look(struct set *set, int64_t now, int64_t *next);

#endif
