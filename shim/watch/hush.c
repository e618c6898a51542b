/* hush.c: signals, cancellation and errno around a write of our own. */
#include "hush.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

void hush_begin(struct hush *hush) {
    sigset_t ours, pending;
    hush->error = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &hush->cancel_state);
    sigpending(&pending);
    hush->pipe_pending = sigismember(&pending, SIGPIPE) == 1;
    hush->size_pending = sigismember(&pending, SIGXFSZ) == 1;
    sigemptyset(&ours);
    sigaddset(&ours, SIGPIPE);
    sigaddset(&ours, SIGXFSZ);
    sigaddset(&ours, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &ours, &hush->mask);
}

static void swallow(int signal) {
    const struct timespec at_once = {0, 0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    while (sigtimedwait(&one, NULL, &at_once) < 0 && errno == EINTR)
        ;
}

void hush_end(struct hush *hush, int failed) {
    if (failed == EPIPE && !hush->pipe_pending)
        swallow(SIGPIPE);
    if (failed == EFBIG && !hush->size_pending)
        swallow(SIGXFSZ);
    pthread_sigmask(SIG_SETMASK, &hush->mask, NULL);
    pthread_setcancelstate(hush->cancel_state, NULL);
    errno = hush->error;
}
