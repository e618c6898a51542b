/* server.c: opens, looks at, cleans and closes server connections. */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "claim.h"
#include "prepared.h"
#include "quiet.h"
#include "set.h"
#include "settings.h"
#include "sockets/numbers.h"
#include "sockets/relay.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards the list of free memory */
static struct server *unused;

struct server *server_new(struct libpq *libpq, struct set *set, PGconn *conn) {
    pthread_mutex_lock(&lock);
    struct server **link = &unused;
    while (*link && atomic_load(&(*link)->cancelling))
        link = &(*link)->next;
    struct server *server = *link;
    if (server)
        *link = server->next;
    pthread_mutex_unlock(&lock);
    if (!server) {
        server = calloc(1, sizeof *server);
        if (!server)
            return NULL;
    }
    atomic_store(&server->lease, LEASE_ENGINE);
    atomic_store(&server->cancelled, false);
    atomic_store(&server->pinned, false);
    atomic_store(&server->spent, false);
    atomic_store(&server->holder, process_thread());
    atomic_store(&server->descriptor, NULL);
    atomic_store(&server->armed, 0);
    atomic_store(&server->resting, SERVER_MOVES);
    atomic_store(&server->unread, false);
    server->state = SERVER_OWN;
    server->conn = conn;
    server->libpq = libpq;
    server->set = set;
    server->identity = NULL;
    atomic_store(&server->cancel, NULL);
    server->dressed = server->parsed_by = 0;
    server->parses_unproven = false;
    server->prepared = NULL;
    server->names = 0;
    server->taint = TAINT_UNTOUCHED;
    server->syncs = 0;
    server->generation = process_generation;
    server->forked = false;
    server->claim = -1;
    server->opened = recorder_now();
    server_used_now(server);
    server->socket_device = server->socket_inode = 0;
    atomic_store(&server->kept, -1);
    server->row = NULL;
    return server;
}

static void count(const struct server *server, bool opened) {
    struct ledger_counters *counters = &recorder()->counters;
    struct ledger_target *target = server->set->row;
    if (opened) {
        atomic_fetch_add(&counters->servers_opened, 1);
        recorder_count_up(&counters->servers_alive, &counters->servers_alive_peak);
        if (target)
            recorder_count_up32(&target->servers, &target->servers_peak);
    } else {
        atomic_fetch_sub(&counters->servers_alive, 1);
        if (target)
            atomic_fetch_sub(&target->servers, 1);
    }
}

static bool is_socket_of(const struct server *server, int number) {
    struct stat status;
    return number >= 0 && fstat(number, &status) == 0 && status.st_dev == server->socket_device &&
           status.st_ino == server->socket_inode;
}

/* libpq is about to close its socket. */
static void let_socket_go(struct server *server) {
    int kept = atomic_exchange(&server->kept, -1);
    /* libpq closed its own when the connection ended, and the number may be another connection's by now. */
    if (kept >= 0 && is_socket_of(server, kept))
        numbers_let_go(kept, server->libpq->PQsocket(server->conn) == kept);
}

void server_forget(struct server *server) {
    let_socket_go(server);
    prepared_leave(server);
    relay_forget(server);
    /* A signal handler of another thread may be sending its cancel right now; it takes milliseconds. What
     * comes later finds no key and does nothing. */
    PGcancel *cancel = atomic_exchange(&server->cancel, NULL);
    for (int i = 0; atomic_load(&server->cancelling) && i < 1000; i++)
        quiet_nap();
    if (cancel && !atomic_load(&server->cancelling)) /* else it is lost, rather than freed under a cancel */
        server->libpq->PQfreeCancel(cancel);
    if (server->row) {
        count(server, false);
        recorder_server_close(server->row);
    }
    server->row = NULL;
    claim_release(server->claim);
    server->claim = -1;
}

static void give_memory_back(struct server *server) {
    atomic_store(&server->lease, LEASE_ENGINE);
    server_forget(server);
    server->conn = NULL;
    server->state = SERVER_UNUSED;
    pthread_mutex_lock(&lock);
    server->next = unused;
    unused = server;
    pthread_mutex_unlock(&lock);
}

void server_established(struct server *server) {
    struct libpq *libpq = server->libpq;
    struct stat status;
    if (fstat(libpq->PQsocket(server->conn), &status) == 0) {
        server->socket_device = status.st_dev;
        server->socket_inode = status.st_ino;
        if (settings()->mode == MODE_SHARE) {
            numbers_keep(libpq->PQsocket(server->conn), libpq);
            atomic_store(&server->kept, libpq->PQsocket(server->conn));
        }
    }
    atomic_store(&server->cancel, libpq->PQgetCancel(server->conn));
    atomic_store(&server->cancelled, false);
    server->forked = false;
    server->identity = set_identity(server->set, identity_of(libpq, server->conn));
    server->claim = claim_take();
    server->opened = recorder_now();
    server_used_now(server);
    server->row = recorder_server_open(libpq->PQbackendPID(server->conn), set_ledger_target(server->set));
    count(server, true);
    process_watch_end(libpq->PQsslInUse(server->conn));
}

