/* inside.c: whether somebody is inside a call on a handle, on this stack or in another thread. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "call.h"

enum { CALLBACK_DEPTH = 256 };

/* Whoever is inside a call got here from a callback, so libpq has frames above ours. */
static bool is_inside(const struct libpq *libpq) {
    void *frames[CALLBACK_DEPTH];
    for (int i = 0, count = backtrace(frames, CALLBACK_DEPTH); i < count; i++)
        if ((uintptr_t)frames[i] - libpq->begin < libpq->end - libpq->begin)
            return true;
    return false;
}

/* A call that was left by longjmp has been popped: its frame lies below ours, or something else stands
 * there by now, or a deeper call has left it intact by chance. So this may look into anybody's frame. */
__attribute__((no_sanitize_address)) bool call_is_on_stack(uint64_t inside, const struct handle *handle) {
    const struct call *call = call_of_word(inside);
    return inside == call_word(call) && (uintptr_t)call > (uintptr_t)__builtin_frame_address(0) &&
           call->here == CALL_HERE && is_inside(handle->libpq);
}

static bool is_poll(long number) {
#ifdef SYS_poll
    if (number == SYS_poll)
        return true;
#endif
    return number == SYS_ppoll;
}

bool call_waits_elsewhere(const struct handle *handle, const PGconn *conn) {
    uint64_t inside = atomic_load_explicit(&handle->inside, memory_order_relaxed);
    int thread = call_thread(inside), error = errno;
    char path[64], text[256];
    long number = -1;
    unsigned long long first = 0;
    struct pollfd polled = {.fd = -1};
    if (!inside || thread == process_thread())
        return false;
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
    if (file >= 0)
        close(file);
    text[length > 0 ? length : 0] = '\0';
    /* libpq waits in poll, for one descriptor; what it polls lies on the other's stack, so the kernel reads
     * it. */
    if (sscanf(text, "%ld 0x%llx", &number, &first) == 2 && is_poll(number)) {
        struct iovec into = {&polled, sizeof polled}, from = {(void *)(uintptr_t)first, sizeof polled};
        if (process_vm_readv(getpid(), &into, 1, &from, 1, 0) != (ssize_t)sizeof polled)
            polled.fd = -1;
    }
    errno = error;
    return polled.fd >= 0 && polled.fd == handle->libpq->PQsocket(conn);
}
