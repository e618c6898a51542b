/*
 * guard.c: exported functions that close numbers, or put other files in their places. They hold no logic:
 * numbers.h says which are ours, and those are left alone.
 *
 * A process in which nothing was ever hidden pays one load and a jump. All of it may run in a signal handler,
 * in the child of vfork, and before any constructor: until the real functions are looked up at load, the
 * system calls stand for them.
 *
 * A shown number passes: libpq's bare socket would be closed, too. It needs no forgetting here, where the
 * table may be the memory of vfork's parent: its inode tells.
 *
 * What the C library closes itself comes by no export of it: fclose() on a number that fdopen() was given,
 * the actions of posix_spawn, which are the child's. So do raw system calls. numbers.h says what then holds.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "facade.h"
#include "sockets/numbers.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Headers older than glibc 2.34 lack these. */
int close_range(unsigned first, unsigned last, int flags);
void closefrom(int first);

static int raw_close(int number) {
    return (int)syscall(SYS_close, number);
}

static int raw_close_range(unsigned first, unsigned last, int flags) {
    return (int)syscall(SYS_close_range, first, last, flags);
}

static void raw_closefrom(int first) {
    raw_close_range(first > 0 ? (unsigned)first : 0, UINT_MAX, 0);
}

static int raw_dup3(int from, int to, int flags) {
    return (int)syscall(SYS_dup3, from, to, flags);
}

static int raw_dup2(int from, int to) {
    if (from == to)
        return fcntl(from, F_GETFD) < 0 ? -1 : to;
    return raw_dup3(from, to, 0);
}

static struct {
    int (*close)(int);
    int (*close_range)(unsigned, unsigned, int);
    void (*closefrom)(int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
} real = {raw_close, raw_close_range, raw_closefrom, raw_dup2, raw_dup3};

static bool nothing_hidden(void) {
    return __builtin_expect(!atomic_load_explicit(&numbers_in_use, memory_order_relaxed), 1);
}

EXPORT int close(int number) {
    if (nothing_hidden() || !numbers_guards(number, CALLER))
        return real.close(number);
    errno = EBADF;
    return -1;
}

/* Kernels before 5.9 have no close_range(). */
static void close_one_by_one(unsigned first, unsigned last) {
    for (unsigned number = first; number <= last; number++)
        raw_close((int)number);
}

/* Closes up to the last guarded number, but none of these; returns the number to go on with. */
static unsigned close_between(unsigned first, unsigned last) {
    int saved_errno = errno;
    for (int guarded; (guarded = numbers_next_guarded(first, last)) >= 0; first = (unsigned)guarded + 1)
        if ((unsigned)guarded > first && real.close_range(first, (unsigned)guarded - 1, 0) != 0)
            close_one_by_one(first, (unsigned)guarded - 1);
    errno = saved_errno;
    return first;
}

/* With flags, ours need no guard: they are closed on exec already, and a thread that unshares its numbers
 * closes copies. */
EXPORT int close_range(unsigned first, unsigned last, int flags) {
    if (nothing_hidden() || flags != 0 || first > last || !numbers_are_here())
        return real.close_range(first, last, flags);
    unsigned rest = close_between(first, last);
    return rest > last ? 0 : real.close_range(rest, last, 0);
}

EXPORT void closefrom(int first) {
    if (!nothing_hidden() && numbers_are_here())
        first = (int)close_between(first > 0 ? (unsigned)first : 0, INT_MAX);
    real.closefrom(first);
}

/* Ours is out of the way of dup2(from, to), or there is none: errno is set if it cannot be. */
static bool make_way(int from, int to) {
    if (from == to || !numbers_is_hidden(to))
        return true;
    if (fcntl(from, F_GETFD) < 0)
        return false;
    if (numbers_move(to))
        return true;
    errno = EBUSY;
    return false;
}

EXPORT int dup2(int from, int to) {
    if (nothing_hidden())
        return real.dup2(from, to);
    return make_way(from, to) ? real.dup2(from, to) : -1;
}

EXPORT int dup3(int from, int to, int flags) {
    if (nothing_hidden() || (flags & ~O_CLOEXEC))
        return real.dup3(from, to, flags);
    return make_way(from, to) ? real.dup3(from, to, flags) : -1;
}

#define FIND(name)                                                          \
    do {                                                                    \
        void *found = dlsym(RTLD_NEXT, #name);                              \
        if (found)                                                          \
            __atomic_store_n((void **)&real.name, found, __ATOMIC_RELEASE); \
    } while (0)

/* As early as the exec family's (exec.c). */
static __attribute__((constructor(101))) void loaded(void) {
    FIND(close);
    FIND(close_range);
    FIND(closefrom);
    FIND(dup2);
    FIND(dup3);
}
