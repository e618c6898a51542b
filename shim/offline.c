/* offline.c: makes stand-ins by playing the server in a handshake with ourselves. */
#define _GNU_SOURCE
#include "offline.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lease.h"

struct stand_in {
    struct stand_in *next;
    struct libpq *libpq;
    char *text; /* the handshake, by which stand-ins are told apart */
    size_t length;
    PGconn *conn;
    pthread_mutex_t lock; /* the stand-in's lease */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the list; nothing is taken under it */
static struct stand_in *list;

struct handshake {
    char bytes[2048];
    size_t length;
};

static void add_message(struct handshake *handshake, char type, const void *body, size_t length) {
    if (handshake->length + length + 5 > sizeof handshake->bytes)
        return;
    uint32_t size = __builtin_bswap32((uint32_t)length + 4);
    char *at = handshake->bytes + handshake->length;
    at[0] = type;
    memcpy(at + 1, &size, 4);
    memcpy(at + 5, body, length);
    handshake->length += length + 5;
}

static void add_parameter(struct handshake *handshake, const struct identity *identity, const char *name) {
    const char *value = identity_value(identity->parameters, name);
    char body[160];
    if (!value)
        return;
    int length = snprintf(body, sizeof body, "%s%c%s", name, 0, value);
    if (length > 0 && (size_t)length < sizeof body)
        add_message(handshake, 'S', body, (size_t)length + 1);
}

/* Authentication is fine, these are my parameters, I am ready. */
static void make_handshake(struct handshake *handshake, const struct identity *identity) {
    handshake->length = 0;
    add_message(handshake, 'R', "\0\0\0\0", 4);
    add_parameter(handshake, identity, "server_version");
    add_parameter(handshake, identity, "client_encoding");
    add_parameter(handshake, identity, "standard_conforming_strings");
    add_message(handshake, 'K', "\0\0\0\1\0\0\0\1", 8);
    add_message(handshake, 'Z', "I", 1);
}

/* A listening socket under an abstract name that nobody can guess; libpq calls it @name. */
static int listen_privately(char *name, size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    uint64_t secret[2];
    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return -1;
    snprintf(name, size, "@pqone-%016llx%016llx", (unsigned long long)secret[0],
             (unsigned long long)secret[1]);
    char path[sizeof address.sun_path];
    int length = snprintf(path, sizeof path, "%s/.s.PGSQL.5432", name);
    memcpy(address.sun_path + 1, path + 1, (size_t)length - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener >= 0 && (bind(listener, (struct sockaddr *)&address,
                               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length)) != 0 ||
                          listen(listener, 1) != 0)) {
        close(listener);
        return -1;
    }
    return listener;
}

static bool peer_is_us(int peer) {
    struct ucred who;
    socklen_t size = sizeof who;
    return getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 && who.pid == getpid();
}

/* The server's end of the connection, which is ours as well; -1 if it came to nothing. */
static int shake_hands(struct libpq *libpq, PGconn *conn, int listener, const struct handshake *handshake) {
    struct pollfd caller = {.fd = listener, .events = POLLIN};
    if (libpq->PQstatus(conn) == CONNECTION_BAD || poll(&caller, 1, 1000) != 1)
        return -1;
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer < 0)
        return -1;
    bool done = false;
    if (peer_is_us(peer) &&
        send(peer, handshake->bytes, handshake->length, MSG_NOSIGNAL) == (ssize_t)handshake->length) {
        PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
        for (int i = 0; i < 20 && (wants == PGRES_POLLING_WRITING || wants == PGRES_POLLING_READING); i++) {
            struct pollfd wait = {.fd = libpq->PQsocket(conn),
                                  .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
            poll(&wait, 1, 1000);
            wants = libpq->PQconnectPoll(conn);
        }
        done = wants == PGRES_POLLING_OK;
    }
    if (done)
        return peer;
    close(peer);
    return -1;
}

/* Whatever the environment or a service asks of a real server, nobody has no TLS and wants no password. */
static const struct {
    int since; /* an older libpq refuses words that it does not know */
    const char *keyword, *value;
} words[] = {
    {0, "port", "5432"},
    {0, "user", "pqone"},
    {0, "dbname", "pqone"},
    {0, "password", "none"},
    {0, "sslmode", "disable"},
    {0, "gssencmode", "disable"},
    {0, "options", " "},
    {0, "channel_binding", "disable"},
    {0, "target_session_attrs", "any"},
    {160000, "require_auth", "none"},
    {160000, "sslcertmode", "disable"},
    {170000, "sslnegotiation", "postgres"},
    {180000, "min_protocol_version", "3.0"},
    {180000, "max_protocol_version", "3.0"},
};
enum { WORDS = sizeof words / sizeof *words };

static PGconn *connect_to_nobody(struct libpq *libpq, const struct handshake *handshake, int *peer) {
    char name[80];
    int listener = listen_privately(name, sizeof name);
    if (listener < 0)
        return NULL;
    const char *keywords[WORDS + 2] = {"host"}, *values[WORDS + 2] = {name};
    for (int i = 0, count = 1; i < WORDS; i++)
        if (libpq->version >= words[i].since) {
            keywords[count] = words[i].keyword;
            values[count++] = words[i].value;
        }
    PGconn *conn = libpq->PQconnectStartParams(keywords, values, 0);
    *peer = conn ? shake_hands(libpq, conn, listener, handshake) : -1;
    if (*peer < 0) {
        libpq->PQfinish(conn);
        conn = NULL;
    }
    close(listener);
    return conn;
}

static struct stand_in *find(struct libpq *libpq, const struct handshake *handshake) {
    struct stand_in *stand_in = list;
    while (stand_in && !(stand_in->libpq == libpq && stand_in->length == handshake->length &&
                         memcmp(stand_in->text, handshake->bytes, handshake->length) == 0))
        stand_in = stand_in->next;
    return stand_in;
}

