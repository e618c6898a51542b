/* libpq.c: a libpq.so.5 that talks to nobody: records each call, answers recognisably, connects as scripted.
 */
#include "fake.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { CALLS = 256, CONNECTIONS = 512, WORDS = 5 };

/* As in libpq-fe.h. */
struct option {
    char *keyword, *envvar, *compiled, *value, *label, *dispchar;
    int dispsize;
};

enum {
    OK = 0,
    BAD = 1,
    POLLING_FAILED = 0,
    POLLING_OK = 3,
    COMMAND_OK = 1,
    TUPLES_OK = 2,
    PIPELINE_SYNC = 10
};

static const char *const keywords[WORDS] = {"host", "port", "dbname", "user", "hostaddr"};

/* What a program gets as PGconn *, PGcancel * and PGcancelConn *. */
struct connection {
    bool alive;
    int status, descriptor, peer, results, syncs, pipeline;
    char values[WORDS][128];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fake_call calls[CALLS];
static struct connection connections[CONNECTIONS];
static struct connection cancels[CONNECTIONS];
static const char *deceived;

static bool among(const struct connection *table, const void *pointer) {
    size_t offset = (uintptr_t)pointer - (uintptr_t)table;
    return offset < sizeof connections && offset % sizeof *table == 0 && table[offset / sizeof *table].alive;
}

static struct connection *fresh(struct connection *table) {
    for (int i = 0; i < CONNECTIONS; i++)
        if (!table[i].alive) {
            memset(&table[i], 0, sizeof table[i]);
            table[i].alive = true;
            table[i].descriptor = table[i].peer = -1; /* not the program's standard input */
            return &table[i];
        }
    abort();
}

static void set_word(struct connection *conn, const char *keyword, const char *value) {
    for (int i = 0; i < WORDS; i++)
        if (value && strcmp(keywords[i], keyword) == 0)
            snprintf(conn->values[i], sizeof conn->values[i], "%s", value);
}

/* "key=value key=value" */
static void set_words(struct connection *conn, const char *conninfo) {
    char text[512], *rest = NULL;
    snprintf(text, sizeof text, "%s", conninfo ? conninfo : "");
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (!equals)
            continue;
        *equals = '\0';
        set_word(conn, word, equals + 1);
    }
}

static int items(const char *list) {
    int count = *list != '\0';
    for (; *list; list++)
        count += *list == ',';
    return count;
}

/* The script: dbname=refused is refused; lists of unequal length are, as in libpq; all else connects. */
static struct connection *connected(struct connection *conn) {
    int hosts = items(conn->values[0]), addresses = items(conn->values[4]), ports = items(conn->values[1]),
        ends[2];
    bool unequal = (hosts && addresses && hosts != addresses) || (ports > 1 && ports != (addresses ? addresses
                                                                                         : hosts   ? hosts
                                                                                                   : 1));
    conn->status = unequal || strcmp(conn->values[2], "refused") == 0 ? BAD : OK;
    if (conn->status == OK && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0) {
        conn->descriptor = ends[0];
        conn->peer = ends[1];
    }
    return conn;
}

static void finished(struct connection *conn) {
    if (!conn)
        return;
    if (conn->descriptor >= 0) {
        close(conn->descriptor);
        close(conn->peer);
    }
    conn->alive = false;
}

static struct option *options_of(const struct connection *conn) {
    struct option *options = calloc(WORDS + 1, sizeof *options);
    for (int i = 0; i < WORDS; i++) {
        options[i].keyword = (char *)(uintptr_t)keywords[i];
        options[i].value = *conn->values[i] ? strdup(conn->values[i]) : NULL;
    }
    return options;
}

static const char *parameter(const char *name) {
    if (strcmp(name, "client_encoding") == 0 || strcmp(name, "server_encoding") == 0)
        return "UTF8";
    if (strcmp(name, "standard_conforming_strings") == 0 || strcmp(name, "integer_datetimes") == 0)
        return "on";
    return strcmp(name, "server_version") == 0 ? "15.0" : NULL;
}

/* As libpq: a result or a NULL behind each query, a PIPELINE_SYNC for each sync. */
static uintptr_t next_result(struct connection *conn) {
    static char result;
    if (conn->results > 0) {
        conn->results--;
        return conn->pipeline || conn->results % 2 ? (uintptr_t)&result : 0;
    }
    if (conn->syncs > 0) {
        conn->syncs--;
        return (uintptr_t)&conn->syncs;
    }
    return 0;
}

static bool is(const char *name, const char *other) {
    return strcmp(name, other) == 0;
}

