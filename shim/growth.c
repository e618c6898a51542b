/* growth.c: connects again to a known target, and knows the server's 53300 from other failures. */
#define _GNU_SOURCE
#include "growth.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORDS = 128 };

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
        int ready = poll(&wait, 1, (int)left);
        if (ready < 0 && errno != EINTR)
            return false;
        if (ready > 0)
            wants = libpq->PQconnectPoll(conn);
    }
    return wants == PGRES_POLLING_OK;
}

enum growth growth_connect(struct set *set, struct handle *handle, struct server **grown) {
    struct libpq *libpq = set->libpq;
    const char *keywords[WORDS], *values[WORDS];
    const struct identity *homes[2] = {handle->identity, NULL};
    enum growth outcome = GROWTH_FAILED;
    *grown = NULL;
    for (int i = homes[0] ? 0 : 1; i < 2; i++) {
        bool timed_out;
        target_words(set, homes[i], keywords, values);
        PGconn *conn = libpq->PQconnectStartParams(keywords, values, 0);
        if (!conn) {
            handle_say(handle, "out of memory\n");
            return GROWTH_FAILED;
        }
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
        char *message = strdup(libpq->PQerrorMessage(conn));
        libpq->PQfinish(conn);
        outcome = message && growth_message_is_refusal(message) ? GROWTH_REFUSED : GROWTH_FAILED;
        if (message)
            plain_message(message);
        handle_say(handle, message && message[0] ? message : "timeout expired\n");
        free(message);
        if (outcome == GROWTH_REFUSED)
            return outcome;
    }
    return outcome;
}
