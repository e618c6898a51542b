/* process.c: sets the process up at its first use of libpq, and puts things right after a fork and at exit.
 */
#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "canceller.h"
#include "claim.h"
#include "foreign.h"
#include "grower.h"
#include "housekeeping.h"
#include "lease.h"
#include "offline.h"
#include "results.h"
#include "roads/roads.h"
#include "settings.h"
#include "sockets/descriptor.h"
#include "sockets/numbers.h"
#include "sockets/relay.h"
#include "wait.h"
#include "watch/log.h"
#include "watch/search_self.h"
#include "watch/watch.h"

static _Atomic uint32_t nothing_yet;
_Atomic(_Atomic uint32_t *) process_marker = &nothing_yet;
unsigned process_generation;
bool process_exiting;

static pthread_mutex_t setting_up = PTHREAD_MUTEX_INITIALIZER; /* before all other locks */
static bool locks_are_ours;                                    /* the atfork handler of this child has run */
static int process_id;

int process_thread(void) {
    /* The shim is there from the start, so its thread-locals need no look-up. */
    static _Thread_local int id __attribute__((tls_model("initial-exec")));
    static _Thread_local unsigned known_at __attribute__((tls_model("initial-exec")));
    if (__builtin_expect(known_at != process_generation + 1, 0)) {
        id = (int)syscall(SYS_gettid);
        known_at = process_generation + 1;
    }
    return id;
}

void process_fork_lock(pthread_mutex_t *lock, enum fork_side side) {
    if (side == FORK_PREPARE)
        pthread_mutex_lock(lock);
    else if (side == FORK_UNPREPARED)
        pthread_mutex_init(lock, NULL);
    else
        pthread_mutex_unlock(lock);
}

bool process_thread_lives(int thread) {
    return thread == process_thread() || syscall(SYS_tgkill, getpid(), thread, 0) == 0 || errno != ESRCH;
}

/* In lock order; the way back is the same list, which unlocking does not mind. */
static void pass_on(enum fork_side side) {
    sets_fork(side);
    targets_fork(side);
    handles_fork(side);
    libpq_fork(side);
    waits_fork(side);
    servers_fork(side);
    cancellers_fork(side);
    offline_fork(side);
    foreign_fork(side);
    growers_fork(side);
    housekeeping_fork(side);
    numbers_fork(side);
    descriptors_fork(side);
    relay_fork(side);
}

/* Both processes will have the descriptor: whoever uses the session first has it. */
static void mark_as_forked(struct set *set, void *context) {
    (void)context;
    for (unsigned i = 0; i < set->open; i++)
        if (set->servers[i]->generation == process_generation) {
            claim_open(set->servers[i]->claim);
            atomic_store(&set->servers[i]->forked, true);
        }
    for (struct handle *handle = set->handles; handle; handle = handle->next) {
        struct server *server = lease_held(handle);
        if (server && server->generation == process_generation && server->state != SERVER_OPEN) {
            claim_open(server->claim);
            atomic_store(&server->forked, true);
        }
    }
}

static void before_fork(void) {
    pthread_mutex_lock(&setting_up);
    pass_on(FORK_PREPARE);
    sets_walk(mark_as_forked, NULL);
    watch_fork_prepare();
}

static void after_fork_in_parent(void) {
    watch_fork_parent();
    pass_on(FORK_PARENT);
    pthread_mutex_unlock(&setting_up);
}

/* Async-signal-safe; the rest waits for the child's first call, see adopt(). */
static void after_fork_in_child(void) {
    watch_fork_child();
    pass_on(FORK_CHILD);
    pthread_mutex_unlock(&setting_up);
    locks_are_ours = true;
    atomic_store(atomic_load(&process_marker), 0); /* where the kernel did not */
}

/* What the child may take over: a session that belongs to one handle, which was not inside a call. */
static struct handle *heir(struct set *set, const struct server *server) {
    for (struct handle *handle = set->handles; handle; handle = handle->next)
        if (lease_held(handle) == server) {
            PGTransactionStatusType status = handle->libpq->PQtransactionStatus(server->conn);
            bool in_transaction = status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
            return handle->inside || (!in_transaction && atomic_load(&handle->pin) == PIN_NONE) ? NULL
                                                                                                : handle;
        }
    return NULL;
}

static void disinherit(struct set *set) {
    while (set->open > 0) {
        struct server *server = set->servers[set->open - 1];
        atomic_store(&server->cancelling, 0);
        atomic_store(&server->descriptor, NULL);
        atomic_store(&server->armed, 0);
        bool unused = !(atomic_load(&server->lease) & 1);
        set_remove_server(set, server);
        server->row = NULL; /* a row of the parent's ledger */
        if (unused) {
            atomic_store(&server->lease, LEASE_ENGINE);
            server_close_silently(server);
        } else if (!heir(set, server)) {
            /* A thread that is not here was using it, in the middle of anything: only the number goes. */
            atomic_store(&server->lease, LEASE_ENGINE);
            server_abandon(server);
        }
    }
}

