/* set.c: the registry of connection sets, and what is listed in each. */
#define _GNU_SOURCE
#include "set.h"

#include <stdlib.h>
#include <string.h>

#include "housekeeping.h"
#include "settings.h"

static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER; /* guards `sets` and every references count */
static struct set *sets;

void set_enter_in_ledger(struct set *set) {
    set->ledger_target = recorder_target(set_name(set));
    set->row = recorder_target_row(set->ledger_target);
}

static struct set *set_new(struct libpq *libpq, struct target *target) {
    struct set *set = calloc(1, sizeof *set);
    if (!set)
        return NULL;
    pthread_mutex_init(&set->lock, NULL);
    pthread_cond_init(&set->first_changed, NULL);
    set->libpq = libpq;
    set->target = target;
    set->references = 1;
    set_enter_in_ledger(set);
    return set;
}

struct set *set_get(struct libpq *libpq, struct target *target) {
    struct set *set = NULL;
    pthread_mutex_lock(&registry);
    for (set = target ? sets : NULL; set; set = set->next)
        if (set->target && set->target->hash == target->hash &&
            set->target->key_length == target->key_length &&
            memcmp(set->target->key, target->key, target->key_length) == 0)
            break;
    if (set) {
        set->references++;
    } else if ((set = set_new(libpq, target))) {
        set->next = sets;
        sets = set;
        target = NULL;
    }
    pthread_mutex_unlock(&registry);
    target_release(target);
    return set;
}

static void set_free(struct set *set) {
    while (set->identities) {
        struct identity *identity = set->identities;
        set->identities = identity->next;
        identity_free(identity);
    }
    target_release(set->target);
    pthread_cond_destroy(&set->first_changed);
    pthread_mutex_destroy(&set->lock);
    free(set->servers);
    free(set);
}

void set_hold(struct set *set) {
    pthread_mutex_lock(&registry);
    set->references++;
    pthread_mutex_unlock(&registry);
}

void set_put(struct set *set) {
    pthread_mutex_lock(&registry);
    /* With no reference nobody has its lock, and nobody can get it but through this registry. */
    bool last = --set->references == 0 && set->open == 0;
    if (last) {
        struct set **link = &sets;
        while (*link != set)
            link = &(*link)->next;
        *link = set->next;
    }
    pthread_mutex_unlock(&registry);
    if (last)
        set_free(set);
}

const char *set_name(const struct set *set) {
    return set->target ? set->target->name : "a conninfo that libpq refuses";
}

struct identity *set_identity(struct set *set, struct identity *fresh) {
    if (!fresh)
        return NULL;
    pthread_mutex_lock(&set->lock);
    struct identity *identity = set->identities;
    while (identity && strcmp(identity->text, fresh->text) != 0)
        identity = identity->next;
    if (!identity) {
        fresh->next = set->identities;
        set->identities = fresh;
    }
    pthread_mutex_unlock(&set->lock);
    if (!identity)
        return fresh;
    identity_free(fresh);
    return identity;
}

void set_add_handle(struct set *set, struct handle *handle) {
    pthread_mutex_lock(&set->lock);
    handle->set = set;
    handle->next = NULL;
    handle->previous = set->last_handle;
    if (set->last_handle)
        set->last_handle->next = handle;
    else
        set->handles = handle;
    set->last_handle = handle;
    set->handle_count++;
    set->idle_since = 0;
    pthread_mutex_unlock(&set->lock);
}

void set_remove_handle(struct set *set, struct handle *handle) {
    pthread_mutex_lock(&set->lock);
    if (handle->previous)
        handle->previous->next = handle->next;
    else
        set->handles = handle->next;
    if (handle->next)
        handle->next->previous = handle->previous;
    else
        set->last_handle = handle->previous;
    bool lingers = --set->handle_count == 0 && set->open > 0;
    if (lingers)
        set->idle_since = recorder_now();
    pthread_mutex_unlock(&set->lock);
    if (lingers)
        housekeeping_start(recorder_now() + settings()->linger);
}

bool set_add_server(struct set *set, struct server *server) {
    if (set->open == set->room) {
        unsigned room = set->room ? set->room * 2 : 4;
        struct server **servers = realloc(set->servers, room * sizeof(struct server *));
        if (!servers)
            return false;
        set->servers = servers;
        set->room = room;
    }
    set->servers[set->open++] = server;
    server->state = SERVER_OPEN;
    return true;
}

void set_remove_server(struct set *set, struct server *server) {
    for (unsigned i = 0; i < set->open; i++) {
        if (set->servers[i] != server)
            continue;
        set->servers[i] = set->servers[--set->open];
        break;
    }
    server->state = SERVER_OWN;
}

struct server *set_take_idle(struct set *set, bool (*wanted)(const struct server *, void *), void *context) {
    for (unsigned i = 0; i < set->open; i++) {
        struct server *server = set->servers[i];
        uint64_t lease = atomic_load(&server->lease);
        if (lease & 1 || (wanted && !wanted(server, context)) ||
            !atomic_compare_exchange_strong(&server->lease, &lease, LEASE_ENGINE))
            continue;
        set_remove_server(set, server);
        return server;
    }
    return NULL;
}

void sets_visit(void (*visit)(struct set *, void *), void *context) {
    struct set *set = NULL, *before = NULL;
    for (;;) {
        /* The one just visited is put back after the next is found: only a referenced one keeps its place. */
        pthread_mutex_lock(&registry);
        set = before ? before->next : sets;
        if (set)
            set->references++;
        pthread_mutex_unlock(&registry);
        if (before)
            set_put(before);
        if (!set)
            return;
        visit(set, context);
        before = set;
    }
}

struct closing {
    const struct set *like;
    unsigned closed;
};

static bool same_server(const struct set *one, const struct set *other) {
    static const char *const words[] = {"host", "hostaddr", "port"};
    if (!one->target || !other->target)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const char *first = target_value(one->target, words[i]),
                   *second = target_value(other->target, words[i]);
        if ((first || second) && (!first || !second || strcmp(first, second) != 0))
            return false;
    }
    return true;
}

static void close_idle(struct set *set, void *context) {
    struct closing *closing = context;
    if (closing->like && !same_server(set, closing->like))
        return;
    for (;;) {
        pthread_mutex_lock(&set->lock);
        struct server *server = set_take_idle(set, NULL, NULL);
        pthread_mutex_unlock(&set->lock);
        if (!server)
            return;
        server_close(server);
        closing->closed++;
    }
}

unsigned sets_close_idle(const struct set *like) {
    struct closing closing = {like, 0};
    sets_visit(close_idle, &closing);
    return closing.closed;
}

void sets_walk(void (*visit)(struct set *, void *), void *context) {
    for (struct set *set = sets; set; set = set->next)
        visit(set, context);
}

void sets_try_walk(void (*visit)(struct set *, void *), void *context) {
    if (pthread_mutex_trylock(&registry) != 0)
        return;
    sets_walk(visit, context);
    pthread_mutex_unlock(&registry);
}

void sets_fork(enum fork_side side) {
    if (side == FORK_PREPARE)
        process_fork_lock(&registry, side);
    for (struct set *set = sets; set; set = set->next) {
        process_fork_lock(&set->lock, side);
        if (side == FORK_CHILD || side == FORK_UNPREPARED)
            pthread_cond_init(&set->first_changed, NULL);
    }
    if (side != FORK_PREPARE)
        process_fork_lock(&registry, side);
}
