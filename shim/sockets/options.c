/*
 * options.c: exported functions that ask the kernel about a socket, or change it. They hold no logic: on the
 * number that PQsocket returned, the server's socket behind it answers (behind.h, wishes.h).
 *
 * Any other number costs one load where PQsocket was never asked for, and a system call more after that.
 */
#include <dlfcn.h>
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "facade.h"
#include "sockets/behind.h"
#include "sockets/numbers.h"
#include "sockets/wishes.h"

typedef int name_function(int, struct sockaddr *restrict, socklen_t *restrict);

static int raw_getsockopt(int number, int level, int name, void *restrict value, socklen_t *restrict length) {
    return (int)syscall(SYS_getsockopt, number, level, name, value, length);
}
static int raw_setsockopt(int number, int level, int name, const void *value, socklen_t length) {
    return (int)syscall(SYS_setsockopt, number, level, name, value, length);
}
static int raw_getsockname(int number, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)syscall(SYS_getsockname, number, address, length);
}
static int raw_getpeername(int number, struct sockaddr *restrict address, socklen_t *restrict length) {
    return (int)syscall(SYS_getpeername, number, address, length);
}
static int raw_shutdown(int number, int how) {
    return (int)syscall(SYS_shutdown, number, how);
}

/* As in guard.c: until they are looked up, the system calls. */
static struct {
    int (*getsockopt)(int, int, int, void *restrict, socklen_t *restrict);
    int (*setsockopt)(int, int, int, const void *, socklen_t);
    name_function *getsockname, *getpeername;
    int (*shutdown)(int, int);
} real = {raw_getsockopt, raw_setsockopt, raw_getsockname, raw_getpeername, raw_shutdown};

static bool is_local(int number) {
    int saved_errno = errno, domain = AF_UNSPEC;
    socklen_t length = sizeof domain;
    real.getsockopt(number, SOL_SOCKET, SO_DOMAIN, &domain, &length);
    errno = saved_errno;
    return domain == AF_UNIX;
}

static __attribute__((noinline)) struct handle *look_up(int number) {
    struct handle *handle = numbers_handle(number);
    return !handle && is_local(number) ? numbers_handle_of_copy(number) : handle;
}

/* The handle whose number it is, or of whose number it is a copy (which is how scripts get at the options of
 * a driver's socket). */
static inline struct handle *shown(int number) {
    bool any = atomic_load_explicit(&numbers_in_use, memory_order_relaxed);
    return __builtin_expect(any, 0) ? look_up(number) : NULL;
}

EXPORT int getsockopt(int number, int level, int name, void *restrict value, socklen_t *restrict length) {
    struct handle *handle = shown(number);
    int result;
    if (handle && wishes_get(handle, level, name, value, length, &result))
        return result;
    return real.getsockopt(number, level, name, value, length);
}

EXPORT int setsockopt(int number, int level, int name, const void *value, socklen_t length) {
    struct handle *handle = shown(number);
    return handle ? wishes_set(handle, level, name, value, length)
                  : real.setsockopt(number, level, name, value, length);
}

struct asking {
    name_function *name;
    struct sockaddr *address;
    socklen_t *length;
    int result;
};

static void ask_name(int socket, uint64_t holder, void *context) {
    (void)holder;
    struct asking *asking = context;
    asking->result = asking->name(socket, asking->address, asking->length);
}

static int name_of(int number, name_function *name, struct sockaddr *address, socklen_t *length) {
    struct handle *handle = shown(number);
    struct asking asking = {name, address, length, -1};
    return handle && behind_visit(handle, BEHIND_ANY, ask_name, &asking) ? asking.result
                                                                         : name(number, address, length);
}

EXPORT int getsockname(int number, struct sockaddr *restrict address, socklen_t *restrict length) {
    return name_of(number, real.getsockname, address, length);
}

EXPORT int getpeername(int number, struct sockaddr *restrict address, socklen_t *restrict length) {
    int saved_errno = errno, result = name_of(number, real.getpeername, address, length);
    if (result == 0 || errno != ENOTCONN)
        return result;
    struct handle *handle = shown(number);
    if (!handle || !behind_peer(handle, address, length))
        return result;
    errno = saved_errno;
    return 0;
}

EXPORT int shutdown(int number, int how) {
    struct handle *handle = shown(number);
    if (!handle || how < SHUT_RD || how > SHUT_RDWR)
        return real.shutdown(number, how);
    wishes_shutdown(handle, how); /* not the number: it stays the same when PQreset gives another socket */
    return 0;
}

#define FIND(name)                                                          \
    do {                                                                    \
        void *found = dlsym(RTLD_NEXT, #name);                              \
        if (found)                                                          \
            __atomic_store_n((void **)&real.name, found, __ATOMIC_RELEASE); \
    } while (0)

static __attribute__((constructor(101))) void loaded(void) {
    FIND(getsockopt);
    FIND(setsockopt);
    FIND(getsockname);
    FIND(getpeername);
    FIND(shutdown);
}
