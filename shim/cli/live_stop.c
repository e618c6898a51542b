/* live_stop.c: stops all threads of another process. */
#include "live_stop.h"

#include <ctype.h>
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "incarnation.h"

#define PATIENCE INT64_C(1000000000)

static bool is_known(const struct stopped *stopped, pid_t id) {
    for (size_t i = 0; i < stopped->count; i++)
        if (stopped->threads[i].id == id)
            return true;
    return false;
}

static bool seize(struct stopped *stopped, pid_t id) {
    if (stopped->count == stopped->capacity) {
        size_t capacity = stopped->capacity ? 2 * stopped->capacity : 16;
        struct stopped_thread *more = realloc(stopped->threads, capacity * sizeof *more);
        if (!more) {
            errno = ENOMEM;
            return false;
        }
        stopped->threads = more;
        stopped->capacity = capacity;
    }
    if (ptrace(PTRACE_SEIZE, id, NULL, NULL) != 0)
        return errno == ESRCH; /* it has ended since it was listed */
    stopped->threads[stopped->count++] = (struct stopped_thread){.id = id};
    ptrace(PTRACE_INTERRUPT, id, NULL, NULL);
    return true;
}

/* Seizes the threads that are not seized yet. Counts them in `fresh`; false: one could not be. */
static bool seize_all(pid_t pid, struct stopped *stopped, size_t *fresh) {
    char path[64];
    bool good = true;
    size_t before = stopped->count;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(path);
    if (!directory)
        return false;
    for (struct dirent *entry; good && (entry = readdir(directory));) {
        pid_t id = isdigit((unsigned char)*entry->d_name) ? (pid_t)atoi(entry->d_name) : 0;
        if (id > 0 && !is_known(stopped, id))
            good = seize(stopped, id);
    }
    int error = errno;
    closedir(directory);
    errno = error;
    *fresh = stopped->count - before;
    return good;
}

/* A stop with a signal of its own is that signal on its way to the thread; the others are ours. */
static bool wait_for(struct stopped_thread *thread, int64_t deadline) {
    const struct timespec moment = {0, 200000};
    for (;;) {
        int status;
        pid_t came = waitpid(thread->id, &status, __WALL | WNOHANG);
        if (came < 0 && errno != EINTR)
            return true; /* it has ended */
        if (came > 0 && !WIFSTOPPED(status))
            return true;
        if (came > 0) {
            thread->is_stopped = true;
            thread->signal = status >> 16 == 0 ? WSTOPSIG(status) : 0;
            return true;
        }
        if (incarnation_clock() > deadline) {
            errno = ETIMEDOUT;
            return false;
        }
        nanosleep(&moment, NULL);
    }
}

/* Calls that a stop ends with EINTR where a program without signal handlers would never see it, and that have
 * done nothing yet when they say so. The kernel starts them anew by itself, unless a handler comes. */
#if defined(__x86_64__)
#define RESTART_UNLESS_HANDLED 514 /* the kernel's ERESTARTNOHAND */

static bool is_restartable(long call) {
    static const long calls[] = {SYS_epoll_wait, SYS_epoll_pwait,     SYS_epoll_pwait2, SYS_recvfrom,
                                 SYS_recvmsg,    SYS_recvmmsg,        SYS_sendto,       SYS_sendmsg,
                                 SYS_accept,     SYS_accept4,         SYS_read,         SYS_readv,
                                 SYS_semop,      SYS_rt_sigtimedwait, SYS_semtimedop,   SYS_io_getevents};
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i] == call)
            return true;
    return false;
}

static void let_call_go_on(pid_t thread) {
    struct user_regs_struct registers;
    struct iovec vector = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, thread, (void *)NT_PRSTATUS, &vector) != 0 ||
        vector.iov_len != sizeof registers || (int64_t)registers.rax != -EINTR ||
        !is_restartable((long)registers.orig_rax))
        return;
    registers.rax = (uint64_t)-RESTART_UNLESS_HANDLED;
    ptrace(PTRACE_SETREGSET, thread, (void *)NT_PRSTATUS, &vector);
}
#else
/* Elsewhere the kernel has decided before it stops. */
static void let_call_go_on(pid_t thread) {
    (void)thread;
}
#endif

/* A thread that did not stop yet cannot be let go: it must be stopped for that. Killing us would do it too.
 */
void release_process(struct stopped *stopped) {
    for (size_t i = 0; i < stopped->count; i++) {
        struct stopped_thread *thread = &stopped->threads[i];
        if (!thread->is_stopped)
            wait_for(thread, incarnation_clock() + PATIENCE);
        if (!thread->is_stopped)
            continue;
        let_call_go_on(thread->id);
        ptrace(PTRACE_DETACH, thread->id, NULL, (void *)(intptr_t)thread->signal);
    }
    free(stopped->threads);
    *stopped = (struct stopped){0};
}

bool stop_process(pid_t pid, struct stopped *stopped) {
    int64_t deadline = incarnation_clock() + PATIENCE;
    size_t fresh = 1;
    bool good = true;
    *stopped = (struct stopped){0};
    /* A thread may start another one before it stops: until a round finds none. */
    while (good && fresh > 0) {
        size_t first = stopped->count;
        good = seize_all(pid, stopped, &fresh);
        for (size_t i = first; good && i < stopped->count; i++)
            good = wait_for(&stopped->threads[i], deadline);
    }
    if (good)
        return true;
    int error = errno;
    release_process(stopped);
    errno = error;
    return false;
}
