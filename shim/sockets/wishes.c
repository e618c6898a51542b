/* wishes.c: socket options set on a handle's number, until a server connection has them. */
#define _GNU_SOURCE
#include "sockets/wishes.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <unistd.h>

#include "lease.h"
#include "sockets/behind.h"
#include "sockets/descriptor.h"

enum { MOST = 4096, LARGEST = 32 };
enum { SHUTDOWN = -1 }; /* in place of a level */

/* A handle with wishes has a connection to itself before long, so there are few. */
struct wish {
    _Atomic uint64_t number; /* the handle's; 0: free, TAKING: not filled in yet */
    int level, name;
    bool done; /* the handle's connection has it */
    socklen_t length, shown_length;
    char value[LARGEST]; /* as the program gave it */
    char shown[LARGEST]; /* to be shown: what the kernel makes of it until it is done; then, to others, what
                          * it was before */
};

enum { TAKING = -1 };
static struct wish wishes[MOST];
static _Atomic int used; /* wishes behind these were never taken */

static uint64_t number_of(const struct handle *handle) {
    return atomic_load_explicit(&handle->number, memory_order_relaxed);
}

static struct wish *find(uint64_t number, int level, int name) {
    for (int i = 0; i < atomic_load(&used); i++)
        if (atomic_load(&wishes[i].number) == number && wishes[i].level == level && wishes[i].name == name)
            return &wishes[i];
    return NULL;
}

static struct wish *take(void) {
    for (int i = 0; i < MOST; i++) {
        uint64_t nobody = 0;
        if (!atomic_compare_exchange_strong(&wishes[i].number, &nobody, (uint64_t)TAKING))
            continue;
        int before = atomic_load(&used);
        while (before <= i && !atomic_compare_exchange_weak(&used, &before, i + 1))
            continue;
        return &wishes[i];
    }
    return NULL;
}

static int keep(struct handle *handle, const struct wish *wanted) {
    struct wish *wish = find(number_of(handle), wanted->level, wanted->name);
    bool again = wish && wish->done && wanted->done; /* what it was at first is what others have */
    if (!wish && !(wish = take())) {
        errno = ENOBUFS;
        return -1;
    }
    wish->level = wanted->level;
    wish->name = wanted->name;
    wish->length = wanted->length;
    memcpy(wish->value, wanted->value, LARGEST);
    if (!again) {
        wish->shown_length = wanted->shown_length;
        memcpy(wish->shown, wanted->shown, LARGEST);
    }
    wish->done = wanted->done;
    atomic_store(&wish->number, number_of(handle));
    atomic_store(&handle->wishes, WISHES_PENDING);
    return 0;
}

struct question {
    uint64_t asking;
    int level, name;
    void *value;
    socklen_t *length;
    int result;
};

static int show(const struct wish *wish, void *value, socklen_t *length) {
    *length = *length < wish->shown_length ? *length : wish->shown_length;
    memcpy(value, wish->shown, *length);
    return 0;
}

static void ask(int socket, uint64_t holder, void *context) {
    struct question *question = context;
    const struct wish *of_holder =
        holder != question->asking ? find(holder, question->level, question->name) : NULL;
    if (of_holder && of_holder->done) {
        question->result = show(of_holder, question->value, question->length);
        return;
    }
    question->result = getsockopt(socket, question->level, question->name, question->value, question->length);
}

bool wishes_get(const struct handle *handle, int level, int name, void *value, socklen_t *length,
                int *result) {
    if (!value || !length)
        return false;
    const struct wish *wish = find(number_of(handle), level, name);
    if (wish && !wish->done) {
        *result = show(wish, value, length);
        return true;
    }
    /* An error is taken away by who asks for it, and may be another handle's. */
    bool own = level == SOL_SOCKET && name == SO_ERROR;
    struct question question = {number_of(handle), level, name, value, length, -1};
    bool known = behind_visit(handle, own ? BEHIND_LEASED : BEHIND_ANY, ask, &question);
    *result = question.result;
    return known;
}

/* Sets it on the handle's connection. */
static bool set_on(int socket, struct wish *wish) {
    wish->shown_length = LARGEST;
    if (getsockopt(socket, wish->level, wish->name, wish->shown, &wish->shown_length) != 0)
        wish->shown_length = 0;
    return setsockopt(socket, wish->level, wish->name, wish->value, wish->length) == 0;
}

