/* behind.c: finds the server's socket that a handle's number stands for. */
#define _GNU_SOURCE
#include "sockets/behind.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lease.h"
#include "quiet.h"
#include "sockets/numbers.h"

enum { TRIES = 4 };

struct visit {
    const struct handle *handle;
    enum behind which;
    behind_act *act;
    void *context;
    bool looked, done;
    struct sockaddr_storage peer; /* what it would be connected to */
    socklen_t peer_length;
};

static bool is_socket_of(int number, const struct server *server) {
    struct stat status;
    return fstat(number, &status) == 0 && (!server->socket_inode || (status.st_dev == server->socket_device &&
                                                                     status.st_ino == server->socket_inode));
}

/* The thread that uses the connection may close the number any moment, and another file have it. To read from
 * that would be a wrong answer in a moment where there is no right one; what changes something gets a copy
 * that was looked at. */
static void act_on(struct visit *visit, int number, const struct server *server) {
    if (visit->which == BEHIND_LEASED && number >= 0)
        number = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (number >= 0 && is_socket_of(number, server)) {
        visit->act(number, atomic_load(&server->lease) >> 1, visit->context);
        visit->done = true;
    }
    if (visit->which == BEHIND_LEASED)
        numbers_close(number);
}

/* What it holds. While it is being opened, libpq alone knows the socket, and only its own thread may ask,
 * between two calls. */
static void look_at_lease(struct visit *visit, const struct server *held) {
    int kept = atomic_load(&held->kept);
    if (kept >= 0)
        act_on(visit, kept, held);
    else if (held->state == SERVER_OPENING && atomic_load(&held->holder) == process_thread() &&
             !visit->handle->inside)
        act_on(visit, held->libpq->PQsocket(held->conn), held);
}

/* What it used last, as a rule its own again soon. A struct server is never given back. */
static void look_at_last(struct visit *visit, const struct server *last) {
    int kept = last ? atomic_load(&last->kept) : -1;
    if (kept >= 0 && last->set == visit->handle->set && last->identity == visit->handle->identity)
        act_on(visit, kept, last);
}

/* Any that could serve it. Its set may be gone if it was just finished, which is why that is looked for. */
static void look_in(struct set *set, void *context) {
    struct visit *visit = context;
    if (visit->handle->set != set || pthread_mutex_trylock(&set->lock) != 0)
        return;
    visit->looked = true;
    const struct identity *identity = visit->handle->identity;
    if (identity) {
        visit->peer = identity->peer;
        visit->peer_length = identity->peer_length;
    }
    for (unsigned i = 0; !visit->done && i < set->open; i++)
        if (set->servers[i]->identity == visit->handle->identity)
            act_on(visit, atomic_load(&set->servers[i]->kept), set->servers[i]);
    pthread_mutex_unlock(&set->lock);
}

/* Locks are held for moments, unless this is a signal handler that interrupts their own holder. */
static void look_around(struct visit *visit) {
    for (int tries = 0; tries < TRIES && !visit->looked; tries++) {
        if (tries > 0)
            quiet_nap();
        sets_try_walk(look_in, visit);
    }
}

/* None is open: all were closed while nobody used them. */
static void act_on_nothing(struct visit *visit) {
    int nowhere = visit->peer_length ? socket(visit->peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (nowhere < 0)
        return;
    visit->act(nowhere, 0, visit->context);
    visit->done = true;
    int error = errno;
    numbers_close(nowhere);
    errno = error;
}

bool behind_visit(const struct handle *handle, enum behind which, behind_act *act, void *context) {
    /* Before its first call a forked child may look at what it inherited, but that is the parent's. */
    if (which == BEHIND_LEASED && !process_is_set_up())
        return false;
    struct visit visit = {.handle = handle, .which = which, .act = act, .context = context};
    struct server *held = lease_held(handle);
    struct quiet quiet;
    quiet_begin(&quiet);
    int saved_errno = errno;
    if (held) {
        look_at_lease(&visit, held);
    } else if (which == BEHIND_ANY) {
        look_at_last(&visit, atomic_load(&handle->server));
        if (!visit.done)
            look_around(&visit);
        if (!visit.done)
            act_on_nothing(&visit);
    }
    if (!visit.done)
        errno = saved_errno;
    quiet_end(&quiet);
    return visit.done;
}

bool behind_peer(const struct handle *handle, struct sockaddr *address, socklen_t *length) {
    struct visit visit = {.handle = handle, .done = true};
    struct quiet quiet;
    if (lease_held(handle))
        return false;
    quiet_begin(&quiet);
    look_around(&visit);
    quiet_end(&quiet);
    if (!visit.peer_length)
        return false;
    memcpy(address, &visit.peer, *length < visit.peer_length ? *length : visit.peer_length);
    *length = visit.peer_length;
    return true;
}
