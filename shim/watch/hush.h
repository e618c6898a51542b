/*
 * hush.h: keeps what our own writes could do to the thread that makes them away from the program.
 *
 * A reader that is gone sends SIGPIPE, a file size limit SIGXFSZ, a terminal SIGTTOU; a cancelled thread
 * would unwind out of write(2) with our locks held. Between hush_begin() and hush_end() none of it
 * happens, and errno is what it was.
 */
#ifndef PQONE_HUSH_H
#define PQONE_HUSH_H

#include <signal.h>
#include <stdbool.h>

struct hush {
    sigset_t mask;
    bool pipe_pending, size_pending; /* sent by others before us: not ours to swallow */
    int cancel_state;
    int error;
};

void hush_begin(struct hush *hush);

/* `failed` is the errno of the write, 0 if it went well: only EPIPE and EFBIG left a signal of ours. */
void hush_end(struct hush *hush, int failed);

#endif