/* The functions that make connections, and leave them. */
static bool connecting(const char *name, const uintptr_t *a, uintptr_t *answer) {
    struct connection *conn = NULL;
    if (is(name, "PQconnectdb") || is(name, "PQconnectStart")) {
        set_words(conn = fresh(connections), (const char *)a[0]);
        *answer = (uintptr_t)connected(conn);
    } else if (is(name, "PQconnectdbParams") || is(name, "PQconnectStartParams")) {
        const char *const *words = (const char *const *)a[0], *const *values = (const char *const *)a[1];
        conn = fresh(connections);
        for (int i = 0; words && words[i]; i++) {
            if (a[2] && strcmp(words[i], "dbname") == 0 && values[i] && strchr(values[i], '='))
                set_words(conn, values[i]);
            else
                set_word(conn, words[i], values[i]);
        }
        *answer = (uintptr_t)connected(conn);
    } else if (is(name, "PQsetdbLogin")) {
        conn = fresh(connections);
        set_word(conn, "host", (const char *)a[0]);
        set_word(conn, "port", (const char *)a[1]);
        set_word(conn, "dbname", (const char *)a[4]);
        set_word(conn, "user", (const char *)a[5]);
        *answer = (uintptr_t)connected(conn);
    } else if (is(name, "PQconninfoParse") || is(name, "PQconndefaults")) {
        struct connection words = {.alive = false};
        if (is(name, "PQconninfoParse"))
            set_words(&words, (const char *)a[0]);
        *answer = (uintptr_t)options_of(&words);
    } else if (is(name, "PQgetCancel") || is(name, "PQcancelCreate")) {
        *answer = (uintptr_t)fresh(cancels);
    } else if (is(name, "PQfinish") || is(name, "PQfreeCancel") || is(name, "PQcancelFinish")) {
        finished((struct connection *)a[0]);
    } else {
        return false;
    }
    return true;
}

/* The functions that describe a connection. */
static bool describing(const char *name, const uintptr_t *a, uintptr_t *answer) {
    struct connection *conn = (struct connection *)a[0];
    if (is(name, "PQstatus") || is(name, "PQcancelStatus"))
        *answer = (uintptr_t)(conn ? conn->status : BAD);
    else if (is(name, "PQconnectPoll") || is(name, "PQresetPoll"))
        *answer = conn->status == OK ? POLLING_OK : POLLING_FAILED;
    else if (is(name, "PQsocket"))
        *answer = (uintptr_t)(intptr_t)conn->descriptor;
    else if (is(name, "PQhost") || is(name, "PQport") || is(name, "PQdb") || is(name, "PQuser")) {
        for (int i = 0; i < WORDS; i++)
            if (strncmp(keywords[i], is(name, "PQdb") ? "dbname" : name + 2, 4) == 0 &&
                (i != 4 || is(name, "PQhostaddr")))
                *answer = (uintptr_t)conn->values[i];
    } else if (is(name, "PQhostaddr") || is(name, "PQpass") || is(name, "PQoptions") || is(name, "PQtty"))
        *answer = (uintptr_t) "";
    else if (is(name, "PQerrorMessage") || is(name, "PQcancelErrorMessage"))
        *answer = (uintptr_t)(conn->status == BAD ? "the fake refuses\n" : "");
    else if (is(name, "PQparameterStatus"))
        *answer = (uintptr_t)parameter((const char *)a[1]);
    else if (is(name, "PQconninfo"))
        *answer = (uintptr_t)options_of(conn);
    else if (is(name, "PQserverVersion") || is(name, "PQlibVersion"))
        *answer = 150000;
    else if (is(name, "PQprotocolVersion"))
        *answer = 3;
    else if (is(name, "PQbackendPID"))
        *answer = 4242;
    else if (is(name, "PQclientEncoding"))
        *answer = 6;
    else
        return false;
    return true;
}