static void set(int socket, uint64_t holder, void *context) {
    struct wish *wish = context;
    (void)holder;
    wish->done = set_on(socket, wish);
}

/* On a socket of the same kind that leads nowhere: the kernel refuses what it would refuse, and shows what it
 * makes of the rest. */
static bool try_out(const struct handle *handle, struct wish *wish) {
    int domain = AF_INET, result;
    socklen_t size = sizeof domain;
    if (!wishes_get(handle, SOL_SOCKET, SO_DOMAIN, &domain, &size, &result) || result != 0)
        domain = AF_INET;
    int nowhere = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (nowhere < 0)
        return false;
    wish->shown_length = LARGEST;
    bool fine = setsockopt(nowhere, wish->level, wish->name, wish->value, wish->length) == 0;
    if (fine && getsockopt(nowhere, wish->level, wish->name, wish->shown, &wish->shown_length) != 0)
        wish->shown_length = 0;
    int error = errno;
    close(nowhere);
    errno = error;
    return fine;
}

/* These hold a pointer, which means nothing later. */
static bool is_program(const struct wish *wish) {
    return wish->level == SOL_SOCKET && wish->length == sizeof(struct sock_fprog) &&
           (wish->name == SO_ATTACH_FILTER || wish->name == SO_ATTACH_REUSEPORT_CBPF);
}

/* Every connection that the handle may get has it so. */
static bool is_so_already(const struct handle *handle, const struct wish *wish) {
    char now[LARGEST];
    socklen_t size = sizeof now;
    int result;
    return !find(number_of(handle), wish->level, wish->name) &&
           wishes_get(handle, wish->level, wish->name, now, &size, &result) && result == 0 &&
           size == wish->length && memcmp(now, wish->value, size) == 0;
}

int wishes_set(struct handle *handle, int level, int name, const void *value, socklen_t length) {
    struct wish wish = {.level = level, .name = name, .length = length};
    int saved_errno = errno;
    if (level == SHUTDOWN || length > LARGEST) {
        errno = level == SHUTDOWN ? ENOPROTOOPT : ENOBUFS;
        return -1;
    }
    if (!value && length > 0) {
        errno = EFAULT;
        return -1;
    }
    memcpy(wish.value, value, length);
    if (is_so_already(handle, &wish))
        return 0;
    bool leased = behind_visit(handle, BEHIND_LEASED, set, &wish);
    if (leased && !wish.done)
        return -1;
    if (!leased && is_program(&wish)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if ((!leased && !try_out(handle, &wish)) || keep(handle, &wish) != 0)
        return -1;
    errno = saved_errno;
    return 0;
}

static void end(int socket, uint64_t holder, void *context) {
    struct wish *wish = context;
    (void)holder;
    wish->done = shutdown(socket, wish->name) == 0;
}

void wishes_shutdown(struct handle *handle, int how) {
    struct wish wish = {.level = SHUTDOWN, .name = how};
    int saved_errno = errno;
    struct descriptor *descriptor = atomic_load(&handle->descriptor);
    /* The connection that it has ends, and its number tells. At rest there is nothing to end yet. */
    if (!behind_visit(handle, BEHIND_LEASED, end, &wish) && descriptor && process_is_set_up())
        descriptor_ring(descriptor);
    keep(handle, &wish);
    errno = saved_errno;
}

void wishes_fulfil(struct handle *handle, struct server *server) {
    int saved_errno = errno;
    int socket = server->libpq->PQsocket(server->conn);
    bool ours = socket >= 0 && server_has_its_descriptor(server);
    atomic_store(&handle->wishes, WISHES_FULFILLED);
    for (int i = 0; i < atomic_load(&used); i++) {
        struct wish *wish = &wishes[i];
        if (atomic_load(&wish->number) != number_of(handle) || wish->done)
            continue;
        if (ours && wish->level == SHUTDOWN)
            shutdown(socket, wish->name);
        else if (ours)
            set_on(socket, wish);
        wish->done = true;
    }
    lease_pin(handle, server, PIN_SOCKET_OPTION, NULL);
    errno = saved_errno;
}

void wishes_forget(struct handle *handle) {
    for (int i = 0; atomic_load(&handle->wishes) && i < atomic_load(&used); i++) {
        uint64_t number = number_of(handle);
        atomic_compare_exchange_strong(&wishes[i].number, &number, 0);
    }
    atomic_store(&handle->wishes, WISHES_NONE);
}
