/* descriptor.c: makes the number that PQsocket returns, and keeps it in step with a server's socket. */
#define _GNU_SOURCE
#include "sockets/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "quiet.h"
#include "server.h"
#include "sockets/numbers.h"
#include "sockets/relay.h"

enum { NUMBER, PEER };
enum { LOG = 2048, LOGS = 64 }; /* what a dam is made of: bytes, and how many at most */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards the list of free memory */
static struct descriptor *unused;
static _Atomic(struct descriptor *) all;

static bool is_socket(int number, uint64_t inode) {
    struct stat status;
    return fstat(number, &status) == 0 && S_ISSOCK(status.st_mode) && status.st_ino == inode;
}

static uint64_t inode_of(int number) {
    struct stat status;
    return fstat(number, &status) == 0 ? status.st_ino : 0;
}

static bool has_number(const struct descriptor *descriptor) {
    return is_socket(descriptor->number, descriptor->number_inode);
}

static bool has_peer(const struct descriptor *descriptor) {
    return is_socket(atomic_load(&descriptor->peer), atomic_load(&descriptor->peer_inode));
}

/* What can be done with the socket at once, of POLLIN and POLLOUT. Errors and ends count as both: the call
 * that comes for it finds them. */
static short ready(int socket, short events) {
    struct pollfd look = {.fd = socket, .events = events};
    if (!events || poll(&look, 1, 0) <= 0)
        return 0;
    return look.revents & (POLLERR | POLLHUP | POLLNVAL) ? events : look.revents & events;
}

static void empty(int socket) {
    char away[4096];
    while (recv(socket, away, sizeof away, MSG_DONTWAIT) == sizeof away)
        ;
}