/* The functions whose answer decides what libpq's users do next. */
static bool talking(const char *name, const uintptr_t *a, uintptr_t *answer) {
    struct connection *conn = (struct connection *)a[0];
    if (is(name, "PQgetResult"))
        *answer = next_result(conn);
    else if (is(name, "PQresultStatus"))
        *answer = !a[0]                                                                   ? 7
                  : among(connections, (char *)a[0] - offsetof(struct connection, syncs)) ? PIPELINE_SYNC
                                                                                          : COMMAND_OK;
    else if (strncmp(name, "PQsendQuery", 11) == 0) {
        conn->results += 2;
        *answer = 1;
    } else if (is(name, "PQpipelineSync")) {
        conn->syncs++;
        *answer = 1;
    } else if (is(name, "PQenterPipelineMode") || is(name, "PQexitPipelineMode")) {
        conn->pipeline = is(name, "PQenterPipelineMode");
        *answer = 1;
    } else if (is(name, "PQpipelineStatus"))
        *answer = (uintptr_t)conn->pipeline;
    else if (is(name, "PQconsumeInput") || is(name, "PQcancel") || is(name, "PQrequestCancel"))
        *answer = 1;
    else if (is(name, "PQtransactionStatus") || is(name, "PQisBusy") || is(name, "PQflush") ||
             is(name, "PQnotifies") || is(name, "PQsetnonblocking") || is(name, "PQisnonblocking") ||
             is(name, "PQsslInUse") || is(name, "PQgssEncInUse") || is(name, "PQsslAttributeNames") ||
             is(name, "PQgetssl") || is(name, "PQclear") || is(name, "PQfreemem") ||
             is(name, "PQconninfoFree"))
        *answer = 0;
    else
        return false;
    return true;
}

/* Where in "(a, conn, b)" the connection is, or -1. */
static int position(const char *arguments, const char *wanted) {
    size_t length = strlen(wanted);
    int index = 0;
    for (const char *at = arguments + 1; *at; index++) {
        at += strspn(at, " ");
        if (strncmp(at, wanted, length) == 0 && strchr(",)", at[length]))
            return index;
        at += strcspn(at, ",)");
        at += *at != '\0';
    }
    return -1;
}

static struct fake_call *row_of(const char *name) {
    int i = 0;
    while (i < CALLS - 1 && calls[i].name && strcmp(calls[i].name, name) != 0)
        i++;
    calls[i].name = name;
    return &calls[i];
}

uintptr_t PQclear(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

static uintptr_t called(const char *name, const char *arguments, const uintptr_t *a) {
    if (is(name, "PQfinish"))
        PQclear(0, 0, 0, 0, 0, 0, 0, 0); /* through the global scope, as libpq 17 does */
    int conn = position(arguments, "conn"), cancel = position(arguments, "cancel");
    if (cancel < 0)
        cancel = position(arguments, "cancelConn");
    pthread_mutex_lock(&lock);
    bool stranger = (conn >= 0 && a[conn] && !among(connections, (void *)a[conn])) ||
                    (cancel >= 0 && a[cancel] && !among(cancels, (void *)a[cancel]));
    struct fake_call *row = row_of(name);
    row->count++;
    memcpy(row->arguments, a, sizeof row->arguments);
    row->answer = 0x5ea10000u + (uintptr_t)(row - calls) * 16;
    if (stranger)
        deceived = deceived ? deceived : name;
    else if (!((conn >= 0 || cancel >= 0) && !a[conn >= 0 ? conn : cancel]) &&
             !connecting(name, a, &row->answer) && !describing(name, a, &row->answer))
        talking(name, a, &row->answer);
    uintptr_t answer = row->answer;
    pthread_mutex_unlock(&lock);
    return answer;
}

#define WORDS_IN \
    (uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f, uintptr_t g, uintptr_t h)
#define FUNCTION(name, arguments)                                               \
    EXPORT uintptr_t name WORDS_IN;                                             \
    EXPORT uintptr_t name WORDS_IN {                                            \
        return called(#name, arguments, (uintptr_t[]){a, b, c, d, e, f, g, h}); \
    }

#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) FUNCTION(name, #arguments)
#include "libpq_calls.def"
#undef CALL
#define OTHER(name) FUNCTION(name, "()")
#include "libpq_others.def"
#undef OTHER
#ifdef FUTURE
FUNCTION(PQfromTheFuture, "(conn)")
#endif

EXPORT const struct fake_call *fake_call_of(const char *name) {
    pthread_mutex_lock(&lock);
    struct fake_call *row = row_of(name);
    pthread_mutex_unlock(&lock);
    return row;
}

EXPORT void fake_forget(void) {
    pthread_mutex_lock(&lock);
    memset(calls, 0, sizeof calls);
    deceived = NULL;
    pthread_mutex_unlock(&lock);
}

EXPORT void *fake_connection(void) {
    pthread_mutex_lock(&lock);
    struct connection *conn = fresh(connections);
    set_words(conn, "host=fake dbname=fake user=fake port=1");
    connected(conn);
    pthread_mutex_unlock(&lock);
    return conn;
}

EXPORT int fake_is_connection(const void *pointer) {
    return among(connections, pointer);
}

EXPORT int fake_open_connections(void) {
    int count = 0;
    for (int i = 0; i < CONNECTIONS; i++)
        count += connections[i].alive && connections[i].status == OK;
    return count;
}

EXPORT const char *fake_deceived(void) {
    return deceived;
}