static void adopt_set(struct set *set, void *context) {
    (void)context;
    set->connecting = 0;
    set->first_connecting = 0;
    set->starting = 0;
    set->waiters = set->last_waiter = NULL;
    atomic_store(&set->waiting, 0);
    atomic_store(&set->posted, 0);
    set->growing = false;
    set->refused_until = 0;
    set_enter_in_ledger(set);
    disinherit(set);
    for (struct handle *handle = set->handles; handle; handle = handle->next) {
        struct server *server = lease_held(handle);
        if (server && server->state != SERVER_OPEN)
            server->row = NULL;
        handle->inside = 0;
        handle->waiter = NULL;
        atomic_store(&handle->posted, NULL); /* its query was the parent's */
        atomic_store(&handle->queries, 0);
        atomic_store(&handle->sent_on, NULL);
        atomic_store(&handle->sending, false);
        handle->pushes = false;
        if (handle->descriptor)
            descriptor_fork_child(handle->descriptor);
        handle->busy = false;
        handle->warned = false;
        handle->spans = (struct spans){NULL, NULL, false};
        handle->inherited = true;
        if (server)
            atomic_store(&server->cancelling, 0); /* whoever was sending one is not here */
        handle->row = recorder_handle_open(atomic_load(&handle->number), handle_address(handle), handle->site,
                                           set->ledger_target, LEDGER_HANDLE_INHERITED);
        atomic_store(&handle->row->pin, atomic_load(&handle->pin));
    }
}

/* The child's first call: nothing of the parent's is used any more, but what a handle has to itself. */
static void adopt(void) {
    if (!locks_are_ours) { /* a raw clone(): no handler ran */
        watch_fork_unprepared();
        pass_on(FORK_UNPREPARED);
        sets_walk(mark_as_forked, NULL);
    }
    process_generation++;
    results_fork();
    handles_enter_in_ledger();
    sets_walk(adopt_set, NULL);
}

static void make_marker(void) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* Without the page `nothing_yet` is set instead: forks are noticed by pthread_atfork alone. */
    if (page != MAP_FAILED && madvise(page, 4096, MADV_WIPEONFORK) == 0)
        atomic_store(&process_marker, page);
}

void process_set_up(void) {
    int saved_errno = errno;
    pthread_mutex_lock(&setting_up);
    if (!process_is_set_up()) {
        if (process_generation == 0) {
            make_marker();
            process_generation = 1;
        } else if (getpid() != process_id) {
            adopt();
        }
        process_id = getpid();
        locks_are_ours = false;
        atomic_store(atomic_load(&process_marker), 1);
    }
    pthread_mutex_unlock(&setting_up);
    errno = saved_errno;
}

/* Idle sessions end with Terminate, and so do those that the exiting thread used last. Threads that go on
 * meanwhile find nothing idle any more, and keep what they hold to the end. */
static void say_goodbye(struct set *set, void *context) {
    (void)context;
    if (pthread_mutex_trylock(&set->lock) != 0)
        return; /* a thread that goes on is in the middle of it */
    for (unsigned i = 0; i < set->open; i++) {
        struct server *server = set->servers[i];
        uint64_t lease = atomic_load(&server->lease);
        bool free = !(lease & 1) && atomic_compare_exchange_strong(&server->lease, &lease, LEASE_ENGINE);
        if (free || server->state == SERVER_CLEANING) {
            server_claim(server); /* no child can be heir to what nobody holds */
            server->state =
                SERVER_OPEN; /* leased by the engine for good: no thread takes it after its cleaning */
            server_say_goodbye(server);
        }
    }
    for (struct handle *handle = set->handles; handle; handle = handle->next) {
        struct server *server = lease_held(handle);
        if (server && atomic_load(&server->holder) == process_thread() && !atomic_load(&handle->inside) &&
            handle->libpq->PQstatus(server->conn) == CONNECTION_OK)
            server_say_goodbye(server);
    }
    claims_release();
    pthread_mutex_unlock(&set->lock);
}

static __attribute__((constructor)) void loaded(void) {
    log_start();
    /* Now, because with the first connect it would be too late: that one may be under way in another thread,
     * with locks taken, when the program forks. */
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

void process_watch_end(bool with_tls) {
    static atomic_flag watched[2] = {ATOMIC_FLAG_INIT, ATOMIC_FLAG_INIT};
    int saved_errno = errno;
    if (!atomic_flag_test_and_set(&watched[with_tls]))
        atexit(growers_end);
    errno = saved_errno;
}

static __attribute__((destructor)) void exiting(void) {
    process_exiting = true;
    bool has_libpq = roads_at_exit();
    if (!process_is_set_up()) {
        /* Never used here. In a forked child of a user that is as it should be; else say so. */
        if (process_generation == 0 && has_libpq)
            atomic_fetch_or(&recorder()->notes, LEDGER_NOTE_BYPASSED);
        if (process_generation == 0)
            recorder_close();
        return;
    }
    housekeeping_stop();
    results_report();
    /* Who only watches ends nothing that the program left open: a relative may go on with it. Who shares goes
     * as fast as it would alone. */
    if (settings()->mode == MODE_OBSERVE) {
        claims_release();
        search_at_exit();
    } else {
        sets_try_walk(say_goodbye, NULL);
    }
    recorder_close();
}
