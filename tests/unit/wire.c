/* wire.c: a server connection that is nothing but a socket. */
#define _GNU_SOURCE
#include "wire.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

_Atomic int looks;

static int wire_socket(const PGconn *conn) {
    looks++;
    return ((const struct wire *)conn)->near;
}

static ConnStatusType wire_status(const PGconn *conn) {
    return ((const struct wire *)conn)->status;
}

static struct libpq fake = {.PQsocket = wire_socket, .PQstatus = wire_status};

void wire_open(struct wire *one) {
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    one->near = ends[0];
    one->far = ends[1];
    one->status = CONNECTION_OK;
    one->server.libpq = &fake;
    one->server.conn = (PGconn *)one;
}

void wire_say(struct wire *one) {
    cr_assert_eq(send(one->far, "x", 1, MSG_NOSIGNAL), 1);
}

void drain(int socket) {
    char away[65536];
    while (recv(socket, away, sizeof away, MSG_DONTWAIT) > 0)
        ;
}

void fill(int socket) {
    static char much[65536];
    while (send(socket, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

bool becomes(int watched, short event, int milliseconds) {
    struct pollfd look = {.fd = watched, .events = event};
    return poll(&look, 1, milliseconds) == 1 && look.revents & event;
}

struct wire wire, wire2;
struct handle handle;
struct descriptor *descriptor;
int number;

void wires_begin(void) {
    wire_open(&wire);
    wire_open(&wire2);
    descriptor = descriptor_new(&handle);
    cr_assert_not_null(descriptor);
    number = descriptor_number(descriptor);
}

void follow(enum await await) {
    descriptor_follow(descriptor, &wire.server, await);
}

int epoll_on(int watched, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = watched};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, watched, &event), 0);
    return epoll;
}

uint32_t epoll_next(int epoll, int milliseconds) {
    struct epoll_event event;
    return epoll_wait(epoll, &event, 1, milliseconds) == 1 ? event.events : 0;
}
