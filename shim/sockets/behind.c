/* behind.c: finds the server's socket that a handle's number stands for. */
#define _GNU_SOURCE
#include "sockets/behind.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lease.h"
#include "quiet.h"
#include "sockets/numbers.h"

struct visit {
    const struct handle *handle;
    enum behind which;
    void (*act)(int socket, void *context);
    void *context;
    bool done;
};

static bool is_socket_of(int number, const struct server *server) {
    struct stat status;
    return fstat(number, &status) == 0 && (!server->socket_inode || (status.st_dev == server->socket_device &&
                                                                     status.st_ino == server->socket_inode));
}

/* The PGconn is there for as long as this takes: its number may be closed and be another file's any moment,
 * by libpq in the thread that uses it. To read from that would be a wrong answer in a moment where there is
 * no right one; what changes something gets a copy that was looked at. */
static void act_on(struct visit *visit, const struct server *server) {
    int number = server->libpq->PQsocket(server->conn);
    if (visit->which == BEHIND_LEASED && number >= 0)
        number = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (number >= 0 && is_socket_of(number, server)) {
        visit->act(number, visit->context);
        visit->done = true;
    }
    if (visit->which == BEHIND_LEASED)
        numbers_close(number);
}

static bool is_listed(const struct set *set, const struct server *server) {
    for (unsigned i = 0; i < set->open; i++)
        if (set->servers[i] == server)
            return true;
    return false;
}

/* One that the set does not list (it is being opened, say) its own thread may take away, while it is inside a
 * call; between two calls of that thread's nobody does. */
static bool stays(const struct set *set, const struct handle *handle, const struct server *server) {
    return is_listed(set, server) || (atomic_load(&server->holder) == process_thread() && !handle->inside);
}

/* Under the set lock: what is listed is not closed meanwhile. */
static void look_in(struct visit *visit, const struct set *set) {
    const struct handle *handle = visit->handle;
    const struct server *held = lease_held(handle);
    if (held) {
        if (stays(set, handle, held) && held->conn)
            act_on(visit, held);
        return;
    }
    for (unsigned i = 0; visit->which == BEHIND_ANY && !visit->done && i < set->open; i++)
        if (set->servers[i]->identity == handle->identity)
            act_on(visit, set->servers[i]);
}

/* The handle's set may be gone if it was just finished, which is why it is looked for. */
static void look_at(struct set *set, void *context) {
    struct visit *visit = context;
    if (visit->handle->set != set || pthread_mutex_trylock(&set->lock) != 0)
        return;
    look_in(visit, set);
    pthread_mutex_unlock(&set->lock);
}

bool behind_visit(const struct handle *handle, enum behind which, void (*act)(int socket, void *context),
                  void *context) {
    /* A forked child has no connection before its first call: what it inherited is the parent's. */
    if (!process_is_set_up())
        return false;
    struct visit visit = {handle, which, act, context, false};
    struct quiet quiet;
    quiet_begin(&quiet);
    int saved_errno = errno;
    sets_try_walk(look_at, &visit);
    if (!visit.done)
        errno = saved_errno;
    quiet_end(&quiet);
    return visit.done;
}
