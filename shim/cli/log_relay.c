/* log_relay.c: receives the log lines of every process of the run and writes them. */
#include "log_relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "log_line.h"
#include "say.h"

enum { DATAGRAM_MAX = 16384 };

/* A datagram on its way from the receiving thread to the writing one. */
struct message {
    struct message *next;
    size_t length;
    char bytes[];
};

struct log_relay {
    const struct settings *settings;
    struct sockaddr_un address;
    int socket, stop; /* `stop` becomes readable when the receiver shall end */
    pthread_t receiver, writer;
    bool started;
    struct log_names *names; /* the writer's alone */
    bool complained;         /* the writer's alone: said that the log cannot be written */
    pthread_mutex_t lock;    /* guards what follows */
    pthread_cond_t arrived;
    struct message *first, **last;
    bool ended;
};

struct log_relay *log_relay_open(const char *directory, const char *run, const struct settings *settings,
                                 char *why, size_t size) {
    struct log_relay *relay = calloc(1, sizeof *relay);
    if (!relay) {
        snprintf(why, size, "out of memory");
        return NULL;
    }
    relay->settings = settings;
    relay->address.sun_family = AF_UNIX;
    relay->last = &relay->first;
    pthread_mutex_init(&relay->lock, NULL);
    pthread_cond_init(&relay->arrived, NULL);
    char path[sizeof relay->address.sun_path + 1];
    int length = snprintf(path, sizeof path, "%s/%s.sock", directory, run);
    if (length >= (int)sizeof relay->address.sun_path) {
        snprintf(why, size, "the path %s is too long for a socket", directory);
        free(relay);
        return NULL;
    }
    memcpy(relay->address.sun_path, path, (size_t)length + 1);
    relay->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    relay->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    /* Our pid and start time are in the name: what lies there is nobody else's. */
    unlink(path);
    mode_t mask = umask(0177);
    bool bound = relay->socket >= 0 && relay->stop >= 0 &&
                 bind(relay->socket, (struct sockaddr *)&relay->address, sizeof relay->address) == 0;
    int error = errno;
    umask(mask);
    relay->names = bound ? log_names_new(directory) : NULL;
    if (relay->names)
        return relay;
    snprintf(why, size, "%s/%s.sock: %s", directory, run, strerror(error));
    log_relay_close(relay);
    return NULL;
}

static void hand_over(struct log_relay *relay, const char *bytes, size_t length) {
    struct message *message = malloc(sizeof *message + length);
    if (!message)
        return;
    message->next = NULL;
    message->length = length;
    memcpy(message->bytes, bytes, length);
    pthread_mutex_lock(&relay->lock);
    *relay->last = message;
    relay->last = &message->next;
    pthread_cond_signal(&relay->arrived);
    pthread_mutex_unlock(&relay->lock);
}

static void drain(struct log_relay *relay) {
    char bytes[DATAGRAM_MAX];
    for (;;) {
        ssize_t length = recv(relay->socket, bytes, sizeof bytes, 0);
        if (length > 0)
            hand_over(relay, bytes, (size_t)length);
        else if (length < 0 && errno != EINTR)
            return;
    }
}

static void *receive(void *argument) {
    struct log_relay *relay = argument;
    struct pollfd events[] = {{.fd = relay->socket, .events = POLLIN}, {.fd = relay->stop, .events = POLLIN}};
    for (;;) {
        if (poll(events, 2, -1) < 0 && errno != EINTR)
            break;
        /* Asked to stop, it still takes what was sent before. */
        drain(relay);
        if (events[1].revents)
            break;
    }
    return NULL;
}

/* PQONE_LOG as a path, %p replaced by the sender. */
static void path_of(const char *pattern, pid_t sender, char *path, size_t size) {
    size_t at = 0;
    for (; *pattern && at + 1 < size; pattern++) {
        if (pattern[0] == '%' && pattern[1] == 'p') {
            int length = snprintf(path + at, size - at, "%d", (int)sender);
            at = at + (size_t)length < size ? at + (size_t)length : size - 1;
            pattern++;
        } else {
            path[at++] = *pattern;
        }
    }
    path[at] = '\0';
}

/* Opened for each line: lines are rare, and a log that was rotated away is made anew. */
static bool append(struct log_relay *relay, pid_t sender, const char *line) {
    char path[4096];
    path_of(relay->settings->log_path, sender, path, sizeof path);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file >= 0) {
        say_bytes(file, line, strlen(line));
        close(file);
        return true;
    }
    if (!relay->complained)
        say("the log %s cannot be written (%s), so its lines follow here", path, strerror(errno));
    relay->complained = true;
    return false;
}

/* The writer thread's own; what is not a message of the shim is dropped without a word, or anybody who can
 * reach the socket could write through us. */
static void deliver(struct log_relay *relay, const struct message *message) {
    pid_t sender;
    enum log_place place = relay->settings->log;
    char *line =
        place == LOG_TO_NONE ? NULL : log_line(relay->names, message->bytes, message->length, &sender);
    if (!line)
        return;
    if (place == LOG_TO_SYSLOG)
        syslog(LOG_NOTICE, "%s", line);
    else if (place != LOG_TO_PATH || !append(relay, sender, line))
        say_bytes(STDERR_FILENO, line, strlen(line));
    free(line);
}

static void *write_lines(void *argument) {
    struct log_relay *relay = argument;
    pthread_mutex_lock(&relay->lock);
    for (;;) {
        struct message *message = relay->first;
        if (!message) {
            if (relay->ended)
                break;
            pthread_cond_wait(&relay->arrived, &relay->lock);
            continue;
        }
        relay->first = message->next;
        if (!relay->first)
            relay->last = &relay->first;
        /* Written without the lock: the receiver must never wait for a slow terminal. */
        pthread_mutex_unlock(&relay->lock);
        deliver(relay, message);
        free(message);
        pthread_mutex_lock(&relay->lock);
    }
    pthread_mutex_unlock(&relay->lock);
    return NULL;
}

bool log_relay_start(struct log_relay *relay) {
    if (relay->settings->log == LOG_TO_SYSLOG)
        openlog("pqone", LOG_NDELAY, LOG_USER);
    /* Signals are for the main thread alone. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    relay->started = pthread_create(&relay->writer, NULL, write_lines, relay) == 0;
    if (relay->started && pthread_create(&relay->receiver, NULL, receive, relay) != 0) {
        pthread_mutex_lock(&relay->lock);
        relay->ended = true;
        pthread_cond_signal(&relay->arrived);
        pthread_mutex_unlock(&relay->lock);
        pthread_join(relay->writer, NULL);
        relay->started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return relay->started;
}

static void stop_threads(struct log_relay *relay) {
    /* Gone first: who comes late finds no socket and writes his line himself. */
    unlink(relay->address.sun_path);
    uint64_t one = 1;
    while (write(relay->stop, &one, sizeof one) < 0 && errno == EINTR)
        ;
    pthread_join(relay->receiver, NULL);
    pthread_mutex_lock(&relay->lock);
    relay->ended = true;
    pthread_cond_signal(&relay->arrived);
    pthread_mutex_unlock(&relay->lock);
    pthread_join(relay->writer, NULL);
}

void log_relay_close(struct log_relay *relay) {
    if (!relay)
        return;
    if (relay->started)
        stop_threads(relay);
    else if (relay->names)
        unlink(relay->address.sun_path);
    if (relay->socket >= 0)
        close(relay->socket);
    if (relay->stop >= 0)
        close(relay->stop);
    log_names_free(relay->names);
    pthread_cond_destroy(&relay->arrived);
    pthread_mutex_destroy(&relay->lock);
    free(relay);
}
