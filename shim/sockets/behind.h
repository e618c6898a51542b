/*
 * behind.h: the server's socket behind a number that PQsocket returned, for whoever asks the kernel about
 * that number: any thread, also in a signal handler. So locks are only tried for.
 */
#ifndef PQONE_BEHIND_H
#define PQONE_BEHIND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct handle;

enum behind {
    BEHIND_ANY,    /* to read from: the connection that the handle holds, else an open one of its set, else
                    * a socket of that kind that leads nowhere */
    BEHIND_LEASED, /* to change: the one that it holds, by a copy of the number, which nobody closes */
};

typedef void behind_act(int socket, uint64_t holder, void *context);

/* Calls `act` with the socket and the number of the handle that has the connection or had it last, and
 * signals held back. False: there is none, or just now nobody can say. Keeps errno but for what `act` does to
 * it. */
bool behind_visit(const struct handle *handle, enum behind which, behind_act *act, void *context);

/* The address of the server that the handle's connections lead to, for as long as it holds none: as
 * getpeername() gives it. */
bool behind_peer(const struct handle *handle, struct sockaddr *address, socklen_t *length);

#endif