static void silent_receiver(void *argument, const PGresult *result) {
    (void)argument;
    (void)result;
}

/* Is the number still the socket we connected? A program may have closed all its descriptors (daemons do)
 * and use the number for something else. */
static bool descriptor_is_ours(const struct server *server) {
    return is_socket_of(server, server->libpq->PQsocket(server->conn));
}

bool server_has_its_descriptor(const struct server *server) {
    return !server->socket_inode || descriptor_is_ours(server);
}

/* PQfinish frees the memory but writes Terminate (and TLS its goodbye); a socket that leads nowhere in
 * place of the real one lets it write into the void. */
void server_close_silently(struct server *server) {
    let_socket_go(server);
    relay_forget(server);
    if (descriptor_is_ours(server)) {
        int nowhere = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int descriptor = server->libpq->PQsocket(server->conn);
        if (nowhere >= 0) {
            dup3(nowhere, descriptor, O_CLOEXEC);
            close(nowhere);
            server->libpq->PQsetNoticeReceiver(server->conn, silent_receiver, NULL);
            server->libpq->PQfinish(server->conn);
        } else {
            close(descriptor); /* and the PGconn is left as it is: it would write */
        }
    }
    give_memory_back(server);
}

bool server_claim(struct server *server) {
    bool ours = server->claim < 0 ? server->generation == process_generation : claim_try(server->claim);
    if (ours && server->generation == process_generation)
        atomic_store(&server->forked, false);
    return ours;
}

void server_abandon(struct server *server) {
    relay_forget(server);
    let_socket_go(server);
    if (descriptor_is_ours(server))
        close(server->libpq->PQsocket(server->conn));
}

/* As bare libpq ends it, also in a child whose parent goes on with it. A relative that uses it later is to
 * find it taken, so its place is not given back. */
static void close_as_it_is(struct server *server) {
    if (server->forked || server->generation != process_generation) {
        claim_try(server->claim);
        server->claim = -1;
    }
    server->libpq->PQfinish(server->conn);
    give_memory_back(server);
}

void server_close(struct server *server) {
    relay_forget(server);
    if (settings()->mode == MODE_OBSERVE) {
        close_as_it_is(server);
        return;
    }
    bool ours = server->generation == process_generation && (!server->forked || server_claim(server));
    if (!ours) {
        server_close_silently(server);
        return;
    }
    let_socket_go(server);
    /* A program that closed the number under libpq gets what libpq does in that case, as without us; only
     * a connection that merely lingers for the shim, or whose number the program never saw, must not hit a
     * stranger's descriptor. */
    if (!server_has_its_descriptor(server) && server->libpq->PQsocket(server->conn) >= 0 &&
        (atomic_load(&server->lease) == LEASE_ENGINE || atomic_load(&numbers_in_use))) {
        give_memory_back(server);
        return;
    }
    server->libpq->PQfinish(server->conn);
    give_memory_back(server);
}

/* At exit: Terminate without touching the PGconn, which another thread may be using. TLS sessions end by
 * the descriptor's closing: OpenSSL may have been cleaned up already. */
