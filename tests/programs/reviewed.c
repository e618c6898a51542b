/* reviewed.c: what a review of the shim found wrong once: sessions, pointers and answers that were another's.
 */
#include "case/case.h"

#include <libpq-events.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int events_seen[8];
static int count_events(PGEventId id, void *info, void *counts) {
    (void)info;
    ((int *)counts)[id]++;
    return 1;
}

CASE(trace_after_socket, "", "PQfinish ends PQtrace, also when another reason pinned the handle first") {
    char path[512], line[512];
    int others = 0;
    snprintf(path, sizeof path, "%s/trace", case_directory());
    FILE *file = fopen(path, "w+");
    PGconn *keeper = open_handle(), *first = open_handle();
    expect(PQsocket(first) >= 0);
    int pid = PQbackendPID(first);
    PQtrace(first, file);
    PQfinish(first);
    PGconn *second = open_handle();
    ask(second, "SELECT 'of the next'");
    if (sharing())
        expect_number(PQbackendPID(second), pid);
    rewind(file);
    while (fgets(line, sizeof line, file))
        others += strstr(line, "of the next") != NULL;
    expect_number(others, 0);
    fclose(file);
    PQfinish(second);
    PQfinish(keeper);
}

CASE(discard_keeps_socket, "",
     "DISCARD ALL lifts what it undoes: the socket and the backend that the program was told stay the "
     "handle's") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET search_path = nowhere");
    int descriptor = PQsocket(first), pid = PQbackendPID(first);
    ask(first, "DISCARD ALL");
    expect_text(ask(first, "SHOW search_path"), "\"$user\", public");
    ask(first, "SELECT 1");
    ask(second, "BEGIN");
    ask(second, "SELECT 1");
    ask(first, "BEGIN");
    ask(first, "SELECT 1");
    expect_number(PQsocket(first), descriptor);
    expect_number(PQbackendPID(first), pid);
    expect(PQbackendPID(second) != pid);
    PQfinish(first);
    PQfinish(second);
}

/* A handle that a setting pins first, and then an event procedure. */
static PGconn *with_events(void) {
    memset(events_seen, 0, sizeof events_seen);
    PGconn *handle = open_handle();
    ask(handle, "SET search_path = nowhere");
    expect(PQregisterEventProc(handle, count_events, "counter", events_seen) != 0);
    return handle;
}

static void neighbour_is_unseen(PGconn *neighbour) {
    int before = events_seen[PGEVT_RESULTCREATE];
    for (int i = 0; i < 3; i++)
        ask(neighbour, "SELECT 'of the neighbour'");
    expect_number(events_seen[PGEVT_RESULTCREATE], before);
}

CASE(events_after_reset, "",
     "an event procedure never sees a neighbour's results: not after PQreset, DISCARD ALL or PQfinish") {
    PGconn *second = open_handle(), *first = with_events();
    PQreset(first);
    expect_number(PQstatus(first), CONNECTION_OK);
    neighbour_is_unseen(second);
    int before = events_seen[PGEVT_RESULTCREATE];
    ask(first, "SELECT 1");
    expect_number(events_seen[PGEVT_RESULTCREATE], before + 1);
    PQfinish(first);
    neighbour_is_unseen(second);
    first = with_events();
    ask(first, "DISCARD ALL");
    neighbour_is_unseen(second);
    PQfinish(first);
    neighbour_is_unseen(second);
    PGconn *third = open_handle();
    neighbour_is_unseen(third);
    PQfinish(second);
    PQfinish(third);
}

static void expect_no_statement(PGresult *result) {
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "26000");
    expect_part(PQresultErrorMessage(result), "does not exist");
    PQclear(result);
}

/* Leaves an unnamed statement behind in whatever session it got. */
static void leave_statement(PGconn *handle) {
    PGresult *result = PQexecParams(handle, "SELECT 'of the first'", 0, NULL, NULL, NULL, NULL, 0);
    expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    PQclear(result);
}

CASE(unnamed_of_another, "", "the unnamed statement of one handle is no other handle's") {
    PGconn *first = open_handle(), *second = open_handle();
    leave_statement(first);
    expect_no_statement(PQexecPrepared(second, "", 0, NULL, NULL, NULL, 0));
    leave_statement(first);
    expect_no_statement(PQdescribePrepared(second, ""));
    leave_statement(first);
    expect_number(PQsendQueryPrepared(second, "", 0, NULL, NULL, NULL, 0), 1);
    expect_no_statement(PQgetResult(second));
    expect(PQgetResult(second) == NULL);
    leave_statement(first);
    ask(second, "BEGIN");
    expect_no_statement(PQexecPrepared(second, "", 0, NULL, NULL, NULL, 0));
    ask(second, "ROLLBACK");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
}

