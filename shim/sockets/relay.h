/*
 * relay.h: the thread that waits for server sockets on behalf of handles whose program waits for its number.
 *
 * One epoll descriptor, every socket watched one-shot: it is armed by whoever ends a call with a lease kept,
 * and fires at most once for that. A process that never asks for PQsocket has no relay.
 *
 * No lost wake-up: whoever arms has stored descriptor->server first and then looks at server->armed; the
 * relay takes server->armed back first and then looks for the descriptor.
 */
#ifndef PQONE_RELAY_H
#define PQONE_RELAY_H

#include "process.h"
#include "sockets/descriptor.h"

/* Starts the thread if there is none in this process yet. False: there can be none. Keeps errno. */
bool relay_start(void);

/* Tells descriptor_relay() once when the server's socket becomes readable, or with AWAIT_ROOM writable as
 * well. The caller holds the server's lease. No system call where it is armed for that already. */
void relay_arm(struct server *server, enum await await);

/* Before libpq closes the connection's socket: a forked child may keep the file open, and it would go on
 * firing. */
void relay_forget(struct server *server);

void relay_fork(enum fork_side side);

#endif
