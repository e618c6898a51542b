/* relay.c: waits for server sockets on behalf of the programs' numbers. */
#define _GNU_SOURCE
#include "sockets/relay.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server.h"
#include "sockets/numbers.h"
#include "thread.h"

enum { BATCH = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards starting, and what follows */
static pthread_mutex_t telling =
    PTHREAD_MUTEX_INITIALIZER;                /* around what the thread does: no fork is in its middle */
static _Atomic int epoll = -1, sentinel = -1; /* the latter is in the former, and never fires */
static _Atomic bool running;
/* Counts relays: one more for each that is started, and for a fork. It is part of server->armed, so that what
 * an earlier one was asked for is asked again. */
static _Atomic unsigned incarnation = 1;

/* What was written before a socket was armed is to be seen by the relay that the kernel wakes for it. */
static _Atomic unsigned handed_over;

enum { WHAT = RELAY_INPUT | RELAY_ROOM, WHAT_BITS = 2 };

static unsigned armed_now(unsigned what) {
    return atomic_load(&incarnation) << WHAT_BITS | what;
}

/* Nobody else has the sentinel in an epoll. In a stranger's this finds nothing and changes nothing. */
static bool epoll_is_ours(void) {
    struct epoll_event none = {.events = 0};
    return epoll_ctl(atomic_load(&epoll), EPOLL_CTL_MOD, atomic_load(&sentinel), &none) == 0;
}

/* What is not provably ours stays open: the number may be the program's by now. */
static void close_epoll(void) {
    if (atomic_load(&epoll) < 0 || !epoll_is_ours())
        return;
    numbers_close(atomic_exchange(&epoll, -1));
    numbers_close(atomic_exchange(&sentinel, -1));
}

static bool make_epoll(void) {
    struct epoll_event none = {.events = 0};
    int waits = epoll_create1(EPOLL_CLOEXEC), token = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (waits >= 0)
        waits = numbers_hide(waits, &epoll);
    if (token >= 0)
        token = numbers_hide(token, &sentinel);
    if (waits >= 0 && token >= 0 && epoll_ctl(waits, EPOLL_CTL_ADD, token, &none) == 0)
        return true;
    if (waits >= 0)
        numbers_close(atomic_exchange(&epoll, -1));
    if (token >= 0)
        numbers_close(atomic_exchange(&sentinel, -1));
    return false;
}

static void *relay(void *argument);

/* In place of the relay `before`, unless somebody was faster. The old thread, if it waits for what nobody can
 * reach any more, is left to wait: it leaves when it finds that it is not the one. */
static bool renew(unsigned before) {
    int saved_errno = errno;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&running) || atomic_load(&incarnation) == before) {
        close_epoll();
        unsigned next = atomic_fetch_add(&incarnation, 1) + 1;
        bool started = make_epoll() && thread_start(relay, (void *)(uintptr_t)next);
        if (!started)
            close_epoll();
        atomic_store(&running, started);
    }
    bool has_one = atomic_load(&running);
    pthread_mutex_unlock(&lock);
    errno = saved_errno;
    return has_one;
}

bool relay_start(void) {
    return atomic_load(&running) || renew(0);
}

static void tell(const struct epoll_event *events, int count, unsigned mine) {
    pthread_mutex_lock(&telling);
    for (int i = 0; i < count && atomic_load(&incarnation) == mine; i++) {
        struct server *server = events[i].data.ptr;
        /* The pointer came by the kernel; what it points to came by this word. */
        if (server && atomic_load(&server->armed)) {
            atomic_store(&server->armed, 0);
            descriptor_relay(server);
        }
    }
    pthread_mutex_unlock(&telling);
}

static void arm_all(void) {
    pthread_mutex_lock(&telling);
    descriptors_arm();
    pthread_mutex_unlock(&telling);
}

static void *relay(void *argument) {
    unsigned mine = (unsigned)(uintptr_t)argument;
    struct epoll_event events[BATCH];
    pthread_setname_np(pthread_self(), "pqone-relay");
    arm_all();
    while (atomic_load(&incarnation) == mine) {
        if (!epoll_is_ours()) {
            if (!renew(mine))
                arm_all(); /* each learns that there is none */
            break;
        }
        int count = epoll_wait(atomic_load(&epoll), events, BATCH, -1);
        (void)atomic_load(&handed_over);
        if (count > 0)
            tell(events, count, mine);
    }
    return NULL;
}

bool relay_is_armed(const struct server *server, unsigned what) {
    unsigned armed = atomic_load(&server->armed);
    return (armed & ~(unsigned)WHAT) == armed_now(0) && (armed & what) == what;
}

/* A socket that is new to the epoll is added only when that is known to be ours. */
static bool watch_socket(struct server *server, int socket, unsigned what) {
    struct epoll_event event = {.events = EPOLLONESHOT | (what & RELAY_INPUT ? EPOLLIN : 0) |
                                          (what & RELAY_ROOM ? EPOLLOUT : 0),
                                .data.ptr = server};
    atomic_fetch_add(&handed_over, 1);
    if (epoll_ctl(atomic_load(&epoll), EPOLL_CTL_MOD, socket, &event) == 0)
        return true;
    return errno == ENOENT && epoll_is_ours() &&
           epoll_ctl(atomic_load(&epoll), EPOLL_CTL_ADD, socket, &event) == 0;
}

bool relay_arm(struct server *server, int socket, unsigned what) {
    if (relay_is_armed(server, what))
        return true;
    for (int tries = 0; tries < 2; tries++) {
        unsigned current = atomic_load(&incarnation);
        if (!relay_start())
            break;
        /* First the word: the socket may fire before the next line, and the relay takes the word back. */
        atomic_store(&server->armed, armed_now(what));
        if (watch_socket(server, socket, what))
            return true;
        if (epoll_is_ours()) /* it is the socket, or the kernel's memory */
            break;
        renew(current);
    }
    atomic_store(&server->armed, 0);
    return false;
}

void relay_forget(struct server *server) {
    unsigned armed = atomic_exchange(&server->armed, 0);
    if ((armed & ~(unsigned)WHAT) != armed_now(0))
        return;
    int saved_errno = errno;
    epoll_ctl(atomic_load(&epoll), EPOLL_CTL_DEL, server->libpq->PQsocket(server->conn), NULL);
    errno = saved_errno;
}

void relay_fork(enum fork_side side) {
    process_fork_lock(&telling, side);
    process_fork_lock(&lock, side);
    if (side != FORK_CHILD && side != FORK_UNPREPARED)
        return;
    /* The epoll is shared with the parent, and so is all that one would do to it. */
    int saved_errno = errno;
    close_epoll();
    atomic_store(&epoll, -1);
    atomic_store(&sentinel, -1);
    atomic_fetch_add(&incarnation, 1);
    atomic_store(&running, false);
    errno = saved_errno;
}
