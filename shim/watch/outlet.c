/* outlet.c: writes finished lines to stderr, a file or a datagram socket. */
#include "outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hush.h"
#include "watch.h"

#define PATIENCE_MS 100
#define RETRY_MS 5

/* What a descriptor was when we learnt of it; daemons close and reuse numbers. */
struct identity {
    bool known;
    dev_t device, special;
    ino_t inode;
};

static struct identity stderr_at_start;

/* The log file; under WATCH_OUTLET. */
static struct {
    int fd;
    int pid; /* of the process that %p was replaced for */
    struct identity identity;
} file = {-1, 0, {false, 0, 0, 0}};

/* A reader that let us wait in vain once is not waited for again until it takes a line. */
static atomic_bool stderr_stalls, datagram_stalls;

static struct identity identify(int fd) {
    struct stat state;
    if (fstat(fd, &state) != 0)
        return (struct identity){false, 0, 0, 0};
    return (struct identity){true, state.st_dev, state.st_rdev, state.st_ino};
}

static bool is_still(int fd, const struct identity *known) {
    struct identity now = identify(fd);
    return known->known && now.known && now.device == known->device && now.special == known->special &&
           now.inode == known->inode;
}

void outlet_start(void) {
    int error = errno;
    stderr_at_start = identify(STDERR_FILENO);
    errno = error;
}

/* One write: a line that comes in two halves mixes with others. EINTR means that nothing was written. */
static int write_once(int fd, const char *line, size_t length) {
    for (;;) {
        ssize_t written = write(fd, line, length);
        if (written >= 0)
            return 0;
        if (errno != EINTR)
            return errno;
    }
}

/* A full pipe, or a terminal that is stopped, would block the program in a write that is not its own. */
static bool has_room(int fd) {
    struct pollfd wanted = {fd, POLLOUT, 0};
    int wait = atomic_load(&stderr_stalls) ? 0 : PATIENCE_MS;
    int ready;
    while ((ready = poll(&wanted, 1, wait)) < 0 && errno == EINTR)
        wait = 0;
    atomic_store(&stderr_stalls, ready <= 0);
    return ready > 0;
}

bool outlet_stderr(const char *line, size_t length) {
    struct hush hush;
    int failed = EAGAIN;
    hush_begin(&hush);
    if (!is_still(STDERR_FILENO, &stderr_at_start))
        failed = EBADF;
    else if (has_room(STDERR_FILENO))
        failed = write_once(STDERR_FILENO, line, length);
    hush_end(&hush, failed);
    return failed == 0;
}

static bool expand(const char *pattern, char *path, size_t size) {
    size_t out = 0;
    while (*pattern && out + 16 < size) {
        if (pattern[0] == '%' && pattern[1] == 'p') {
            out += (size_t)snprintf(path + out, 16, "%d", (int)getpid());
            pattern += 2;
        } else {
            path[out++] = *pattern++;
        }
    }
    path[out] = '\0';
    return *pattern == '\0';
}

/* Above 63, so that the program's own open() gets the numbers it would get without us. */
static int move_up(int fd) {
    int above = fcntl(fd, F_DUPFD_CLOEXEC, 64);
    if (above < 0 && fd <= STDERR_FILENO)
        above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (above < 0)
        return fd;
    close(fd);
    return above;
}

/* O_NONBLOCK: a FIFO without a reader would hang the open. */
static int open_file(const char *pattern) {
    char path[PATH_MAX];
    if (!expand(pattern, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    return fd < 0 ? fd : move_up(fd);
}

/* The descriptor of the log file, opened if this process has none. One that is no longer our file is
 * forgotten and not closed: it is somebody else's now. */
static int file_descriptor(const char *pattern) {
    bool ours = file.fd >= 0 && is_still(file.fd, &file.identity);
    if (ours && (file.pid == getpid() || !strstr(pattern, "%p")))
        return file.fd;
    if (ours)
        close(file.fd);
    file.fd = open_file(pattern);
    file.pid = getpid();
    int error = errno;
    file.identity = identify(file.fd);
    errno = error;
    return file.fd;
}

bool outlet_file(const char *pattern, const char *line, size_t length, char *why, size_t size) {
    struct hush hush;
    int failed;
    why[0] = '\0';
    hush_begin(&hush);
    watch_lock(WATCH_OUTLET);
    int fd = file_descriptor(pattern);
    if (fd < 0) {
        failed = errno;
        snprintf(why, size, "%s", strerrordesc_np(failed));
    } else {
        failed = write_once(fd, line, length);
        if (failed && failed != EAGAIN)
            snprintf(why, size, "%s", strerrordesc_np(failed));
    }
    watch_unlock(WATCH_OUTLET);
    hush_end(&hush, failed);
    return failed == 0;
}

static int send_patiently(int fd, const char *bytes, size_t length) {
    const struct timespec pause = {0, RETRY_MS * 1000000};
    for (int waited = 0;; waited += RETRY_MS) {
        if (send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
            atomic_store(&datagram_stalls, false);
            return 0;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != ENOBUFS)
            return errno;
        if (atomic_load(&datagram_stalls) || waited >= PATIENCE_MS)
            break;
        nanosleep(&pause, NULL);
    }
    atomic_store(&datagram_stalls, true);
    return EAGAIN;
}

/* A socket for each line: nothing to keep, to lose to the program's closefrom(), or to share by fork. */
bool outlet_datagram(const char *path, const char *bytes, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct hush hush;
    int failed = ENAMETOOLONG;
    if (strlen(path) >= sizeof address.sun_path)
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    hush_begin(&hush);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        failed = send_patiently(fd, bytes, length);
    else
        failed = errno;
    if (fd >= 0)
        close(fd);
    hush_end(&hush, failed);
    return failed == 0;
}
