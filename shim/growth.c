/* growth.c: connects again to a known target, and knows the server's 53300 from other failures. */
#define _GNU_SOURCE
#include "growth.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "settings.h"

enum { WORDS = 128 };
enum { GLANCE = 20 }; /* milliseconds after which a thread of ours looks whether the process ends */

_Atomic bool growth_ends;
_Thread_local bool growth_is_ours __attribute__((tls_model("initial-exec")));

/* libpq gives no SQLSTATE for a failed connect, but in verbose messages it stands behind the severity. */
#define REFUSAL_CODE " 53300: "

bool growth_message_is_refusal(const char *message) {
    return strstr(message, REFUSAL_CODE) || strstr(message, "too many connections for") ||
           strstr(message, "too many clients already") || strstr(message, "remaining connection slots");
}

bool growth_wait_for_room(int tries) {
    if (tries > 6)
        return false;
    struct timespec pause = {0, 1000000L << tries};
    nanosleep(&pause, NULL);
    return true;
}

/* The verbose message as libpq words it by default: no code, no LOCATION line. */
static void plain_message(char *message) {
    char *code = strstr(message, REFUSAL_CODE);
    if (code)
        memmove(code + 1, code + strlen(REFUSAL_CODE), strlen(code + strlen(REFUSAL_CODE)) + 1);
    char *location = strstr(message, "\nLOCATION:");
    if (location)
        strcpy(location, "\n");
}

static void target_words(const struct set *set, const struct identity *home, const char **keywords,
                         const char **values) {
    int count = 0;
    const struct target *target = set->target;
    for (int i = 0; target->keywords[i] && count < WORDS - 5; i++) {
        keywords[count] = target->keywords[i];
        values[count++] = target->values[i];
    }
    /* One name may lead to several servers; a handle stays on the one whose answers it has seen. */
    if (home && home->hostaddr && home->hostaddr[0]) {
        keywords[count] = "host";
        values[count++] = home->host;
        keywords[count] = "hostaddr";
        values[count++] = home->hostaddr;
        keywords[count] = "port";
        values[count++] = home->port;
    }
    keywords[count] = values[count] = NULL;
}

/* Seconds that libpq allows a connect; 0: no limit. One second is too little, libpq says, and takes two. */
static int connect_timeout(const struct set *set) {
    const char *value = target_value(set->target, "connect_timeout");
    int seconds = value ? atoi(value) : 0;
    return seconds == 1 ? 2 : seconds > 0 ? seconds : 0;
}

