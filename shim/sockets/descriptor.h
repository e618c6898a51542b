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

struct server;

struct descriptor {
    pthread_mutex_t lock;              /* guards what follows */
    int number;                        /* the program's end */
    _Atomic int peer;                  /* ours; hidden from the program (numbers.h) */
    uint64_t number_inode, peer_inode; /* what they were, before we touch a number that the program closed */
    struct server *server;             /* whose socket it mirrors; NULL: nobody's */
    bool signalled;                    /* there is a byte of ours in it */
    bool dammed;                       /* it is kept from being writable */
    unsigned generation;               /* the process whose pair it is: a forked child makes one of its own */
    struct descriptor *next;           /* free memory */
};

/* NULL: no memory, no numbers left, or no relay can be had in this process. The number is readable for
 * nobody, writable, non-blocking and closed on exec, as libpq's sockets are. */
struct descriptor *descriptor_new(void);

/* PQfinish: the number is closed, unless the program did and it is something else by now. */
void descriptor_free(struct descriptor *descriptor);

/* The number, valid in this process; -1 if the program closed it and no other could be made. */
int descriptor_number(struct descriptor *descriptor);

/* What the program may wait for next. */
enum await { AWAIT_INPUT, AWAIT_ROOM }; /* AWAIT_ROOM: and unsent output, so for being writable as well */

/* From here on the number shows what the connection's socket shows. The caller holds its lease, on behalf of
 * the descriptor's handle: its owner at the end of a call of libpq, which has read what was there (an old
 * signal is taken back), or whoever sent a waiting handle's query. */
void descriptor_follow(struct descriptor *descriptor, struct server *server, enum await await);

/* The lease is over, or its connection is: the number shows an idle connection. */
void descriptor_leave(struct descriptor *descriptor);

/* Readable until the owner's next descriptor_follow() or descriptor_leave(): something is to be fetched that
 * no socket tells of (a wait that came to nothing). Any thread. */
void descriptor_signal(struct descriptor *descriptor);

/* The same for a signal handler, which may not take the lock. */
void descriptor_ring(const struct descriptor *descriptor);

/* The relay: the server's socket has something. Signals the descriptor that mirrors it, if there is one and
 * it is so; asks to be told again otherwise. */
void descriptor_relay(struct server *server);

/* Forked child: the lock may be anybody's who is not here, and the pair is the parent's. */
void descriptor_fork_child(struct descriptor *descriptor);
void descriptors_fork(int side); /* enum fork_side: the list of free memory */

#endif
