/*
 * descriptor.h: the number that PQsocket returns for a handle, one for its life.
 *
 * It is one end of a socket pair and never leads anywhere else. While the handle holds a server connection,
 * the number mirrors that one's socket: a byte is put into it when there is something to read, and it is kept
 * from being writable while libpq waits for room. So whatever watches it, in whatever way (poll, select,
 * epoll with any flags, io_uring, a copy of the number, another process's event loop), is served by the
 * kernel, also a thread that was blocked in the wait before the lease came. The relay (relay.h) tells of what
 * comes while nobody calls.
 *
 * Threads: a handle's descriptor is its owner's, who calls everything here but where another is named. `lock`
 * is a leaf below a set's. Memory is recycled, never given back, for the relay may look at a dead one.
 */
#ifndef PQONE_DESCRIPTOR_H
#define PQONE_DESCRIPTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct handle;
struct server;

/* What the program may wait for next. */
enum await {
    AWAIT_INPUT,
    AWAIT_ROOM, /* libpq told it of unsent output, so for being writable as well */
    AWAIT_PUSH, /* it was not told, and waits for input alone: it is to call when there is room, too */
};

struct descriptor {
    pthread_mutex_t lock;            /* guards what follows; the atomic ones are looked at without it */
    int number;                      /* the program's end */
    _Atomic int peer;                /* ours; hidden from the program (numbers.h) */
    uint64_t number_inode;           /* what they were, before we touch a number that the program closed */
    _Atomic uint64_t peer_inode;     /* atomic for descriptor_ring() */
    _Atomic(struct server *) server; /* whose socket it mirrors; NULL: nobody's */
    int socket;                      /* libpq's number of it, at the last descriptor_follow() */
    enum await await;                /* what for, then */
    _Atomic bool signalled;          /* there is a byte of ours in it */
    _Atomic bool rung;               /* there may be one that descriptor_ring() put there */
    _Atomic bool dammed;             /* it is kept from being writable */
    _Atomic bool severed;            /* our end was closed past the guard: a new pair is needed */
    unsigned generation;             /* the process whose pair it is: a forked child makes one of its own */
    struct handle *handle;           /* whose it is; only to be passed on to numbers_show() */
    struct descriptor *next;         /* free memory */
    struct descriptor *sibling;      /* all there ever were */
};

/* NULL: no memory, no numbers left, or no relay can be had in this process. The number is readable for
 * nobody, writable, non-blocking and closed on exec, as libpq's sockets are. */
struct descriptor *descriptor_new(struct handle *handle);

/* PQfinish: the number is closed, unless the program did and it is something else by now. */
void descriptor_free(struct descriptor *descriptor);

/* The number, valid in this process; -1 if the program closed it and no other could be made. */
int descriptor_number(struct descriptor *descriptor);

/* From here on the number shows what the connection's socket shows. The caller holds its lease, on behalf of
 * the descriptor's handle: its owner at the end of a call of libpq, which has read what was there (an old
 * signal is taken back), or whoever sent a waiting handle's query. No system call where nothing has changed
 * since the last one. A connection without a socket (libpq closed it) is as none. Before libpq replaces the
 * socket of an open connection (PQreset): relay_forget(). */
void descriptor_follow(struct descriptor *descriptor, struct server *server, enum await await);

/* The lease is over, or its connection is: the number shows an idle connection. */
void descriptor_leave(struct descriptor *descriptor);

/* Readable until the owner's next descriptor_follow() or descriptor_leave(): something is to be fetched that
 * no socket tells of (a wait that came to nothing). Any thread. */
void descriptor_signal(struct descriptor *descriptor);

/* The same for a signal handler, which may not take the lock. Not in a forked child before its
 * first call, where the pair is the parent's. */
void descriptor_ring(struct descriptor *descriptor);

/* The relay: the server's socket has something. Signals the descriptor that mirrors it, if there is one and
 * it is so; asks to be told again otherwise. */
void descriptor_relay(struct server *server);

/* A relay that is new in this process: asks it for all that is followed. */
void descriptors_arm(void);

/* Forked child, before anything else is asked of it: the lock may be anybody's who is not here, and the pair
 * is the parent's. The child neither reads nor writes that one: at the first need it puts an end of a pair of
 * its own at the number. */
void descriptor_fork_child(struct descriptor *descriptor);
void descriptors_fork(int side); /* enum fork_side: the list of free memory */

#endif
