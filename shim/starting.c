/* starting.c: counts the connects that programs drive themselves, and keeps who joins them. */
#define _GNU_SOURCE
#include "starting.h"

#include "handle.h"
#include "housekeeping.h"
#include "settings.h"
#include "sockets/descriptor.h"

/* With nothing started there is nothing to join, whatever the cap says. */
static bool is_full(const struct set *set) {
    uint32_t cap = settings()->max_connections;
    return set->starting > 0 && cap != SETTING_NO_LIMIT && set->open + set->connecting + set->starting >= cap;
}

bool starting_join(struct handle *handle, bool refused) {
    struct set *set = handle->set;
    pthread_mutex_lock(&set->lock);
    bool full = refused ? set->starting > 0 : is_full(set);
    pthread_mutex_unlock(&set->lock);
    /* Without a number to wait on nobody could tell the program that it is connected. */
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    if (!full || (!descriptor && !(descriptor = descriptor_new(handle))))
        return false;
    atomic_store(&handle->descriptor, descriptor);
    handle->joins_refused = refused;
    int64_t until = recorder_now() + STARTING_PATIENCE;
    pthread_mutex_lock(&set->lock);
    atomic_store(&handle->joins_until, until);
    set->joined++;
    pthread_mutex_unlock(&set->lock);
    housekeeping_start(until);
    return true;
}

bool starting_joins_still(const struct handle *handle) {
    const struct set *set = handle->set;
    bool full = handle->joins_refused ? set->starting > 0 : is_full(set);
    return full && recorder_now() < atomic_load(&handle->joins_until);
}

void starting_begins(struct handle *handle) {
    struct set *set = handle->set;
    pthread_mutex_lock(&set->lock);
    set->starting++;
    pthread_mutex_unlock(&set->lock);
    handle->starts_in = process_generation;
}

static void signal_joined(const struct set *set) {
    for (struct handle *one = set->joined ? set->handles : NULL; one; one = one->next)
        if (atomic_load(&one->joins_until))
            descriptor_signal(atomic_load(&one->descriptor));
}

void starting_ends(struct handle *handle) {
    struct set *set = handle->set;
    if (!handle->starts_in && !atomic_load(&handle->joins_until))
        return;
    pthread_mutex_lock(&set->lock);
    if (atomic_load(&handle->joins_until)) {
        atomic_store(&handle->joins_until, 0);
        set->joined--;
    }
    if (handle->starts_in == process_generation) {
        set->starting--;
        signal_joined(set);
    }
    pthread_mutex_unlock(&set->lock);
    handle->starts_in = 0;
}

void starting_look(struct set *set, int64_t now, int64_t *next) {
    pthread_mutex_lock(&set->lock);
    for (struct handle *one = set->joined ? set->handles : NULL; one; one = one->next) {
        int64_t until = atomic_load(&one->joins_until);
        if (until && until <= now)
            descriptor_signal(atomic_load(&one->descriptor));
        else if (until && until < *next)
            *next = until;
    }
    pthread_mutex_unlock(&set->lock);
}
