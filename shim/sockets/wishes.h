/*
 * wishes.h: options that a program sets, and answers that it gets, on the number that PQsocket returned.
 *
 * An option is state of the session's socket. What differs from the connections' own is kept with the handle,
 * done to the connection that it holds or gets next, and pins it there. Kept are also shutdowns: who says
 * that the connection is over has no other one afterwards.
 *
 * Fit for a signal handler: nothing is allocated.
 */
#ifndef PQONE_WISHES_H
#define PQONE_WISHES_H

#include <stdbool.h>
#include <sys/socket.h>

#include "server.h"

/* handle.wishes. An option that was set is remembered for as long as the handle lives: others who ask about a
 * connection of theirs may be answered from the one that has it. */
enum { WISHES_NONE, WISHES_FULFILLED, WISHES_PENDING };

/* An option of the server's socket, as it is or will be. False: nobody knows, the number itself must do. */
bool wishes_get(const struct handle *handle, int level, int name, void *value, socklen_t *length,
                int *result);

/* As setsockopt(), with its errors. */
int wishes_set(struct handle *handle, int level, int name, const void *value, socklen_t length);

/* Shuts the connection of the handle down, now or when it has one. */
void wishes_shutdown(struct handle *handle, int how);

/* The handle has this connection and is about to use it: what is wished for is done, and pins. */
void wishes_fulfil(struct handle *handle, struct server *server);

/* The handle is finished, or its session is made new. */
void wishes_forget(struct handle *handle);

#endif