CASE(unnamed_in_pipeline, "", "nor in a pipeline, where nothing came before it") {
    PGconn *first = open_handle(), *second = open_handle();
    leave_statement(first);
    expect_number(PQenterPipelineMode(second), 1);
    expect_number(PQsendQueryPrepared(second, "", 0, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(second), 1);
    expect_no_statement(PQgetResult(second));
    PQfinish(first);
    PQfinish(second);
}

/* What a handle said of its connection, and is to say as long as it lives. */
struct said {
    const char *db, *user, *host, *port, *encoding;
};

static struct said listen_to(PGconn *handle) {
    return (struct said){PQdb(handle), PQuser(handle), PQhost(handle), PQport(handle),
                         PQparameterStatus(handle, "server_encoding")};
}

static void still_says(const struct said *said) {
    expect_text(said->db, "shop");
    expect_text(said->user, "app");
    expect_text(said->host, getenv("PGHOST"));
    expect_text(said->port, getenv("PGPORT"));
    expect_text(said->encoding, "UTF8");
}

static void remember_the_backend(char *into, size_t size) {
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT min(pid) FROM pg_stat_activity WHERE application_name = '%s'",
             getenv("PGAPPNAME"));
    snprintf(into, size, "%s", control(sql));
}

CASE(pointers_after_ddl, "MALLOC_PERTURB_=165",
     "what PQdb, PQhost and PQparameterStatus gave inside a transaction is right until PQfinish, whatever "
     "becomes of the connection") {
    char before[32], after[32];
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    struct said said = listen_to(first);
    still_says(&said);
    ask(first, "COMMIT");
    still_says(&said);
    remember_the_backend(before, sizeof before);
    ask(second, "DROP DATABASE IF EXISTS no_such_database");
    if (sharing()) {
        remember_the_backend(after, sizeof after);
        expect(strcmp(before, after) != 0);
    }
    still_says(&said);
    ask(first, "SELECT 1");
    still_says(&said);
    PQfinish(second);
    still_says(&said);
    PQfinish(first);
}

CASE(pointers_after_age, "PQONE_MAX_LIFETIME=100ms MALLOC_PERTURB_=165",
     "also when the connection was closed for its age") {
    char before[32], after[32];
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    struct said said = listen_to(first);
    remember_the_backend(before, sizeof before);
    ask(first, "COMMIT");
    sleep_ms(200);
    ask(second, "SELECT 1");
    if (sharing()) {
        remember_the_backend(after, sizeof after);
        expect(strcmp(before, after) != 0);
    }
    still_says(&said);
    ask(first, "SELECT 1");
    still_says(&said);
    PQfinish(first);
    PQfinish(second);
}

CASE(no_copy, "", "COPY calls without a COPY leave in the caller's variables what libpq leaves there") {
    char line[16] = "unchanged";
    char *buffer = line;
    PGconn *first = open_handle(), *second = open_handle();
    ask(second, "BEGIN");
    expect_number(PQgetCopyData(first, &buffer, 0), -2);
    expect(buffer == NULL);
    expect_part(PQerrorMessage(first), "no COPY in progress");
    expect(PQgetline(first, line, sizeof line) == EOF);
    expect_text(line, "");
    PQfinish(first);
    PQfinish(second);
}