void server_say_goodbye(struct server *server) {
    if (server->state == SERVER_OPENING || server->generation != process_generation ||
        (server->forked && server->claim >= 0 && !claim_is_mine(server->claim)) ||
        !descriptor_is_ours(server) || server->libpq->PQsslInUse(server->conn) ||
        server->libpq->PQgssEncInUse(server->conn))
        return;
    send(server->libpq->PQsocket(server->conn), "X\0\0\0\4", 5, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool something_came(const struct server *server, int timeout_ms) {
    struct pollfd wait = {.fd = server->libpq->PQsocket(server->conn), .events = POLLIN};
    return wait.fd < 0 || poll(&wait, 1, timeout_ms) != 0;
}

bool server_is_dead(struct server *server) {
    if (!something_came(server, 0))
        return false;
    struct libpq *libpq = server->libpq;
    libpq->PQsetNoticeReceiver(server->conn, silent_receiver, NULL);
    server->dressed = 0;
    /* A farewell message and the end of the stream come in two reads. */
    for (int i = 0; i < 8 && something_came(server, 0); i++)
        if (!libpq->PQconsumeInput(server->conn) || libpq->PQstatus(server->conn) == CONNECTION_BAD)
            return true;
    libpq->PQisBusy(server->conn); /* parses */
    if (libpq->PQstatus(server->conn) == CONNECTION_BAD)
        return true;
    PGnotify *notify;
    while ((notify = libpq->PQnotifies(server->conn)))
        libpq->PQfreemem(notify);
    return false;
}

static bool send_sync(struct server *server) {
    server->syncs++;
    return server->libpq->PQpipelineSync(server->conn);
}

/* True with an exchange under way that comes after a cancel, or if there was none. */
static bool send_after_cancel(struct server *server) {
    return !atomic_exchange(&server->cancelled, false) || send_sync(server);
}

static bool send_step(struct server *server, const char *statement) {
    return server->libpq->PQsendQueryParams(server->conn, statement, 0, NULL, NULL, NULL, NULL, 0) &&
           send_sync(server);
}

/* libpq forgets that somebody wanted row after row with the next query, but not with the first of a pipeline.
 * One that is refused for its missing text, before anything is sent, is enough. */
bool server_enter_pipeline(struct server *server) {
    struct libpq *libpq = server->libpq;
    if (libpq->PQpipelineStatus(server->conn) == PQ_PIPELINE_OFF)
        libpq->PQsendQuery(server->conn, NULL);
    return libpq->PQenterPipelineMode(server->conn);
}

bool server_start_cleaning(struct server *server, bool rollback, bool reset) {
    struct libpq *libpq = server->libpq;
    libpq->PQuntrace(server->conn);
    libpq->PQsetNoticeReceiver(server->conn, silent_receiver, NULL);
    server->dressed = server->parsed_by = 0;
    server->syncs = 0;
    bool deallocate = !reset && server->names > PREPARED_MANY;
    if (reset || deallocate)
        prepared_leave(server);
    /* One flight, two transactions: DISCARD ALL refuses to run inside the one that ROLLBACK ends. */
    if (libpq->PQpipelineStatus(server->conn) != PQ_PIPELINE_OFF ||
        libpq->PQsetnonblocking(server->conn, 1) || !server_enter_pipeline(server) ||
        (rollback && !send_step(server, "ROLLBACK")) || (reset && !send_step(server, "DISCARD ALL")) ||
        (deallocate && !send_step(server, "DEALLOCATE ALL")) ||
        (!rollback && !reset && !deallocate && !atomic_load(&server->cancelling) &&
         !send_after_cancel(server)))
        return false;
    return libpq->PQflush(server->conn) >= 0;
}

static enum settle finish_settling(struct server *server) {
    struct libpq *libpq = server->libpq;
    if (!libpq->PQexitPipelineMode(server->conn) ||
        libpq->PQtransactionStatus(server->conn) != PQTRANS_IDLE ||
        libpq->PQsetnonblocking(server->conn, 0) != 0)
        return SETTLE_BROKEN;
    return SETTLE_CLEAN;
}

/* Reads until all that was sent is answered. */
static enum settle read_answers(struct server *server, int64_t deadline) {
    struct libpq *libpq = server->libpq;
    int failures = 0; /* PQgetResult returns NULL between the results of two statements */
    while (server->syncs > 0) {
        if (libpq->PQflush(server->conn) < 0)
            return SETTLE_BROKEN;
        if (libpq->PQisBusy(server->conn)) {
            int64_t left = deadline - recorder_now();
            if (!something_came(server, left > 0 ? (int)(left / 1000000) + 1 : 0))
                return SETTLE_LATER;
            if (!libpq->PQconsumeInput(server->conn))
                return SETTLE_BROKEN;
            continue;
        }
        PGresult *result = libpq->PQgetResult(server->conn);
        ExecStatusType status = libpq->PQresultStatus(result);
        libpq->PQclear(result);
        if (!result) {
            if (++failures > 8)
                return SETTLE_BROKEN;
            continue;
        }
        failures = 0;
        if (status == PGRES_PIPELINE_SYNC)
            server->syncs--;
        else if (status != PGRES_COMMAND_OK)
            return SETTLE_BROKEN;
    }
    return SETTLE_CLEAN;
}

enum settle server_settle(struct server *server, int64_t timeout) {
    int64_t deadline = recorder_now() + timeout;
    if (!server_has_its_descriptor(server) || atomic_load(&server->spent))
        return SETTLE_BROKEN;
    for (;;) {
        enum settle settled = read_answers(server, deadline);
        if (settled != SETTLE_CLEAN)
            return settled;
        if (atomic_load(&server->cancelling))
            return SETTLE_LATER;
        if (!atomic_load(&server->cancelled))
            return finish_settling(server);
        if (!send_after_cancel(server))
            return SETTLE_BROKEN;
    }
}

void server_dress(struct server *server, const struct handle *handle) {
    struct libpq *libpq = server->libpq;
    const struct manners *manners = &handle->manners;
    libpq->PQsetNoticeReceiver(server->conn, manners->receiver, manners->receiver_argument);
    libpq->PQsetNoticeProcessor(server->conn, manners->processor, manners->processor_argument);
    libpq->PQsetErrorVerbosity(server->conn, manners->verbosity);
    libpq->PQsetErrorContextVisibility(server->conn, manners->context);
    if (libpq->PQisnonblocking(server->conn) != manners->nonblocking)
        libpq->PQsetnonblocking(server->conn, manners->nonblocking);
    server->dressed = atomic_load_explicit(&handle->number, memory_order_relaxed);
}

void servers_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
