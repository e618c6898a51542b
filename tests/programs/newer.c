/* newer.c: what only libpq 16, 17 and 18 have. One build for all: the functions are looked up at run time. */
#define _GNU_SOURCE
#include "libpq_newer.h"

#include "case/case.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With the shim every name is found, so the loaded libpq's version decides; the newest that it must have. */
static void *look_up(const char *name, int version) {
    char reason[128];
    int loaded = PQlibVersion() / 10000;
    snprintf(reason, sizeof reason, "%s came with libpq %d, this is %d", name, version, loaded);
    if (loaded < version)
        skip(reason);
    void *function = dlsym(RTLD_DEFAULT, name);
    expect_text(function ? name : "not there", name);
    return function;
}
#define SINCE(version, name) ((__typeof__(&name))look_up(#name, version))

struct query {
    PGconn *handle;
    const char *sql;
    char state[8];
    double took;
    atomic_bool done;
};

static void *run_query(void *argument) {
    struct query *one = argument;
    double start = seconds_now();
    PGresult *result = PQexec(one->handle, one->sql);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    snprintf(one->state, sizeof one->state, "%s", state ? state : "");
    PQclear(result);
    one->took = seconds_now() - start;
    one->done = true;
    return NULL;
}

/* The results of what was sent, to the end; the SQLSTATE of the last error. */
static const char *drain(PGconn *handle) {
    static char state[8];
    PGresult *result;
    state[0] = '\0';
    while ((result = PQgetResult(handle))) {
        const char *error = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (error)
            snprintf(state, sizeof state, "%s", error);
        PQclear(result);
    }
    return state;
}

/* As the manual has it: before the first poll one waits as if it had said WRITING. */
static PostgresPollingStatusType poll_to_the_end(PGcancelConn *cancel) {
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    double end = seconds_now() + 10;
    while ((wants == PGRES_POLLING_READING || wants == PGRES_POLLING_WRITING) && seconds_now() < end) {
        struct pollfd wait = {.fd = SINCE(17, PQcancelSocket)(cancel),
                              .events = wants == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        expect(wait.fd >= 0);
        expect_number(poll(&wait, 1, 10000), 1);
        wants = SINCE(17, PQcancelPoll)(cancel);
    }
    return wants;
}

CASE(cancel_blocking, "",
     "PQcancelBlocking from another thread ends its handle's query and no other, and can be used again") {
    pthread_t threads[2];
    PGconn *handle = open_handle(), *neighbour = open_handle();
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
    for (int i = 0; i < 3; i++) {
        struct query own = {.handle = handle, .sql = "SELECT pg_sleep(10)"};
        struct query other = {.handle = neighbour, .sql = "SELECT pg_sleep(0.5)"};
        pthread_create(&threads[0], NULL, run_query, &own);
        pthread_create(&threads[1], NULL, run_query, &other);
        sleep_ms(200);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_ALLOCATED);
        expect_number(SINCE(17, PQcancelSocket)(cancel), -1);
        expect_number(SINCE(17, PQcancelBlocking)(cancel), 1);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_OK);
        expect_text(SINCE(17, PQcancelErrorMessage)(cancel), "");
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        expect_text(own.state, "57014");
        expect(own.took < 5);
        expect_text(other.state, "");
        expect_text(ask(handle, "SELECT 'usable'"), "usable");
        SINCE(17, PQcancelReset)(cancel);
    }
    SINCE(17, PQcancelFinish)(cancel);
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(cancel_polled, "",
     "PQcancelStart and PQcancelPoll, by an event loop, end the handle's query and no other") {
    pthread_t thread;
    PGconn *handle = open_handle(), *neighbour = open_handle();
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
    for (int i = 0; i < 3; i++) {
        struct query other = {.handle = neighbour, .sql = "SELECT pg_sleep(0.4)"};
        expect_number(PQsendQuery(handle, "SELECT pg_sleep(10)"), 1);
        pthread_create(&thread, NULL, run_query, &other);
        sleep_ms(150);
        double start = seconds_now();
        expect_number(SINCE(17, PQcancelStart)(cancel), 1);
        expect_number(poll_to_the_end(cancel), PGRES_POLLING_OK);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_OK);
        expect_text(SINCE(17, PQcancelErrorMessage)(cancel), "");
        expect_text(drain(handle), "57014");
        expect(seconds_now() - start < 5);
        pthread_join(thread, NULL);
        expect_text(other.state, "");
        expect_text(ask(neighbour, "SELECT 'untouched'"), "untouched");
        expect_text(ask(handle, "SELECT 'usable'"), "usable");
        SINCE(17, PQcancelReset)(cancel);
    }
    SINCE(17, PQcancelFinish)(cancel);
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(cancel_nothing, "", "with nothing to cancel both ways succeed, and the neighbour's query runs on") {
    pthread_t thread;
    PGconn *idle = open_handle(), *neighbour = open_handle();
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(idle);
    expect_text(ask(idle, "SELECT 1"), "1");
    struct query other = {.handle = neighbour, .sql = "SELECT pg_sleep(1)"};
    pthread_create(&thread, NULL, run_query, &other);
    for (int i = 0; i < 4; i++) {
        sleep_ms(100);
        expect_number(SINCE(17, PQcancelBlocking)(cancel), 1);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_OK);
        SINCE(17, PQcancelReset)(cancel);
        expect_number(SINCE(17, PQcancelStart)(cancel), 1);
        expect_number(poll_to_the_end(cancel), PGRES_POLLING_OK);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_OK);
        expect_text(SINCE(17, PQcancelErrorMessage)(cancel), "");
        SINCE(17, PQcancelReset)(cancel);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_ALLOCATED);
    }
    expect(!other.done);
    pthread_join(thread, NULL);
    expect_text(other.state, "");
    SINCE(17, PQcancelFinish)(cancel);
    PQfinish(idle);
    PQfinish(neighbour);
}

