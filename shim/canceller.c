/* canceller.c: aims cancels at the connection that their handle holds, when they are fired. */
#define _GNU_SOURCE
#include "canceller.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "delivery.h"
#include "lease.h"
#include "settings.h"

/* What libpq's own begins with, in every version so far. ruby-pg reads the two numbers out of it, and sends
 * the request itself. */
struct key {
    struct {
        struct sockaddr_storage address;
        socklen_t length;
    } peer; /* padded as such */
    int backend_pid, secret;
};

struct canceller {
    struct key key; /* first; of the connection that the handle held when this was made, else zeros */
    struct handle *handle;
    uint64_t number; /* the handle's; its memory may serve another by now */
    struct libpq *libpq;
    PGcancelConn *real; /* 17: the cancel that was fired last; it has its own status and message */
    ConnStatusType status;
    char *problem;
    int idle_pair[2]; /* 17: something to wait on when there was nothing to cancel; 0 until asked for */
    struct canceller *next_free;
};

/* Blocks are never given back, so that a pointer is told ours by its address alone, in a signal handler. */
enum { BLOCK = 512, BLOCKS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards the free list and growth */
static _Atomic(struct canceller *) blocks[BLOCKS];
static _Atomic unsigned block_count;
static struct canceller *free_list;

struct canceller *canceller_of(const void *pointer) {
    const struct canceller *canceller = pointer;
    for (unsigned i = 0, count = atomic_load(&block_count); i < count; i++) {
        struct canceller *block = atomic_load(&blocks[i]);
        if (canceller >= block && canceller < block + BLOCK)
            return (struct canceller *)(uintptr_t)pointer;
    }
    return NULL;
}

static void add_block(void) {
    unsigned count = atomic_load(&block_count);
    if (count == BLOCKS)
        return;
    struct canceller *block = calloc(BLOCK, sizeof *block);
    if (!block)
        return;
    for (int i = 0; i < BLOCK; i++) {
        block[i].next_free = free_list;
        free_list = &block[i];
    }
    atomic_store(&blocks[count], block);
    atomic_store(&block_count, count + 1);
}

/* As libpq asks it of the socket. */
static bool is_open(const struct handle *handle) {
    const struct server *server = lease_held(handle);
    if (server)
        return handle->libpq->PQsocket(server->conn) >= 0;
    return handle->status == CONNECTION_OK || handle->opening;
}

/* A libpq whose PGcancel begins otherwise is found out by the pid. */
static void show_key(struct canceller *canceller, const struct server *server) {
    struct key *key = (struct key *)atomic_load(&server->cancel);
    if (key && malloc_usable_size(key) >= sizeof *key && server->row &&
        key->backend_pid == server->row->backend_pid)
        canceller->key = *key;
}

struct canceller *canceller_new(struct handle *handle) {
    static char not_open[] = "connection not open\n";
    pthread_mutex_lock(&lock);
    if (!free_list)
        add_block();
    struct canceller *canceller = free_list;
    if (canceller)
        free_list = canceller->next_free;
    pthread_mutex_unlock(&lock);
    if (!canceller)
        return NULL;
    bool open = is_open(handle);
    *canceller = (struct canceller){.handle = handle,
                                    .number = atomic_load(&handle->number),
                                    .libpq = handle->libpq,
                                    .status = open ? CONNECTION_ALLOCATED : CONNECTION_BAD,
                                    .problem = open ? NULL : not_open};
    if (lease_held(handle))
        show_key(canceller, lease_held(handle));
    return canceller;
}

struct canceller *canceller_if_open(struct handle *handle) {
    return is_open(handle) ? canceller_new(handle) : NULL;
}

void canceller_free(struct canceller *canceller) {
    canceller_reset(canceller);
    if (canceller->idle_pair[0]) {
        close(canceller->idle_pair[0]);
        close(canceller->idle_pair[1]);
    }
    pthread_mutex_lock(&lock);
    canceller->number = 0;
    canceller->next_free = free_list;
    free_list = canceller;
    pthread_mutex_unlock(&lock);
}

/* This connection, if the handle holds it; then it cannot change hands until done_aiming(). */
static struct server *aim_at(struct server *server, uint64_t number) {
    if (!server)
        return NULL;
    /* In this order: whoever takes the lease next looks at `cancelling` after it has the lease. */
    atomic_fetch_add(&server->cancelling, 1);
    /* The lease first: who sees it sees the connection as it was made. Bare, a child may cancel what its
     * parent runs; where nothing is shared, that is no other's query. */
    if (atomic_load(&server->lease) == LEASE_TAKEN(number) &&
        ((server->generation == process_generation && process_is_set_up()) ||
         settings()->mode == MODE_OBSERVE))
        return server;
    atomic_fetch_sub(&server->cancelling, 1);
    return NULL;
}

/* The same for a handle that waited, with a connection that may be its own already, and its query not sent
 * on it yet. A query that waits on fails. */
static struct server *aim_at_posted(struct handle *handle, uint64_t number) {
    struct server *server = aim_at(atomic_load(&handle->sent_on), number);
    if (server)
        return server;
    delivery_cancel(handle);
    /* Sent after all; its owner may have collected it between two looks. */
    server = aim_at(atomic_load(&handle->sent_on), number);
    return server || atomic_load(&handle->posted) ? server : aim_at(atomic_load(&handle->server), number);
}

/* The connection on which the handle's query is, or NULL: it has none, waits for one still, or what it holds
 * is another process's. */
static struct server *aim(const struct canceller *canceller) {
    struct handle *handle = canceller->handle;
    uint64_t number = canceller->number;
    /* What waits in a forked child before its first call is the parent's. */
    if (atomic_load(&handle->number) == number && atomic_load(&handle->posted) && process_is_set_up())
        return aim_at_posted(handle, number);
    return aim_at(atomic_load(&handle->server), number);
}

static void done_aiming(struct server *server) {
    atomic_fetch_sub(&server->cancelling, 1);
}

int canceller_fire(struct canceller *canceller, char *error, int size) {
    int result = 1;
    struct server *server = aim(canceller);
    if (!server)
        return result;
    PGcancel *key = atomic_load(&server->cancel);
    if (key) {
        atomic_store(&server->cancelled, true);
        result = canceller->libpq->PQcancel(key, error, size);
    }
    done_aiming(server);
    return result;
}

/* libpq refuses what was started already, and so do we where there is nothing of libpq's to ask. */
static bool is_fresh(struct canceller *canceller) {
    static char in_use[] = "cancel request is already being sent on this connection\n";
    if (canceller->status == CONNECTION_ALLOCATED)
        return true;
    if (canceller->status != CONNECTION_BAD)
        canceller->problem = in_use;
    canceller->status = CONNECTION_BAD;
    return false;
}

/* The connection that is aimed at, with libpq's own cancel for it, or NULL. */
static struct server *prepare_real(struct canceller *canceller) {
    struct server *server = aim(canceller);
    if (!server) {
        canceller->status = CONNECTION_OK;
        return NULL;
    }
    canceller->real = canceller->libpq->PQcancelCreate(server->conn);
    atomic_store(&server->cancelled, true);
    return server;
}

int canceller_blocking(struct canceller *canceller) {
    if (canceller->real)
        return canceller->libpq->PQcancelBlocking(canceller->real);
    if (!is_fresh(canceller))
        return 0;
    struct server *server = prepare_real(canceller);
    if (!server)
        return 1;
    int result = canceller->libpq->PQcancelBlocking(canceller->real);
    done_aiming(server);
    return result;
}

/* The program drives it from here on, at its own pace: the connection is not handed to anybody after it. */
int canceller_start(struct canceller *canceller) {
    if (canceller->real)
        return canceller->libpq->PQcancelStart(canceller->real);
    if (!is_fresh(canceller))
        return 0;
    struct server *server = prepare_real(canceller);
    if (!server)
        return 1;
    atomic_store(&server->spent, true);
    int result = canceller->libpq->PQcancelStart(canceller->real);
    done_aiming(server);
    return result;
}

PostgresPollingStatusType canceller_poll(struct canceller *canceller) {
    if (canceller->real)
        return canceller->libpq->PQcancelPoll(canceller->real);
    return canceller->status == CONNECTION_OK ? PGRES_POLLING_OK : PGRES_POLLING_FAILED;
}

ConnStatusType canceller_status(const struct canceller *canceller) {
    return canceller->real ? canceller->libpq->PQcancelStatus(canceller->real) : canceller->status;
}

int canceller_socket(struct canceller *canceller) {
    if (canceller->real)
        return canceller->libpq->PQcancelSocket(canceller->real);
    if (canceller->status != CONNECTION_OK)
        return -1;
    if (!canceller->idle_pair[0] &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, canceller->idle_pair) != 0)
        return -1;
    return canceller->idle_pair[0]; /* writable at once, which is what the program waits for first */
}

char *canceller_error(const struct canceller *canceller) {
    static char none[] = "";
    if (canceller->real)
        return canceller->libpq->PQcancelErrorMessage(canceller->real);
    return canceller->problem ? canceller->problem : none;
}

void canceller_reset(struct canceller *canceller) {
    if (canceller->real)
        canceller->libpq->PQcancelFinish(canceller->real);
    canceller->real = NULL;
    canceller->problem = NULL;
    canceller->status = CONNECTION_ALLOCATED;
}

void cancellers_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
