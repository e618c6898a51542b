/*
 * growth.h: one server connection more for a set that has handles already.
 */
#ifndef PQONE_GROWTH_H
#define PQONE_GROWTH_H

#include "set.h"

enum growth { GROWTH_DONE, GROWTH_REFUSED, GROWTH_FAILED };

/* Connects to the set's target, for a handle: to the very server that the handle knows, if that one still
 * answers. GROWTH_REFUSED: the server said 53300, too many connections. On failure the handle's error
 * message is libpq's. Blocks as PQconnectdb does; no lock may be held. On success `*grown` is listed in no
 * set yet and its lease is LEASE_ENGINE. */
enum growth growth_connect(struct set *set, struct handle *handle, struct server **grown);

/* Is this libpq's message of a refusal for want of room, as far as one can tell without the SQLSTATE? */
bool growth_message_is_refusal(const char *message);

/* After connections were closed to make room: the server counts them until their backends have left. Gives
 * them a moment, a longer one each time; false when that was long enough. */
bool growth_wait_for_room(int tries);

#endif
