/* claim.c: the shared page that says which process uses an inherited connection. */
#define _GNU_SOURCE
#include "claim.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PLACES = 2048 };

/* A place is free at FREE. Processes of one family allocate from the same table, so a place that a parent
 * gave back may serve a child's connection: nobody else knows its index by then. */
enum { FREE = -1 };

static _Atomic(_Atomic int *) table;

static _Atomic int *claims(void) {
    _Atomic int *known = atomic_load(&table);
    if (known)
        return known;
    void *page = mmap(NULL, PLACES * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    _Atomic int *fresh = page;
    for (int i = 0; i < PLACES; i++)
        atomic_init(&fresh[i], FREE);
    if (!atomic_compare_exchange_strong(&table, &known, fresh)) {
        munmap(page, PLACES * sizeof(int));
        return known;
    }
    return fresh;
}

int claim_take(void) {
    _Atomic int *all = claims();
    int pid = getpid();
    for (int place = 0; all && place < PLACES; place++) {
        int nobody = FREE;
        if (atomic_load_explicit(&all[place], memory_order_relaxed) == FREE &&
            atomic_compare_exchange_strong(&all[place], &nobody, pid))
            return place;
    }
    /* A process that was killed gave nothing back. */
    for (int place = 0; all && place < PLACES; place++) {
        int holder = atomic_load(&all[place]);
        if (holder > 0 && kill(holder, 0) != 0 && errno == ESRCH &&
            atomic_compare_exchange_strong(&all[place], &holder, pid))
            return place;
    }
    return -1;
}

void claims_release(void) {
    _Atomic int *all = atomic_load(&table);
    for (int place = 0; all && place < PLACES; place++) {
        int pid = getpid();
        atomic_compare_exchange_strong(&all[place], &pid, FREE);
    }
}

void claim_release(int place) {
    /* Only the owner frees it: a relative may still have the connection under this place. */
    if (place >= 0 && claim_is_mine(place))
        atomic_store(&atomic_load(&table)[place], FREE);
}

int claim_holder(int place) {
    return place < 0 ? 0 : atomic_load(&atomic_load(&table)[place]);
}

bool claim_is_mine(int place) {
    return place >= 0 && claim_holder(place) == getpid();
}

bool claim_try(int place) {
    if (place < 0)
        return false;
    int nobody = 0;
    return atomic_compare_exchange_strong(&atomic_load(&table)[place], &nobody, getpid()) ||
           nobody == getpid();
}

void claim_open(int place) {
    int pid = getpid();
    if (place >= 0)
        atomic_compare_exchange_strong(&atomic_load(&table)[place], &pid, 0);
}