static void put_byte(struct descriptor *descriptor) {
    if (has_peer(descriptor))
        send(atomic_load(&descriptor->peer), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        atomic_store(&descriptor->severed, true);
}

static void signal_program(struct descriptor *descriptor) {
    if (!atomic_exchange(&descriptor->signalled, true))
        put_byte(descriptor);
}

static void take_back_signal(struct descriptor *descriptor) {
    bool rung = atomic_exchange(&descriptor->rung, false);
    if ((atomic_exchange(&descriptor->signalled, false) || rung) && has_number(descriptor))
        empty(descriptor->number);
}

/* Takes all room from the number. What fills it lies at our end, where nobody reads. */
static void dam(struct descriptor *descriptor) {
    static const char log[LOG];
    if (atomic_load(&descriptor->dammed) || !has_number(descriptor))
        return;
    for (int i = 0; i < LOGS && ready(descriptor->number, POLLOUT); i++)
        send(descriptor->number, log, sizeof log, MSG_DONTWAIT | MSG_NOSIGNAL);
    atomic_store(&descriptor->dammed, true);
}

static void undam(struct descriptor *descriptor) {
    if (atomic_exchange(&descriptor->dammed, false) && has_peer(descriptor))
        empty(atomic_load(&descriptor->peer));
}

/* There was no room a moment ago, when libpq tried, and there is again. Who watches for edges has to see one,
 * also where the number was writable all the while. */
static void show_room(struct descriptor *descriptor) {
    if (atomic_load(&descriptor->dammed)) {
        undam(descriptor);
    } else if (has_number(descriptor) && has_peer(descriptor) &&
               send(descriptor->number, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1) {
        empty(atomic_load(&descriptor->peer));
    }
}

/* A pair of this process, at the same number if that is still ours. */
static bool make_pair(struct descriptor *descriptor) {
    int ends[2], least = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    setsockopt(ends[NUMBER], SOL_SOCKET, SO_SNDBUF, &least, sizeof least); /* a dam is soon full */
    if (descriptor->number >= 0 && has_number(descriptor) &&
        syscall(SYS_dup3, ends[NUMBER], descriptor->number, O_CLOEXEC) >= 0) {
        numbers_forget(ends[NUMBER]); /* whatever it once was */
        numbers_close(ends[NUMBER]);
    } else {
        descriptor->number = ends[NUMBER];
    }
    if (atomic_load(&descriptor->peer) >= 0 && has_peer(descriptor))
        numbers_close(atomic_load(&descriptor->peer));
    descriptor->number_inode = inode_of(descriptor->number);
    atomic_store(&descriptor->peer_inode, inode_of(ends[PEER]));
    numbers_hide(ends[PEER], &descriptor->peer);
    numbers_show(descriptor->number, descriptor->handle);
    descriptor->generation = process_generation;
    atomic_store(&descriptor->severed, false);
    atomic_store(&descriptor->dammed, false);
    if (atomic_load(&descriptor->signalled) || atomic_load(&descriptor->rung))
        put_byte(descriptor);
    return true;
}

static bool is_of_this_process(const struct descriptor *descriptor) {
    return descriptor->generation == process_generation;
}

/* Before a pair is touched: one that is the parent's, or that lost its other end, is replaced. */
static bool has_pair(struct descriptor *descriptor) {
    return (is_of_this_process(descriptor) && !atomic_load(&descriptor->severed)) || make_pair(descriptor);
}

/* The number no longer mirrors anybody; it looks as it did. */
static void part(struct descriptor *descriptor) {
    struct server *server = atomic_exchange(&descriptor->server, NULL);
    struct descriptor *self = descriptor;
    if (server)
        atomic_compare_exchange_strong(&server->descriptor, &self, NULL);
}

static bool wants_room(const struct descriptor *descriptor) {
    return atomic_load(&descriptor->dammed) ||
           (descriptor->await == AWAIT_PUSH && !atomic_load(&descriptor->signalled));
}

/* The relay is to tell of what the number does not show yet. Where there can be none, the number says that
 * there is something: a look in vain is better than a wait without end. */
static void arm(struct descriptor *descriptor, struct server *server) {
    unsigned what =
        (atomic_load(&descriptor->signalled) ? 0 : RELAY_INPUT) | (wants_room(descriptor) ? RELAY_ROOM : 0);
    if (what && !relay_arm(server, descriptor->socket, what)) {
        signal_program(descriptor);
        undam(descriptor);
    }
}

/* Shows `now`, of what was looked for, and rests: the next move is the program's. */
static void show(struct descriptor *descriptor, struct server *server, short now) {
    bool push = descriptor->await == AWAIT_PUSH;
    if (now & POLLIN || (now && push))
        signal_program(descriptor);
    if (now & POLLOUT && !push)
        show_room(descriptor);
    if (now & POLLIN)
        server_answered(server);
}

static void turn_to(struct descriptor *descriptor, struct server *server, int socket, enum await await) {
    if (atomic_load(&descriptor->server) != server)
        part(descriptor);
    descriptor->socket = socket;
    descriptor->await = await;
    atomic_store(&descriptor->server, server);
    atomic_store(&server->descriptor, descriptor);
}

static void mirror(struct descriptor *descriptor, struct server *server, int socket, enum await await) {
    /* Who had something to read has often not read all: then the relay need not be asked. */
    short look = atomic_load(&descriptor->signalled) ? POLLIN : 0;
    take_back_signal(descriptor);
    turn_to(descriptor, server, socket, await);
    if (await != AWAIT_INPUT)
        look |= POLLOUT;
    if (await != AWAIT_ROOM)
        undam(descriptor);
    short now = ready(socket, look);
    show(descriptor, server, now);
    if (await == AWAIT_ROOM && !(now & POLLOUT))
        dam(descriptor);
    arm(descriptor, server);
}

/* Nothing to take back, and the relay knows what to tell: what happens from now on it will see. */
static bool is_as_awaited(struct descriptor *descriptor, struct server *server) {
    return !atomic_load(&descriptor->signalled) && !atomic_load(&descriptor->rung) &&
           !atomic_load(&descriptor->dammed) && is_of_this_process(descriptor) &&
           relay_is_armed(server, RELAY_INPUT);
}

static bool is_in_step(struct descriptor *descriptor, struct server *server, enum await await) {
    return await == AWAIT_INPUT && atomic_load(&descriptor->server) == server &&
           descriptor->await == AWAIT_INPUT && is_as_awaited(descriptor, server);
}

/* A new lease of a connection that is watched already, as most are. Its look comes after the turn. */
static bool falls_in_step(struct descriptor *descriptor, struct server *server, int socket,
                          enum await await) {
    if (await != AWAIT_INPUT || !is_as_awaited(descriptor, server))
        return false;
    pthread_mutex_lock(&descriptor->lock);
    turn_to(descriptor, server, socket, await);
    bool done = is_as_awaited(descriptor, server);
    pthread_mutex_unlock(&descriptor->lock);
    return done;
}

void descriptor_follow(struct descriptor *descriptor, struct server *server, enum await await) {
    /* While libpq connects it may close a socket and open another, of the same number even. */
    if (__builtin_expect(server->libpq->PQstatus(server->conn) != CONNECTION_OK, 0))
        atomic_store(&server->armed, 0);
    if (is_in_step(descriptor, server, await))
        return;
    int socket = server->libpq->PQsocket(server->conn), saved_errno = errno;
    if (socket < 0) {
        descriptor_leave(descriptor);
        return;
    }
    if (falls_in_step(descriptor, server, socket, await))
        return;
    struct quiet quiet;
    quiet_begin(&quiet);
    pthread_mutex_lock(&descriptor->lock);
    if (has_pair(descriptor))
        mirror(descriptor, server, socket, await);
    pthread_mutex_unlock(&descriptor->lock);
    quiet_end(&quiet);
    errno = saved_errno;
}

void descriptor_leave(struct descriptor *descriptor) {
    pthread_mutex_lock(&descriptor->lock);
    part(descriptor);
    bool idle = !is_of_this_process(descriptor) ||
                (!atomic_load(&descriptor->signalled) && !atomic_load(&descriptor->rung) &&
                 !atomic_load(&descriptor->dammed));
    pthread_mutex_unlock(&descriptor->lock);
    if (idle)
        return;
    int saved_errno = errno;
    struct quiet quiet;
    quiet_begin(&quiet);
    pthread_mutex_lock(&descriptor->lock);
    take_back_signal(descriptor);
    undam(descriptor);
    pthread_mutex_unlock(&descriptor->lock);
    quiet_end(&quiet);
    errno = saved_errno;
}

void descriptor_signal(struct descriptor *descriptor) {
    int saved_errno = errno;
    struct quiet quiet;
    quiet_begin(&quiet);
    pthread_mutex_lock(&descriptor->lock);
    if (has_pair(descriptor))
        signal_program(descriptor);
    pthread_mutex_unlock(&descriptor->lock);
    quiet_end(&quiet);
    errno = saved_errno;
}

/* A word of its own, said after the byte: whoever takes a signal back in between may have taken the byte.
 * Were it `signalled`, the relay would not be asked, and nobody be told of what comes next. */
void descriptor_ring(struct descriptor *descriptor) {
    int saved_errno = errno;
    if (is_of_this_process(descriptor) && has_peer(descriptor)) {
        send(atomic_load(&descriptor->peer), "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        atomic_store(&descriptor->rung, true);
    }
    errno = saved_errno;
}

void descriptor_relay(struct server *server) {
    struct descriptor *descriptor = atomic_load(&server->descriptor);
    if (!descriptor)
        return;
    pthread_mutex_lock(&descriptor->lock);
    if (atomic_load(&descriptor->server) == server && is_of_this_process(descriptor)) {
        short look =
            (atomic_load(&descriptor->signalled) ? 0 : POLLIN) | (wants_room(descriptor) ? POLLOUT : 0);
        show(descriptor, server, ready(descriptor->socket, look));
        arm(descriptor, server);
    }
    pthread_mutex_unlock(&descriptor->lock);
}

void descriptors_arm(void) {
    for (struct descriptor *one = atomic_load(&all); one; one = one->sibling) {
        pthread_mutex_lock(&one->lock);
        struct server *server = atomic_load(&one->server);
        if (server && is_of_this_process(one))
            arm(one, server);
        pthread_mutex_unlock(&one->lock);
    }
}

int descriptor_number(struct descriptor *descriptor) {
    int saved_errno = errno;
    struct quiet quiet;
    if (is_of_this_process(descriptor) && !atomic_load(&descriptor->severed) && has_number(descriptor)) {
        errno = saved_errno;
        return descriptor->number;
    }
    quiet_begin(&quiet);
    pthread_mutex_lock(&descriptor->lock);
    struct server *server = atomic_load(&descriptor->server);
    bool made = make_pair(descriptor);
    if (made && server)
        mirror(descriptor, server, descriptor->socket, descriptor->await);
    int number = made ? descriptor->number : -1;
    pthread_mutex_unlock(&descriptor->lock);
    quiet_end(&quiet);
    errno = saved_errno;
    return number;
}

static struct descriptor *take_memory(void) {
    pthread_mutex_lock(&lock);
    struct descriptor *descriptor = unused;
    if (descriptor)
        unused = descriptor->next;
    pthread_mutex_unlock(&lock);
    if (descriptor)
        return descriptor;
    descriptor = calloc(1, sizeof *descriptor);
    if (descriptor) {
        pthread_mutex_init(&descriptor->lock, NULL);
        descriptor->sibling = atomic_load(&all);
        while (!atomic_compare_exchange_weak(&all, &descriptor->sibling, descriptor))
            ;
    }
    return descriptor;
}

static void give_memory_back(struct descriptor *descriptor) {
    pthread_mutex_lock(&lock);
    descriptor->next = unused;
    unused = descriptor;
    pthread_mutex_unlock(&lock);
}

struct descriptor *descriptor_new(struct handle *handle) {
    int saved_errno = errno;
    struct descriptor *descriptor = relay_start() ? take_memory() : NULL;
    if (descriptor) {
        /* A relay that is late may be looking at it. */
        pthread_mutex_lock(&descriptor->lock);
        descriptor->number = -1;
        atomic_store(&descriptor->peer, -1);
        atomic_store(&descriptor->server, NULL);
        atomic_store(&descriptor->signalled, false);
        atomic_store(&descriptor->rung, false);
        descriptor->handle = handle;
        bool made = make_pair(descriptor);
        pthread_mutex_unlock(&descriptor->lock);
        if (!made) {
            give_memory_back(descriptor);
            descriptor = NULL;
        }
    }
    errno = saved_errno;
    return descriptor;
}

void descriptor_free(struct descriptor *descriptor) {
    int saved_errno = errno;
    pthread_mutex_lock(&descriptor->lock);
    part(descriptor);
    if (has_number(descriptor))
        numbers_close(descriptor->number);
    if (has_peer(descriptor))
        numbers_close(atomic_load(&descriptor->peer));
    descriptor->number = -1;
    atomic_store(&descriptor->peer, -1);
    pthread_mutex_unlock(&descriptor->lock);
    give_memory_back(descriptor);
    errno = saved_errno;
}

void descriptor_fork_child(struct descriptor *descriptor) {
    pthread_mutex_init(&descriptor->lock, NULL);
    part(descriptor);
    atomic_store(&descriptor->rung, false);
    atomic_store(&descriptor->signalled, false);
    atomic_store(&descriptor->dammed, false);
}

void descriptors_fork(int side) {
    process_fork_lock(&lock, side);
}