CASE(cancel_used_twice, "", "a cancel that was used is refused until PQcancelReset, whether it hit or not") {
    PGconn *handle = open_handle(), *neighbour = open_handle();
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
    expect_text(ask(neighbour, "SELECT 1"), "1");
    for (int busy = 0; busy < 2; busy++) {
        if (busy)
            expect_number(PQsendQuery(handle, "SELECT pg_sleep(10)"), 1);
        sleep_ms(150); /* a cancel may overtake the query that it is meant for */
        expect_number(SINCE(17, PQcancelBlocking)(cancel), 1);
        expect_number(SINCE(17, PQcancelStart)(cancel), 0);
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_BAD);
        expect_text(SINCE(17, PQcancelErrorMessage)(cancel),
                    "cancel request is already being sent on this connection\n");
        expect_number(SINCE(17, PQcancelBlocking)(cancel), 0);
        SINCE(17, PQcancelReset)(cancel);
        if (busy)
            expect_text(drain(handle), "57014");
    }
    expect_number(SINCE(17, PQcancelBlocking)(cancel), 1);
    SINCE(17, PQcancelFinish)(cancel);
    expect_text(ask(neighbour, "SELECT 2"), "2");
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(cancel_given_up, "",
     "PQcancelFinish and PQcancelReset of one under way never hit the neighbour's queries") {
    PGconn *handle = open_handle(), *neighbour = open_handle();
    for (int i = 0; i < 40; i++) {
        PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
        expect_number(PQsendQuery(handle, "SELECT pg_sleep(0.02)"), 1);
        expect_number(SINCE(17, PQcancelStart)(cancel), 1);
        if (i % 2) /* sends it, and does not wait until the server has acted on it */
            SINCE(17, PQcancelPoll)(cancel);
        if (i % 4 > 1)
            SINCE(17, PQcancelReset)(cancel);
        const char *state = drain(handle);
        if (i % 8 < 4)
            SINCE(17, PQcancelFinish)(cancel);
        if (*state)
            expect_text(state, "57014");
        expect_text(ask(neighbour, "SELECT 'untouched' FROM pg_sleep(0.01)"), "untouched");
        if (i % 8 >= 4)
            SINCE(17, PQcancelFinish)(cancel);
    }
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(cancel_outlives, "", "a cancel that outlives its handle hits nobody") {
    pthread_t thread;
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(first);
    PQfinish(first);
    struct query other = {.handle = second, .sql = "SELECT pg_sleep(0.6)"};
    pthread_create(&thread, NULL, run_query, &other);
    sleep_ms(150);
    expect_number(SINCE(17, PQcancelBlocking)(cancel), 1);
    SINCE(17, PQcancelReset)(cancel);
    expect_number(SINCE(17, PQcancelStart)(cancel), 1);
    expect_number(poll_to_the_end(cancel), PGRES_POLLING_OK);
    pthread_join(thread, NULL);
    expect_text(other.state, "");
    SINCE(17, PQcancelFinish)(cancel);
    PQfinish(second);
}

CASE(cancel_of_no_connection, "",
     "a cancel of a handle that never connected, and of NULL, is refused with libpq's words") {
    PGconn *handle = PQconnectdb("host=/nowhere/at/all dbname=shop");
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    for (int i = 0; i < 2; i++) {
        expect_number(SINCE(17, PQcancelStatus)(cancel), CONNECTION_BAD);
        expect_text(SINCE(17, PQcancelErrorMessage)(cancel),
                    i ? "connection pointer is NULL\n" : "connection not open\n");
        expect_number(SINCE(17, PQcancelBlocking)(cancel), 0);
        expect_number(SINCE(17, PQcancelStart)(cancel), 0);
        expect_number(SINCE(17, PQcancelSocket)(cancel), -1);
        SINCE(17, PQcancelFinish)(cancel);
        cancel = SINCE(17, PQcancelCreate)(NULL);
    }
    SINCE(17, PQcancelFinish)(cancel);
    SINCE(17, PQcancelFinish)(NULL);
    expect_number(SINCE(17, PQcancelStart)(NULL), 0);
    PQfinish(handle);
}

static atomic_bool stop;
static void *cancel_all_the_time(void *handle) {
    PGcancelConn *cancel = SINCE(17, PQcancelCreate)(handle);
    while (!stop) {
        SINCE(17, PQcancelBlocking)(cancel);
        SINCE(17, PQcancelReset)(cancel);
        sleep_ms(3);
    }
    SINCE(17, PQcancelFinish)(cancel);
    return NULL;
}

CASE(cancel_storm, "", "a storm of PQcancelBlocking on one handle never reaches the queries of another") {
    pthread_t thread;
    PGconn *target = open_handle(), *bystander = open_handle();
    (void)SINCE(17, PQcancelCreate);
    pthread_create(&thread, NULL, cancel_all_the_time, target);
    double end = seconds_now() + 2;
    while (seconds_now() < end) {
        PGresult *result = PQexec(target, "SELECT pg_sleep(0.002)");
        if (PQresultStatus(result) != PGRES_TUPLES_OK)
            expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
        PQclear(result);
        expect_text(ask(bystander, "SELECT 'untouched'"), "untouched");
    }
    stop = true;
    pthread_join(thread, NULL);
    PQfinish(target);
    PQfinish(bystander);
}

CASE(chunked_rows, "", "PQsetChunkedRowsMode cuts its own query's rows only") {
    PGconn *handle = open_handle(), *neighbour = open_handle();
    __typeof__(&PQsetChunkedRowsMode) set_chunks = SINCE(17, PQsetChunkedRowsMode);
    int sizes[] = {3, 3, 1, 0};
    expect_number(set_chunks(handle, 3), 0); /* no query under way */
    for (int round = 0; round < 3; round++) {
        expect_number(PQsendQuery(handle, "SELECT generate_series(1, 7)"), 1);
        expect_number(set_chunks(handle, 0), 0);
        expect_number(set_chunks(handle, 3), 1);
        for (int i = 0; i < 4; i++) {
            PGresult *result = PQgetResult(handle);
            expect_text(PQresStatus(PQresultStatus(result)),
                        i < 3 ? "PGRES_TUPLES_CHUNK" : "PGRES_TUPLES_OK");
            expect_number(PQntuples(result), sizes[i]);
            PQclear(result);
            PGresult *whole = PQexec(neighbour, "SELECT generate_series(1, 7)");
            expect_number(PQntuples(whole), 7);
            PQclear(whole);
        }
        expect(PQgetResult(handle) == NULL);
        PGresult *whole = PQexec(handle, "SELECT generate_series(1, 7)");
        expect_number(PQntuples(whole), 7);
        PQclear(whole);
    }
    PQfinish(handle);
    PQfinish(neighbour);
}

static PGresult *execute(PGconn *handle, const char *name) {
    return PQexecPrepared(handle, name, 0, NULL, NULL, NULL, 0);
}

static void expect_status(PGresult *result, ExecStatusType wanted) {
    expect_text(PQresStatus(PQresultStatus(result)), PQresStatus(wanted));
    PQclear(result);
}

CASE(close_prepared, "", "PQclosePrepared and PQsendClosePrepared close their own handle's statement") {
    __typeof__(&PQclosePrepared) close_prepared = SINCE(17, PQclosePrepared);
    PGconn *first = open_handle(), *second = open_handle();
    expect_status(close_prepared(first, "one"), PGRES_COMMAND_OK); /* one that is not there, too */
    for (int sent = 0; sent < 2; sent++) {
        expect_status(PQprepare(first, "one", "SELECT 'first'", 0, NULL), PGRES_COMMAND_OK);
        if (!sent)
            expect_status(PQprepare(second, "one", "SELECT 'second'", 0, NULL), PGRES_COMMAND_OK);
        if (sent) {
            expect_number(SINCE(17, PQsendClosePrepared)(first, "one"), 1);
            expect_text(drain(first), "");
        } else {
            expect_status(close_prepared(first, "one"), PGRES_COMMAND_OK);
        }
        PGresult *result = execute(first, "one");
        expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
        PQclear(result);
        result = execute(second, "one");
        expect_text(PQgetvalue(result, 0, 0), "second");
        PQclear(result);
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(close_portal, "", "PQclosePortal and PQsendClosePortal close their own handle's cursor") {
    __typeof__(&PQclosePortal) close_portal = SINCE(17, PQclosePortal);
    PGconn *first = open_handle(), *second = open_handle();
    expect_status(close_portal(first, "one"), PGRES_COMMAND_OK);
    for (int sent = 0; sent < 2; sent++) {
        ask(first, "BEGIN");
        ask(second, "BEGIN");
        ask(first, "DECLARE one CURSOR FOR SELECT 'first'");
        ask(second, "DECLARE one CURSOR FOR SELECT 'second'");
        if (sent) {
            expect_number(SINCE(17, PQsendClosePortal)(first, "one"), 1);
            expect_text(drain(first), "");
        } else {
            expect_status(close_portal(first, "one"), PGRES_COMMAND_OK);
        }
        expect_text(refused(first, "FETCH one"), "34000");
        expect_text(ask(second, "FETCH one"), "second");
        ask(first, "ROLLBACK");
        ask(second, "COMMIT");
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(send_pipeline_sync, "", "PQsendPipelineSync ends a part of a pipeline without sending it") {
    __typeof__(&PQsendPipelineSync) send_sync = SINCE(17, PQsendPipelineSync);
    PGconn *handle = open_handle(), *neighbour = open_handle();
    expect_number(send_sync(handle), 0); /* not in pipeline mode */
    expect_number(PQenterPipelineMode(handle), 1);
    for (int i = 0; i < 3; i++) {
        expect_number(
            PQsendQueryParams(handle, i == 1 ? "SELECT 1/0" : "SELECT 'piped'", 0, NULL, NULL, NULL, NULL, 0),
            1);
        expect_number(send_sync(handle), 1);
        expect_text(ask(neighbour, "SELECT 'alone'"), "alone");
    }
    expect_number(PQflush(handle), 0);
    for (int i = 0; i < 3; i++) {
        PGresult *result = PQgetResult(handle);
        expect_number(PQresultStatus(result), i == 1 ? PGRES_FATAL_ERROR : PGRES_TUPLES_OK);
        PQclear(result);
        expect(PQgetResult(handle) == NULL);
        expect_status(PQgetResult(handle), PGRES_PIPELINE_SYNC);
        expect_text(ask(neighbour, "SELECT 'alone'"), "alone");
    }
    expect_number(PQexitPipelineMode(handle), 1);
    expect_text(ask(handle, "SELECT 'again'"), "again");
    PQfinish(handle);
    PQfinish(neighbour);
}

static ConnStatusType try_password(const char *password) {
    PGconn *handle = PQconnectdb(tcp_conninfo("changer", password));
    ConnStatusType status = PQstatus(handle);
    if (status != CONNECTION_OK)
        expect_part(PQerrorMessage(handle), "password authentication failed");
    PQfinish(handle);
    return status;
}

CASE(change_password, "", "PQchangePassword changes it, and no password reaches the log") {
    __typeof__(&PQchangePassword) change = SINCE(17, PQchangePassword);
    control("DROP ROLE IF EXISTS changer");
    control("CREATE ROLE changer LOGIN PASSWORD 'oldoldold'");
    PGconn *chief = open_with("user=owner"), *other = open_with("user=owner");
    expect_text(ask(other, "SELECT 1"), "1");
    expect_number(try_password("newnewnew"), CONNECTION_BAD);
    expect_status(change(chief, "changer", "newnewnew"), PGRES_COMMAND_OK);
    expect_number(try_password("oldoldold"), CONNECTION_BAD);
    expect_number(try_password("newnewnew"), CONNECTION_OK);
    PGresult *result = change(chief, "nobody_here", "x");
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "42704");
    PQclear(result);
    expect_part(PQerrorMessage(chief), "nobody_here");
    expect_text(ask(other, "SELECT 2"), "2");
    PQfinish(chief);
    PQfinish(other);
    if (shimmed()) {
        expect_number(log_lines("newnewnew", NULL), 0);
        expect_number(log_lines("SCRAM-SHA-256$", NULL), 0);
    }
    control("DROP ROLE changer");
}

CASE(change_own_password, "PQONE_LINGER=100ms",
     "PQchangePassword of its own role: the new one serves at once, the handle goes on, the old one is "
     "refused") {
    __typeof__(&PQchangePassword) change = SINCE(17, PQchangePassword);
    control("DROP ROLE IF EXISTS changer");
    control("CREATE ROLE changer LOGIN PASSWORD 'oldoldold'");
    PGconn *handle = PQconnectdb(tcp_conninfo("changer", "oldoldold"));
    expect_number(PQstatus(handle), CONNECTION_OK);
    expect_status(change(handle, "changer", "newnewnew"), PGRES_COMMAND_OK);
    expect_number(try_password("newnewnew"), CONNECTION_OK);
    expect_text(ask(handle, "SELECT 'still here'"), "still here");
    PQfinish(handle);
    expect_backends(0, 0);
    expect_number(try_password("oldoldold"), CONNECTION_BAD);
    control("DROP ROLE changer");
}

CASE(full_protocol_version, "",
     "PQfullProtocolVersion is its own handle's, shared or not, and each can be cancelled") {
    __typeof__(&PQfullProtocolVersion) version_of = SINCE(18, PQfullProtocolVersion);
    const char *words[] = {"", "max_protocol_version=3.0", "max_protocol_version=latest"};
    int wanted[] = {30000, 30000, 30002};
    for (int i = 0; i < 3; i++) {
        PGconn *first = open_with(words[i]), *second = open_with(words[i]);
        expect_number(version_of(first), wanted[i]);
        expect_number(version_of(second), wanted[i]);
        expect_number(PQprotocolVersion(second), 3);
        ask(second, "BEGIN");
        expect_number(version_of(first), wanted[i]);
        expect_number(version_of(second), wanted[i]);
        /* 3.2 has cancel keys of another length. */
        expect_number(PQsendQuery(second, "SELECT pg_sleep(10)"), 1);
        sleep_ms(150);
        char problem[256] = "";
        PGcancel *cancel = PQgetCancel(second);
        expect_number(PQcancel(cancel, problem, sizeof problem), 1);
        PQfreeCancel(cancel);
        expect_text(drain(second), "57014");
        PQfinish(first);
        PQfinish(second);
    }
    PGconn *failed = PQconnectdb("host=/nowhere/at/all dbname=shop");
    expect_number(version_of(failed), 0);
    PQfinish(failed);
    expect_number(version_of(NULL), 0);
}

CASE(used_gssapi, "", "PQconnectionUsedGSSAPI says no for Unix sockets, passwords and failed connects") {
    __typeof__(&PQconnectionUsedGSSAPI) used = SINCE(16, PQconnectionUsedGSSAPI);
    PGconn *handles[] = {open_handle(), open_handle(), PQconnectdb(tcp_conninfo("app", "app")),
                         PQconnectdb("host=/nowhere/at/all dbname=shop"), NULL};
    expect_number(PQconnectionUsedPassword(handles[2]), 1);
    ask(handles[0], "BEGIN");
    for (int i = 0; i < 5; i++) {
        expect_number(used(handles[i]), 0);
        PQfinish(handles[i]);
    }
}

CASE(newer_words, "",
     "words that are new in 16 and 17 make a target of their own and are kept where it grows") {
    if (PQlibVersion() < 170000)
        skip("require_auth and sslnegotiation came with libpq 16 and 17");
    PGconn *plain = open_handle();
    char conninfo[400];
    snprintf(conninfo, sizeof conninfo,
             "%s require_auth=scram-sha-256 load_balance_hosts=random sslcertmode=disable "
             "sslnegotiation=postgres",
             tcp_conninfo("app", "app"));
    PGconn *first = PQconnectdb(conninfo), *second = PQconnectdb(conninfo);
    expect_number(PQstatus(first), CONNECTION_OK);
    ask(first, "BEGIN");
    expect_text(ask(second, "SELECT 'grown'"), "grown");
    expect_text(ask(plain, "SELECT 'plain'"), "plain");
    expect_backends(3, 3);
    /* The server asks no password on its Unix socket, so this one fails, whoever is connected already. */
    PGconn *strict = PQconnectdb("dbname=shop user=app require_auth=scram-sha-256");
    expect_number(PQstatus(strict), CONNECTION_BAD);
    expect_part(PQerrorMessage(strict), "authentication method requirement");
    PQfinish(strict);
    PQfinish(first);
    PQfinish(second);
    PQfinish(plain);
}

CASE(newer_environment, "",
     "what the environment asks of a server since 16 leaves escaping without a lease") {
    if (PQlibVersion() < 170000)
        skip("PGREQUIREAUTH and PGSSLNEGOTIATION came with libpq 16 and 17");
    expect_number(backends(), 0); /* psql starts before the environment is ours */
    setenv("PGREQUIREAUTH", "scram-sha-256", 1);
    setenv("PGSSLNEGOTIATION", "direct", 1);
    setenv("PGSSLCERTMODE", "require", 1);
    setenv("PGMINPROTOCOLVERSION", "3.2", 1);
    char conninfo[400];
    snprintf(conninfo, sizeof conninfo, "%s sslcertmode=disable sslnegotiation=postgres %s",
             tcp_conninfo("app", "app"), PQlibVersion() < 180000 ? "" : "min_protocol_version=3.0");
    PGconn *first = PQconnectdb(conninfo), *second = PQconnectdb(conninfo);
    expect_number(PQstatus(first), CONNECTION_OK);
    ask(first, "BEGIN");
    char *literal = PQescapeLiteral(second, "it's", 4);
    expect_text(literal, "'it''s'");
    PQfreemem(literal);
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}