static struct stand_in *make(struct libpq *libpq, const struct handshake *handshake) {
    struct stand_in *stand_in = calloc(1, sizeof *stand_in);
    if (!stand_in)
        return NULL;
    stand_in->libpq = libpq;
    stand_in->length = handshake->length;
    stand_in->text = malloc(handshake->length);
    int peer;
    stand_in->conn = stand_in->text ? connect_to_nobody(libpq, handshake, &peer) : NULL;
    if (!stand_in->conn) {
        free(stand_in->text);
        free(stand_in);
        return NULL;
    }
    close(peer);
    close(libpq->PQsocket(stand_in->conn)); /* it never speaks again, and never is finished */
    memcpy(stand_in->text, handshake->bytes, handshake->length);
    pthread_mutex_init(&stand_in->lock, NULL);
    return stand_in;
}

/* Abstract sockets came with 14. And no word of ours overrules PGHOSTADDR: libpq would knock at that address.
 */
static bool is_possible(const struct handle *handle) {
    return handle->identity && handle->libpq->version >= 140000 && !getenv("PGHOSTADDR");
}

static struct stand_in *stand_in_for(const struct handle *handle) {
    struct handshake handshake;
    if (!is_possible(handle))
        return NULL;
    make_handshake(&handshake, handle->identity);
    pthread_mutex_lock(&lock);
    struct stand_in *stand_in = find(handle->libpq, &handshake);
    pthread_mutex_unlock(&lock);
    if (stand_in || !(stand_in = make(handle->libpq, &handshake)))
        return stand_in;
    pthread_mutex_lock(&lock); /* two of a kind, made at once, do no harm */
    stand_in->next = list;
    list = stand_in;
    pthread_mutex_unlock(&lock);
    return stand_in;
}

PGconn *offline_begin(struct offline *offline, struct handle *handle) {
    offline->handle = handle;
    offline->stand_in = NULL;
    PGconn *conn = call_begin_held(&offline->call, handle);
    if (conn)
        return conn;
    int saved_errno = errno;
    offline->stand_in = stand_in_for(handle);
    errno = saved_errno;
    if (!offline->stand_in)
        return call_begin(&offline->call, handle, PIN_NONE, NULL);
    struct libpq *libpq = handle->libpq;
    const struct manners *manners = &handle->manners;
    conn = offline->stand_in->conn;
    pthread_mutex_lock(&offline->stand_in->lock);
    /* A result remembers the notice hooks of the PGconn that made it. */
    libpq->PQsetNoticeReceiver(conn, manners->receiver, manners->receiver_argument);
    libpq->PQsetNoticeProcessor(conn, manners->processor, manners->processor_argument);
    return conn;
}

void offline_end(struct offline *offline) {
    if (!offline->stand_in) {
        call_end(&offline->call);
        return;
    }
    struct handle *handle = offline->handle;
    const char *error = handle->libpq->PQerrorMessage(offline->stand_in->conn);
    if (error[0] != '\0') {
        handle_say(handle, error);
        /* Whoever uses it next must not find this one's error: an empty identifier succeeds and clears. */
        handle->libpq->PQfreemem(handle->libpq->PQescapeIdentifier(offline->stand_in->conn, "", 0));
    }
    pthread_mutex_unlock(&offline->stand_in->lock);
}

/* The server's word, put into its fields: severity, code and message, each with its end. */
static bool send_error(int peer, const char *sqlstate, const char *message) {
    static const char severities[] = "SERROR\0VERROR";
    struct handshake answer = {.length = 0};
    char body[sizeof answer.bytes - 32];
    size_t length = sizeof severities;
    memcpy(body, severities, sizeof severities);
    int rest = snprintf(body + length, sizeof body - length - 1, "C%s%cM%.*s", sqlstate, 0,
                        (int)(sizeof body - length - 16), message);
    length += (size_t)rest + 1;
    body[length++] = '\0';
    add_message(&answer, 'E', body, length);
    add_message(&answer, 'Z', "I", 1);
    return send(peer, answer.bytes, answer.length, MSG_NOSIGNAL) == (ssize_t)answer.length;
}

PGresult *offline_error(struct handle *handle, const char *sqlstate, const char *message) {
    struct libpq *libpq = handle->libpq;
    struct handshake handshake;
    PGresult *result = NULL;
    PGconn *conn = NULL;
    int peer = -1, saved_errno = errno;
    if (is_possible(handle)) {
        make_handshake(&handshake, handle->identity);
        conn = connect_to_nobody(libpq, &handshake, &peer);
    }
    if (conn) {
        libpq->PQsetNoticeReceiver(conn, handle->manners.receiver, handle->manners.receiver_argument);
        libpq->PQsetNoticeProcessor(conn, handle->manners.processor, handle->manners.processor_argument);
        libpq->PQsetErrorVerbosity(conn, handle->manners.verbosity);
        if (libpq->PQsendQuery(conn, "") && send_error(peer, sqlstate, message))
            result = libpq->PQgetResult(conn);
        close(peer);
        libpq->PQfinish(conn);
    }
    if (result)
        handle_say(handle, libpq->PQresultErrorMessage(result));
    else
        handle_sayf(handle, "%s\n", message);
    errno = saved_errno;
    return result ? result : libpq->PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);
}

void offline_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
    if (side != FORK_CHILD && side != FORK_UNPREPARED)
        return;
    for (struct stand_in *stand_in = list; stand_in; stand_in = stand_in->next)
        pthread_mutex_init(&stand_in->lock, NULL); /* whichever thread had it is not here */
}
