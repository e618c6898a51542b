/*
 * wire.h: a server connection whose PGconn is nothing but a socket, and a descriptor to follow it, for the
 * tests of descriptors.
 */
#ifndef PQONE_WIRE_H
#define PQONE_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../shim/server.h"
#include "../../shim/sockets/descriptor.h"

enum { LONG = 3000, SHORT = 30 }; /* milliseconds: for what must come, and for what must not */

/* `far` is the server's end. */
struct wire {
    struct server server;
    int near, far;
    ConnStatusType status;
};

extern struct wire wire, wire2;
extern struct handle handle;
extern struct descriptor *descriptor;
extern int number;        /* the descriptor's */
extern _Atomic int looks; /* at a connection's socket */

/* Before each test: two connections, and a descriptor that follows none. */
void wires_begin(void);
void wire_open(struct wire *one);

/* The server says something; the descriptor follows the first connection. */
void wire_say(struct wire *one);
void follow(enum await await);

/* Reads or writes all that a socket holds. */
void drain(int socket);
void fill(int socket);

/* Does poll(), or epoll_wait(), report it within that time? */
bool becomes(int watched, short event, int milliseconds);
int epoll_on(int watched, uint32_t events);
uint32_t epoll_next(int epoll, int milliseconds);

#endif
