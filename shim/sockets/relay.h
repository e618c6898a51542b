/*
 * relay.h: the thread that waits for server sockets on behalf of handles whose program waits for its number.
 *
 * One epoll descriptor, every socket watched one-shot: it is armed by whoever ends a call with a lease kept,
 * and fires at most once for that. A process that never asks for PQsocket has no relay.
 *
 * No lost wake-up: whoever arms has stored descriptor->server first and then looks at server->armed; the
 * relay takes server->armed back first and then looks for the descriptor.
 *
 * A program that closes descriptors past the guard (numbers.h) may have closed the relay's, too, and a number
 * of the same value may be an epoll of its own: a second descriptor of ours in it tells them apart.
 */
#ifndef PQONE_RELAY_H
#define PQONE_RELAY_H

#include "process.h"
#include "sockets/descriptor.h"

enum { RELAY_INPUT = 1, RELAY_ROOM = 2 };

/* Starts the thread if there is none in this process yet. False: there can be none. Keeps errno. */
bool relay_start(void);

/* Is the relay waiting for `what` of the connection already? It believes that the socket is the one it was
 * when it was armed: whoever cannot be sure sets server->armed to 0. */
bool relay_is_armed(const struct server *server, unsigned what);

/* Tells descriptor_relay() once when the server's socket becomes readable or writable. The caller has the
 * lock of the descriptor that follows it. No system call where it is armed for that already. False: it cannot
 * be waited for. */
bool relay_arm(struct server *server, int socket, unsigned what);

/* Before libpq closes the connection's socket or replaces it (PQfinish, PQreset): a forked child may keep the
 * file open, and it would go on firing. The caller holds the lease, and no descriptor follows it. */
void relay_forget(struct server *server);

void relay_fork(enum fork_side side);

#endif
