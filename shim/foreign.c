/* foreign.c: a list of libpq's own PGconns that the program holds. */
#include "foreign.h"

#include <stdlib.h>

#include "watch/spans.h"

struct foreign {
    struct foreign *next;
    const PGconn *conn;
    struct set *set;
    uint32_t site;
    struct ledger_handle *row;
    struct spans spans;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards the list */
static struct foreign *list;
static _Atomic unsigned known;
static _Atomic uint64_t count;

PGconn *foreign_opened(struct set *set, uint32_t site, PGconn *conn) {
    struct foreign *foreign = conn ? calloc(1, sizeof *foreign) : NULL;
    if (!foreign) {
        set_put(set);
        return conn;
    }
    struct ledger_header *ledger = recorder();
    struct ledger_target *target = recorder_target_row(set_ledger_target(set));
    struct ledger_site *site_row = recorder_site(site);
    bool failed = set->libpq->PQstatus(conn) == CONNECTION_BAD;
    foreign->conn = conn;
    foreign->set = set;
    foreign->site = site;
    atomic_fetch_add(&ledger->counters.handles_opened, 1);
    recorder_count_up(&ledger->counters.handles_alive, &ledger->counters.handles_alive_peak);
    if (failed)
        atomic_fetch_add(&ledger->counters.connects_failed, 1);
    if (site_row) {
        atomic_fetch_add(&site_row->opened, 1);
        recorder_count_up32(&site_row->alive, &site_row->alive_peak);
    }
    if (target) {
        atomic_fetch_add(&target->opened, 1);
        recorder_count_up32(&target->alive, &target->alive_peak);
    }
    struct span_owner owner = {atomic_fetch_add(&count, 1) + 1, site, set_ledger_target(set)};
    enum ledger_handle_state state = failed ? LEDGER_HANDLE_FAILED : LEDGER_HANDLE_OPEN;
    foreign->row = recorder_handle_open(owner.number, conn, site, owner.target, state);
    if (spans_wanted(ledger))
        spans_open(&foreign->spans, owner, state);
    pthread_mutex_lock(&lock);
    foreign->next = list;
    list = foreign;
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&known, 1);
    return conn;
}

struct libpq *foreign_finished(const PGconn *conn) {
    if (atomic_load_explicit(&known, memory_order_relaxed) == 0 || !conn)
        return NULL;
    pthread_mutex_lock(&lock);
    struct foreign **link = &list;
    while (*link && (*link)->conn != conn)
        link = &(*link)->next;
    struct foreign *foreign = *link;
    if (foreign)
        *link = foreign->next;
    pthread_mutex_unlock(&lock);
    if (!foreign)
        return NULL;
    struct libpq *libpq = foreign->set->libpq;
    struct ledger_site *site = recorder_site(foreign->site);
    struct ledger_target *target = recorder_target_row(set_ledger_target(foreign->set));
    atomic_fetch_sub(&known, 1);
    atomic_fetch_add(&recorder()->counters.handles_finished, 1);
    atomic_fetch_sub(&recorder()->counters.handles_alive, 1);
    if (site) {
        atomic_fetch_add(&site->finished, 1);
        atomic_fetch_sub(&site->alive, 1);
    }
    if (target)
        atomic_fetch_sub(&target->alive, 1);
    spans_close(&foreign->spans);
    recorder_handle_close(foreign->row);
    set_put(foreign->set);
    free(foreign);
    return libpq;
}

void foreign_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