/* PQconnectPoll to the end. False on failure; `timed_out` if it was the time. */
static bool drive(struct libpq *libpq, PGconn *conn, int seconds, bool *timed_out) {
    int64_t deadline = INT64_MAX;
    char address[128] = "";
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    *timed_out = false;
    while (wants == PGRES_POLLING_READING || wants == PGRES_POLLING_WRITING) {
        struct pollfd wait = {.fd = libpq->PQsocket(conn),
                              .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        /* As in libpq, the time is for one address; the next one has it anew. */
        const char *tried = libpq->PQhostaddr(conn);
        if (seconds &&
            (deadline == INT64_MAX || (tried && strncmp(tried, address, sizeof address - 1) != 0))) {
            deadline = recorder_now() + seconds * INT64_C(1000000000);
            strncpy(address, tried ? tried : "", sizeof address - 1);
        }
        int64_t left = deadline == INT64_MAX ? -1 : (deadline - recorder_now()) / 1000000;
        if (deadline != INT64_MAX && left <= 0) {
            *timed_out = true;
            return false;
        }
        if (growth_is_ours && (left < 0 || left > GLANCE))
            left = GLANCE;
        int ready = poll(&wait, 1, (int)left);
        if ((ready < 0 && errno != EINTR) || growth_is_given_up())
            return false;
        if (ready > 0)
            wants = libpq->PQconnectPoll(conn);
    }
    return wants == PGRES_POLLING_OK;
}

/* One try. On success `*grown` is listed in no set yet and its lease is LEASE_ENGINE. */
static enum growth connect_to(struct set *set, const struct identity *home, struct server **grown,
                              char **problem) {
    struct libpq *libpq = set->libpq;
    const char *keywords[WORDS], *values[WORDS];
    const struct identity *homes[2] = {home, NULL};
    enum growth outcome = GROWTH_FAILED;
    for (int i = homes[0] ? 0 : 1; i < 2 && !growth_is_given_up(); i++) {
        bool timed_out;
        free(*problem);
        *problem = NULL;
        target_words(set, homes[i], keywords, values);
        PGconn *conn = libpq->PQconnectStartParams(keywords, values, 0);
        if (!conn)
            return GROWTH_FAILED;
        libpq->PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
        if (libpq->PQstatus(conn) != CONNECTION_BAD && drive(libpq, conn, connect_timeout(set), &timed_out)) {
            libpq->PQsetErrorVerbosity(conn, PQERRORS_DEFAULT);
            struct server *server = server_new(libpq, set, conn);
            if (!server) {
                libpq->PQfinish(conn);
                return GROWTH_FAILED;
            }
            server_established(server);
            *grown = server;
            return GROWTH_DONE;
        }
        const char *message = libpq->PQerrorMessage(conn);
        outcome = growth_message_is_refusal(message) ? GROWTH_REFUSED : GROWTH_FAILED;
        *problem = strdup(message[0] ? message : "timeout expired\n");
        libpq->PQfinish(conn);
        if (*problem)
            plain_message(*problem);
        if (outcome == GROWTH_REFUSED)
            return outcome;
    }
    return outcome;
}

/* Connects that were under way in threads that are no more. */
static void forget_the_dead(struct set *set) {
    for (unsigned i = 0; i < set->connecting && i < SET_CONNECTORS; i++)
        if (!process_thread_lives(set->connectors[i]))
            set->connectors[i--] = set->connectors[--set->connecting % SET_CONNECTORS];
}

bool growth_is_allowed(struct set *set) {
    uint32_t cap = settings()->max_connections;
    if (set->connecting)
        forget_the_dead(set);
    if (!set->target)
        return false;
    return (cap == SETTING_NO_LIMIT || set->open + set->connecting + set->starting < cap) &&
           recorder_now() >= set->refused_until;
}

/* A connect that was left by longjmp never ends; the thread that comes here again tells. */
static void connect_begins(struct set *set) {
    unsigned i = 0;
    while (i < set->connecting && i < SET_CONNECTORS && set->connectors[i] != process_thread())
        i++;
    if (i < SET_CONNECTORS)
        set->connectors[i] = process_thread();
    if (i == set->connecting)
        set->connecting++;
}

static void connect_ends(struct set *set) {
    set->connecting--;
    for (unsigned i = 0; i < SET_CONNECTORS; i++)
        if (set->connectors[i] == process_thread()) {
            set->connectors[i] = set->connecting < SET_CONNECTORS ? set->connectors[set->connecting] : 0;
            break;
        }
}

struct server *growth_add(struct set *set, const struct identity *home, struct quiet *quiet,
                          enum growth *outcome, char **problem) {
    struct server *server = NULL;
    *problem = NULL;
    connect_begins(set);
    pthread_mutex_unlock(&set->lock);
    quiet_end(quiet);
    *outcome = connect_to(set, home, &server, problem);
    if (*outcome == GROWTH_REFUSED && sets_close_idle(set) > 0)
        for (int tries = 0;
             *outcome == GROWTH_REFUSED && !growth_is_given_up() && growth_wait_for_room(tries); tries++)
            *outcome = connect_to(set, home, &server, problem);
    quiet_begin(quiet);
    pthread_mutex_lock(&set->lock);
    connect_ends(set);
    if (*outcome == GROWTH_REFUSED)
        set->refused_until = recorder_now() + GROWTH_PAUSE;
    if (server && !set_add_server(set, server)) {
        pthread_mutex_unlock(&set->lock);
        server_close(server);
        pthread_mutex_lock(&set->lock);
        server = NULL;
        *outcome = GROWTH_FAILED;
    }
    return server;
}