CASE(escaping_refused, "PQONE_ON_DUPLICATE=fail",
     "PQescapeStringConn on a refused handle terminates its output and sets the error") {
    char into[16] = "unchanged";
    int problem = 9;
    PGconn *first = open_handle(), *second = PQconnectdb("dbname=shop user=app");
    size_t length = PQescapeStringConn(second, into, "a'b", 3, &problem);
    if (shimmed()) {
        expect_number((long long)length, 0);
        expect_text(into, "");
        expect_number(problem, 1);
    } else {
        expect_text(into, "a''b");
        expect_number(problem, 0);
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(refused_reset, "PQONE_ON_DUPLICATE=fail", "PQreset does not make a refused handle a good one") {
    PGconn *first = open_handle(), *second = PQconnectdb("dbname=shop user=app");
    ConnStatusType before = PQstatus(second);
    expect_number(before, shimmed() ? CONNECTION_BAD : CONNECTION_OK);
    PQreset(second);
    expect_number(PQstatus(second), before);
    if (shimmed()) {
        expect_number(PQresetStart(second), 0);
        expect_number(PQresetPoll(second), PGRES_POLLING_FAILED);
        PGresult *result = PQexec(second, "SELECT 2");
        expect(PQresultStatus(result) == PGRES_FATAL_ERROR);
        PQclear(result);
    }
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(aborts_in_silence, "PQONE_ON_DUPLICATE=abort PQONE_LOG=none",
     "ON_DUPLICATE=abort aborts also where nothing is logged") {
    int child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        PGconn *first = open_handle(), *second = open_handle();
        PQfinish(first);
        PQfinish(second);
        _exit(0);
    }
    expect_number(child_status(child), shimmed() ? 128 + SIGABRT : 0);
}

CASE(renewed_identity, "PQONE_MAX_CONNECTIONS=1",
     "at the cap an idle session that shows other settings than a handle was told makes room for one") {
    control(
        "DROP ROLE IF EXISTS renewed; CREATE ROLE renewed LOGIN; ALTER ROLE renewed SET timezone = 'UTC'");
    PGconn *first = PQconnectdb("dbname=shop user=renewed"), *other = open_handle();
    expect_text(ask(first, "SHOW timezone"), "UTC");
    control("ALTER ROLE renewed SET timezone = 'Asia/Tokyo'; ALTER ROLE renewed SET work_mem = '5MB'");
    /* Closes what is idle, so that the next handle meets the role's new settings. */
    ask(other, "DROP DATABASE IF EXISTS no_such_database");
    PGconn *second = PQconnectdb("dbname=shop user=renewed");
    double start = seconds_now();
    expect_text(ask(second, "SHOW timezone"), "Asia/Tokyo");
    expect_text(ask(second, "SHOW work_mem"), "5MB");
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    expect(seconds_now() - start < 5);
    PQfinish(first);
    PQfinish(second);
    PQfinish(other);
    control("ALTER ROLE renewed RESET ALL");
}

static atomic_int failures;
static char first_failure[512];
static void note(PGconn *handle, PGresult *result, ExecStatusType wanted) {
    if (PQresultStatus(result) != wanted && atomic_fetch_add(&failures, 1) == 0)
        snprintf(first_failure, sizeof first_failure, "%s", PQerrorMessage(handle));
    PQclear(result);
}

static void *finish_inside(void *unused) {
    /* Without sharing, twelve threads do meet the limit. */
    const char *conninfo = sharing() ? "dbname=shop user=four" : "dbname=shop user=app";
    for (int i = 0; i < (sharing() ? 40 : 5); i++) {
        PGconn *handle = PQconnectdb(conninfo);
        note(handle, PQexec(handle, "BEGIN"), PGRES_COMMAND_OK);
        note(handle, PQexec(handle, "SELECT count(*) FROM pg_class, generate_series(1, 5)"), PGRES_TUPLES_OK);
        PQfinish(handle);
    }
    return unused;
}

CASE(finish_inside_at_limit, "",
     "12 threads that finish inside their transactions never meet the limit of a role of four") {
    pthread_t threads[12];
    for (int i = 0; i < 12; i++)
        pthread_create(&threads[i], NULL, finish_inside, NULL);
    for (int i = 0; i < 12; i++)
        pthread_join(threads[i], NULL);
    expect_text(first_failure, "");
    expect_number(atomic_load(&failures), 0);
}

/* PQconnectPoll to the end, waiting for the socket as the manual has it; the status. */
static PostgresPollingStatusType poll_to_end(PGconn *handle, bool look_at_socket) {
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        if (look_at_socket) {
            struct pollfd wait = {.fd = PQsocket(handle),
                                  .events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
            expect(wait.fd >= 0);
            expect(poll(&wait, 1, 5000) > 0);
        } else {
            sleep_ms(1);
        }
        state = PQconnectPoll(handle);
    }
    return state;
}

static PGconn *start_handle(void) {
    PGconn *handle = PQconnectStart("dbname=shop user=app");
    expect(PQstatus(handle) != CONNECTION_BAD);
    return handle;
}

/* The backend whose last statement this was. */
static int backend_that_ran(const char *statement) {
    char sql[300];
    snprintf(sql, sizeof sql,
             "SELECT max(pid) FROM pg_stat_activity WHERE application_name = '%s' AND query = $$%s$$",
             getenv("PGAPPNAME"), statement);
    return atoi(control(sql));
}

CASE(started_in_session_mode, "PQONE_MODE=session PQONE_LINGER=1min",
     "in session mode a handle of PQconnectStart has its connection to itself, a new one and a parked one") {
    for (int round = 0; round < 2; round++) { /* the second round's is one that the first parked */
        PGconn *first = start_handle();
        expect_number(poll_to_end(first, false), PGRES_POLLING_OK);
        ask(first, "SELECT 'one'");
        int backend = backend_that_ran("SELECT 'one'");
        expect(backend > 0);
        PGconn *second = open_handle();
        ask(second, "SELECT 'two'");
        ask(first, "SELECT 'one again'");
        expect_number(backend_that_ran("SELECT 'one again'"), backend);
        expect(backend_that_ran("SELECT 'two'") != backend);
        PQfinish(second);
        PQfinish(first);
        sleep_ms(50);
    }
}

CASE(started_on_open_one, "", "PQconnectStart that is answered by an open connection gives a usable handle") {
    PGconn *first = open_handle();
    ask(first, "SELECT 1");
    PGconn *second = start_handle();
    expect(PQstatus(second) != CONNECTION_OK);
    expect_number(poll_to_end(second, false), PGRES_POLLING_OK);
    expect_number(PQstatus(second), CONNECTION_OK);
    expect_text(ask(second, "SELECT 2"), "2");
    expect_text(ask(first, "SELECT 1"), "1");
    expect_backends(2, 1);
    PQfinish(second);
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(start_handle()); /* given up before the first poll */
    expect_text(ask(first, "SELECT 1"), "1");
    second = start_handle();
    expect_number(poll_to_end(second, true), PGRES_POLLING_OK);
    int descriptor = PQsocket(second);
    expect_text(ask(first, "BEGIN"), "");
    expect_text(ask(second, "SELECT 2"), "2");
    ask(first, "COMMIT");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_number(PQsocket(second), descriptor);
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}
