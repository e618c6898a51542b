/* watching.c: what mode observe finds while it changes nothing: threads, transactions, results, busy handles.
 */
#include "case/case.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "watch/ledger.h"
#include "watch/misuse.h"

/* The ledger of a process, as it is now; NULL if there is none (any more). */
static const struct ledger_header *ledger_of(int pid) {
    char begins[32], path[600];
    const struct ledger_header *ledger = NULL;
    const char *directory = getenv("PQONE_LEDGER_DIR");
    DIR *entries = opendir(directory);
    snprintf(begins, sizeof begins, "%d-", pid);
    for (struct dirent *entry; entries && !ledger && (entry = readdir(entries));) {
        if (strncmp(entry->d_name, begins, strlen(begins)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%.300s", directory, entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        struct stat state;
        fstat(file, &state);
        void *bytes = mmap(NULL, (size_t)state.st_size, PROT_READ, MAP_SHARED, file, 0);
        ledger = bytes == MAP_FAILED ? NULL : bytes;
        close(file);
    }
    closedir(entries);
    return ledger;
}

/* How often a kind of misuse was written down, and by which function first. */
static unsigned long long misuses_of(int pid, enum misuse kind, char *function) {
    const struct ledger_header *ledger = ledger_of(pid);
    unsigned long long count = 0;
    for (uint32_t i = 0; ledger && i < ledger->misuses.used; i++) {
        const struct ledger_misuse *row = (const void *)((const char *)ledger + ledger->misuses.offset +
                                                         i * (size_t)ledger->misuses.row_size);
        if (row->kind != (uint32_t)kind)
            continue;
        count += row->count;
        if (function)
            strcpy(function, row->function);
    }
    return count;
}
static unsigned long long misuses(enum misuse kind) {
    return misuses_of(getpid(), kind, NULL);
}

static PGconn *shared;
static void *runs(void *sql) {
    PQclear(PQexec(shared, sql));
    return NULL;
}
static void in_passing(void *(*body)(void *), void *argument) {
    pthread_t thread;
    expect_number(pthread_create(&thread, NULL, body, argument), 0);
    pthread_join(thread, NULL);
}

CASE(two_threads, "PQONE_MODE=observe",
     "a thread that comes into another's call on the same handle is reported") {
    pthread_t thread;
    char function[40] = "";
    shared = open_handle();
    expect_number(pthread_create(&thread, NULL, runs, "SELECT pg_sleep(0.4)"), 0);
    sleep_ms(150);
    PQflush(shared);
    pthread_join(thread, NULL);
    if (!shimmed())
        skip("nothing to see without the shim");
    expect_number(misuses_of(getpid(), MISUSE_TWO_THREADS, function), 1);
    expect_text(function, "PQflush");
    expect_number(
        log_lines("misuse: two threads in one handle at once (PQflush), for app@", "opened at open_with"), 1);
    expect_text(ask(shared, "SELECT 1"), "1");
    PQfinish(shared);
}
CASE(finished_under_way, "PQONE_MODE=observe",
     "PQfinish while another thread waits in a call is reported before it can do harm") {
    if (!shimmed())
        skip("nothing to see without the shim");
#ifdef __SANITIZE_THREAD__
    skip("the thread sanitizer finds the program's own race in libpq, as it should");
#endif
    int child = fork();
    if (child == 0) {
        pthread_t thread;
        shared = open_handle();
        pthread_create(&thread, NULL, runs, "SELECT pg_sleep(5)");
        sleep_ms(200);
        PQfinish(shared);
        _exit(0); /* what becomes of the other thread is not for us to see */
    }
    expect_number(child_status(child), 0);
    expect_number(
        log_lines("misuse: two threads in one handle at once (PQfinish), for app@", "opened at open_with"),
        1);
}
static void *flushes(void *unused) {
    for (int i = 0; i < 2000; i++)
        PQflush(shared);
    return unused;
}
CASE(many_threads, "PQONE_MODE=observe",
     "threads that crowd a handle are reported, and nothing else breaks") {
    pthread_t threads[4];
    shared = open_handle();
    for (int i = 0; i < 4; i++)
        expect_number(pthread_create(&threads[i], NULL, flushes, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    expect_text(ask(shared, "SELECT 1"), "1");
    PQfinish(shared);
}

static void *looks(void *unused) {
    char problem[256];
    PGcancel *cancel = PQgetCancel(shared);
    expect_number(PQstatus(shared), CONNECTION_OK);
    expect_number(PQtransactionStatus(shared), PQTRANS_ACTIVE);
    expect(PQsocket(shared) >= 0);
    expect(PQbackendPID(shared) > 0);
    expect_number(PQcancel(cancel, problem, sizeof problem), 1);
    PQfreeCancel(cancel);
    return unused;
}
CASE(onlookers, "PQONE_MODE=observe",
     "looking at a handle and cancelling its query from another thread is no misuse") {
    pthread_t thread;
    shared = open_handle();
    expect_number(pthread_create(&thread, NULL, runs, "SELECT pg_sleep(5)"), 0);
    sleep_ms(150);
    in_passing(looks, NULL);
    pthread_join(thread, NULL);
    expect_text(ask(shared, "SELECT 1"), "1");
    PQfinish(shared);
    expect_number(log_lines("misuse", NULL), 0);
}
CASE(handed_on, "PQONE_MODE=observe", "threads that use a handle one after the other are no misuse") {
    shared = open_handle();
    for (int i = 0; i < 50; i++)
        in_passing(runs, "SELECT 1");
    ask(shared, "SELECT 1");
    PQfinish(shared);
    expect_number(log_lines("misuse", NULL), 0);
}

static sigjmp_buf away;
static void leave(int signal_number) {
    (void)signal_number;
    siglongjmp(away, 1);
}
static pthread_barrier_t both;
static void *leaves_by_longjmp(void *unused) {
    struct sigaction action = {.sa_handler = leave};
    sigaction(SIGUSR1, &action, NULL);
    if (sigsetjmp(away, 1) == 0)
        PQclear(PQexec(shared, "SELECT pg_sleep(5)"));
    pthread_barrier_wait(&both); /* it lives on, in a call of something else */
    pthread_barrier_wait(&both);
    for (int i = 0; i < 3; i++) {
        PGconn *own = open_handle();
        ask(own, "SELECT 1");
        PQfinish(own);
    }
    return unused;
}
CASE(left_by_longjmp, "PQONE_MODE=observe",
     "a call that was left by longjmp is not taken for a thread inside") {
    pthread_t thread;
    shared = open_handle();
    pthread_barrier_init(&both, NULL, 2);
    expect_number(pthread_create(&thread, NULL, leaves_by_longjmp, NULL), 0);
    sleep_ms(150);
    pthread_kill(thread, SIGUSR1);
    pthread_barrier_wait(&both);
    PQreset(shared);
    expect_text(ask(shared, "SELECT 1"), "1");
    pthread_barrier_wait(&both);
    pthread_join(thread, NULL);
    expect_text(ask(shared, "SELECT 1"), "1");
    PQfinish(shared);
    expect_number(log_lines("misuse", NULL), 0);
}
CASE(cancelled_thread, "PQONE_MODE=observe",
     "a call whose thread was cancelled is not taken for a thread inside") {
    pthread_t thread;
    shared = open_handle();
    expect_number(pthread_create(&thread, NULL, runs, "SELECT pg_sleep(5)"), 0);
    sleep_ms(150);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    PQreset(shared);
    expect_text(ask(shared, "SELECT 1"), "1");
    PQfinish(shared);
    expect_number(log_lines("misuse", NULL), 0);
}

/* Runs the statements, the last one with `how`, and finishes the handle. */
enum how { EXEC, SEND, SEND_AND_GO, PREPARED };
static void ends_with(enum misuse wanted, enum how how, const char *first, const char *last) {
    unsigned long long before[MISUSES];
    for (int kind = 1; kind < MISUSES; kind++)
        before[kind] = misuses((enum misuse)kind);
    PGconn *handle = open_handle();
    PQclear(PQexec(handle, first));
    if (how == EXEC) {
        PQclear(PQexec(handle, last));
    } else if (how == PREPARED) {
        PQclear(PQprepare(handle, "", last, 0, NULL));
        PQclear(PQexecPrepared(handle, "", 0, NULL, NULL, NULL, 0));
    } else {
        expect_number(PQsendQuery(handle, last), 1);
        for (PGresult *result; how == SEND && (result = PQgetResult(handle));)
            PQclear(result);
    }
    PQfinish(handle);
    for (int kind = 1; shimmed() && kind < MISUSES; kind++) {
        long long came = (long long)(misuses((enum misuse)kind) - before[kind]);
        if (came != (kind == (int)wanted)) {
            printf("%s; %s (%d): %lld of kind %d, wanted %d\n", first, last, (int)how, came, kind,
                   (int)wanted);
            expect(came == (kind == (int)wanted));
        }
    }
}
CASE(uncommitted, "PQONE_MODE=observe",
     "PQfinish in a transaction that wrote is misuse, in one that read a note") {
    if (!shimmed())
        skip("nothing to see without the shim");
    PGconn *keeper = open_handle();
    ask(keeper, "DROP TABLE IF EXISTS goods");
    ask(keeper, "CREATE TABLE goods (id int PRIMARY KEY, name text)");
    ask(keeper, "INSERT INTO goods VALUES (1, 'pear'), (2, 'plum')");
    const enum misuse none = MISUSE_NONE, wrote = MISUSE_UNCOMMITTED, read = MISUSE_UNCOMMITTED_READ;
    ends_with(none, EXEC, "SELECT 1", "INSERT INTO goods VALUES (10)");
    ends_with(none, EXEC, "BEGIN; INSERT INTO goods VALUES (11)", "COMMIT");
    ends_with(none, EXEC, "BEGIN; INSERT INTO goods VALUES (12)", "ROLLBACK");
    ends_with(read, EXEC, "BEGIN", "SELECT * FROM goods");
    ends_with(read, EXEC, "BEGIN", "SELECT * FROM goods FOR UPDATE");
    ends_with(read, SEND, "BEGIN", "SELECT * FROM goods");
    ends_with(read, EXEC, "BEGIN; INSERT INTO goods VALUES (13); COMMIT", "BEGIN; SELECT 1");
    ends_with(read, EXEC, "BEGIN; INSERT INTO goods VALUES (14)", "COMMIT; BEGIN; SELECT 1");
    ends_with(read, EXEC, "BEGIN", "UPDATE goods SET name = 'x' WHERE id = 777");
    ends_with(read, EXEC, "BEGIN", "CREATE TEMPORARY TABLE scratch (i int)");
    ends_with(read, EXEC, "BEGIN; SAVEPOINT s; DELETE FROM goods", "ROLLBACK TO s");
    ends_with(read, EXEC, "BEGIN", "COPY goods TO STDOUT");
    ends_with(wrote, EXEC, "BEGIN", "INSERT INTO goods VALUES (20)");
    ends_with(wrote, PREPARED, "BEGIN", "INSERT INTO goods VALUES (20)");
    ends_with(wrote, SEND, "BEGIN", "INSERT INTO goods VALUES (20)");
    ends_with(wrote, SEND_AND_GO, "BEGIN", "INSERT INTO goods VALUES (20)");
    ends_with(wrote, EXEC, "BEGIN; INSERT INTO goods VALUES (20)", "SELECT 1");
    ends_with(wrote, EXEC, "BEGIN", "INSERT INTO goods VALUES (21); SELECT 1");
    ends_with(wrote, EXEC, "BEGIN", "WITH gone AS (DELETE FROM goods RETURNING *) SELECT * FROM gone");
    ends_with(wrote, EXEC, "BEGIN", "/* why */ UPDATE goods SET name = ';' WHERE id = 1");
    ends_with(wrote, EXEC, "BEGIN", "SELECT * INTO copies FROM goods");
    ends_with(wrote, EXEC, "BEGIN", "CREATE TABLE copies AS SELECT * FROM goods");
    ends_with(wrote, EXEC, "BEGIN", "DROP TABLE goods");
    ends_with(wrote, EXEC, "COMMIT", "BEGIN; TRUNCATE goods");
    ends_with(MISUSE_UNCOMMITTED_FAILED, EXEC, "BEGIN; INSERT INTO goods VALUES (20)", "SELECT 1/0");
    expect(log_lines("misuse: PQfinish inside a transaction that wrote", "opened at open_with") >= 1);
    expect_number(log_lines("misuse: PQfinish inside a transaction that only read", NULL), 0);
    expect_text(ask(keeper, "SELECT count(*) FROM goods WHERE id < 10"), "2");
    PQfinish(keeper);
}
CASE(uncommitted_copy, "PQONE_MODE=observe",
     "rows that were copied in and not committed are a transaction that wrote") {
    PGconn *handle = open_handle();
    ask(handle, "DROP TABLE IF EXISTS goods");
    ask(handle, "CREATE TABLE goods (id int)");
    ask(handle, "BEGIN");
    PQclear(PQexec(handle, "COPY goods FROM STDIN"));
    expect_number(PQputCopyData(handle, "1\n", 2), 1);
    expect_number(PQputCopyEnd(handle, NULL), 1);
    for (PGresult *result; (result = PQgetResult(handle));)
        PQclear(result);
    PQfinish(handle);
    if (!shimmed())
        skip("nothing to see without the shim");
    expect_number(misuses(MISUSE_UNCOMMITTED), 1);
    handle = open_handle();
    ask(handle, "BEGIN");
    expect(lo_create(handle, 0) != 0);
    PQfinish(handle);
    expect_number(misuses(MISUSE_UNCOMMITTED), 2);
    for (int wrote = 0; wrote < 2; wrote++) {
        handle = open_handle();
        ask(handle, "BEGIN");
        if (wrote)
            ask(handle, "CREATE TABLE more_goods (id int)");
        ask(handle, "SAVEPOINT s");
        ask(handle, "CREATE TABLE other_goods (id int)");
        ask(handle, "SAVEPOINT t");
        ask(handle, "ROLLBACK TO s");
        PQfinish(handle);
        expect_number(misuses(MISUSE_UNCOMMITTED), 2 + wrote);
    }
    expect_number(misuses(MISUSE_UNCOMMITTED_READ), 1);
}

__attribute__((noinline)) static PGresult *one_result(PGconn *handle) {
    PGresult *result = PQexec(handle, "SELECT 1");
    __asm__ volatile(""); /* one place, whatever becomes of the loop around it */
    return result;
}
/* In a child: leaves results as told and exits. */
static int leaver(int kept, bool finish, int copies, bool threads) {
    int child = fork();
    if (child)
        return child_status(child) == 0 ? child : -1;
    PGconn *handle = open_handle();
    for (int i = 0; i < kept + 100; i++) {
        PGresult *result = one_result(handle);
        if (i >= kept)
            PQclear(result);
    }
    for (int i = 0; i < copies; i++) {
        PQsendQuery(handle, "SELECT 1");
        PQgetResult(handle);
        PQgetResult(handle);
    }
    shared = handle;
    if (threads)
        in_passing(runs, "SELECT 1");
    if (finish)
        PQfinish(handle);
    exit(0);
}
CASE(results, "PQONE_MODE=observe",
     "results that were not cleared at exit are counted by the place that asked for them") {
    if (!shimmed())
        skip("nothing to see without the shim");
    expect(leaver(0, true, 0, true) > 0);
    expect_number(log_lines("misuse:", NULL), 0);
    int child = leaver(0, false, 0, false);
    expect_number(misuses_of(child, MISUSE_RESULTS, NULL), 0);
    child = leaver(7, false, 3, false);
    char function[40] = "";
    expect_number(misuses_of(child, MISUSE_RESULTS, function), 10);
    expect_number(
        log_lines("misuse: 7 times results that were never cleared (PQexec), for app@", " at watching+"), 1);
    expect_number(
        log_lines("misuse: 3 times results that were never cleared (PQgetResult), for app@", " at watching+"),
        1);
    expect_number((long long)ledger_of(child)->counters.results_alive, 10);
    child = leaver(1, false, 0, false);
    expect_number(misuses_of(child, MISUSE_RESULTS, NULL), 0);
    expect_number(misuses_of(child, MISUSE_RESULT_KEPT, NULL), 1);
    expect(leaver(2, true, 0, false) > 0); /* results outlive their handle */
    expect_number(
        log_lines("misuse: 2 times results that were never cleared (PQexec), for app@", " at watching+"), 1);
}
CASE(results_and_forks, "PQONE_MODE=observe", "results of the parent are not left over by its child") {
    PGconn *handle = open_handle();
    PGresult *results[8];
    for (int i = 0; i < 8; i++)
        results[i] = PQexec(handle, "SELECT 1");
    int child = fork();
    if (child == 0) {
        PGconn *own = open_handle();
        ask(own, "SELECT 1");
        PQfinish(own);
        exit(0);
    }
    expect_number(child_status(child), 0);
    for (int i = 0; i < 8; i++)
        PQclear(results[i]);
    PQfinish(handle);
    expect_number(log_lines("misuse", NULL), 0);
}

CASE(both_sides, "PQONE_MODE=observe",
     "a handle that parent and child use is reported on the side that comes second") {
    if (!shimmed())
        skip("nothing to see without the shim");
    int ready[2];
    char byte;
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    expect_number(pipe(ready), 0);
    int child = fork();
    if (child == 0) {
        ask(handle, "SELECT 2");
        expect_number(write(ready[1], "", 1), 1);
        sleep_ms(700);
        _exit(0);
    }
    expect_number(read(ready[0], &byte, 1), 1);
    ask(handle, "SELECT 3");
    expect_number((long long)misuses(MISUSE_BOTH_SIDES), 1);
    expect_number(
        log_lines("misuse: a handle is used on both sides of a fork, for app@", "opened at open_with"), 1);
    expect_number(child_status(child), 0);
}

static void use_again(PGconn *handle) {
    ask(handle, "SELECT 2");
}
/* A handle that was used, and that a child which has ended since did this with. */
static PGconn *used_here_and_by_child(void (*act)(PGconn *)) {
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    int child = fork();
    if (child == 0) {
        act(handle);
        exit(0);
    }
    expect_number(child_status(child), 0);
    return handle;
}

CASE(child_finishes, "PQONE_MODE=observe",
     "a child that finishes what it inherited ends its parent's session, as bare, and that is reported") {
    PGconn *handle = used_here_and_by_child(PQfinish);
    PGresult *result = PQexec(handle, "SELECT 2");
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    PQfinish(handle);
    if (shimmed())
        expect_number((long long)misuses(MISUSE_BOTH_SIDES), 1);
}

CASE(both_finish, "PQONE_MODE=observe",
     "a handle that parent and child finish, and only one of them used, is no misuse") {
    PGconn *handle = used_here_and_by_child(PQfinish);
    PQfinish(handle);
    if (shimmed())
        expect_number((long long)misuses(MISUSE_BOTH_SIDES), 0);
}

CASE(child_exits, "PQONE_MODE=observe",
     "a child that used what it inherited and exits without PQfinish ends nothing, as bare") {
    PGconn *handle = used_here_and_by_child(use_again);
    ask(handle, "SELECT 3");
    expect_backends(1, 1);
    PQfinish(handle);
}

CASE(child_cancels, "PQONE_MODE=observe", "a child cancels its parent's query, as bare") {
    char error[256];
    PGconn *handle = open_handle();
    PGcancel *cancel = PQgetCancel(handle);
    expect_number(PQsendQuery(handle, "SELECT pg_sleep(20)"), 1);
    int child = fork();
    if (child == 0)
        _exit(PQcancel(cancel, error, sizeof error) == 1 ? 0 : 1);
    expect_number(child_status(child), 0);
    PGresult *result = PQgetResult(handle);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    expect(PQgetResult(handle) == NULL);
    PQfreeCancel(cancel);
    PQfinish(handle);
}

static void finishes_itself(void *handle, const char *message) {
    (void)message;
    PQfinish(handle);
}
CASE(finish_in_callback, "PQONE_MODE=observe",
     "PQfinish inside a callback is carried out when the call is over") {
    if (!shimmed())
        skip("bare libpq crashes");
    PGconn *handle = open_handle();
    PQsetNoticeProcessor(handle, finishes_itself, handle);
    PGresult *result = PQexec(handle, "DO $$BEGIN RAISE NOTICE 'now'; RAISE NOTICE 'once more'; END$$");
    expect_number(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    expect_number((long long)misuses(MISUSE_FINISH_IN_CALL), 1);
    expect_number((long long)misuses(MISUSE_DOUBLE_FINISH), 1);
    expect(PQexec(handle, "SELECT 1") == NULL);
    expect_backends(0, 0);
    expect_number((long long)ledger_of(getpid())->counters.handles_finished, 1);
    expect_number((long long)ledger_of(getpid())->counters.handles_alive, 0);
    expect_number((long long)ledger_of(getpid())->counters.busy, 0);
}

static void busy_is(unsigned long long now, unsigned long long peak) {
    if (!shimmed())
        return;
    expect_number((long long)ledger_of(getpid())->counters.busy, (long long)now);
    expect_number((long long)ledger_of(getpid())->counters.busy_peak, (long long)peak);
}
CASE(busy, "PQONE_MODE=observe", "a handle is busy inside an exchange or a transaction, however it talks") {
    PGconn *handles[12];
    for (int i = 0; i < 12; i++)
        handles[i] = open_handle();
    for (int i = 0; i < 12; i++)
        ask(handles[i], "SELECT 1");
    busy_is(0, 1);
    for (int i = 0; i < 3; i++)
        expect_number(PQsendQuery(handles[i], "SELECT 1"), 1);
    busy_is(3, 3);
    for (int i = 0; i < 3; i++)
        for (PGresult *result; (result = PQgetResult(handles[i]));)
            PQclear(result);
    busy_is(0, 3);
    ask(handles[0], "BEGIN");
    ask(handles[1], "SELECT 1");
    busy_is(1, 3);
    ask(handles[0], "COMMIT");
    expect_number(PQenterPipelineMode(handles[2]), 1);
    expect_number(PQsendQueryParams(handles[2], "SELECT 1", 0, NULL, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(handles[2]), 1);
    busy_is(1, 3);
    ask(handles[0], "BEGIN");
    for (int i = 0; i < 12; i++)
        PQfinish(handles[i]);
    busy_is(0, 3);
    PGconn *started[4];
    for (int i = 0; i < 4; i++) {
        started[i] = PQconnectStart("dbname=shop user=app");
        for (PostgresPollingStatusType status = PGRES_POLLING_WRITING;
             status != PGRES_POLLING_OK && status != PGRES_POLLING_FAILED;
             status = PQconnectPoll(started[i])) {
            struct pollfd wait = {.fd = PQsocket(started[i]),
                                  .events = status == PGRES_POLLING_READING ? POLLIN : POLLOUT};
            poll(&wait, 1, 1000);
        }
        expect_number(PQstatus(started[i]), CONNECTION_OK);
    }
    busy_is(0, 3);
    for (int i = 0; i < 4; i++)
        PQfinish(started[i]);
    if (shimmed())
        expect_number((long long)ledger_of(getpid())->counters.handles_alive_peak, 12);
}

static void wait_for_line(const char *one, const char *other, int count) {
    for (int tries = 0; tries < 200 && log_lines(one, other) < count; tries++)
        sleep_ms(20);
    if (log_lines(one, other) != count)
        printf("log:\n%s\n", log_text());
    expect_number(log_lines(one, other), count);
}
CASE(unused, "PQONE_LEAK_THRESHOLD=300ms PQONE_MODE=observe",
     "a handle that nobody uses is reported with its last statement, and taken back when it is used or "
     "finished") {
    PGconn *handle = open_handle();
    ask(handle, "SELECT * FROM (VALUES (4711, 'secret')) AS t(id, name) WHERE id = 4711");
    if (!shimmed())
        skip("nothing to see without the shim");
    expect_number(log_lines("leak:", NULL), 0);
    wait_for_line("leak: handle for app@", "opened at open_with", 1);
    wait_for_line(
        "; last statement: SELECT * FROM (VALUES (?, ?)) AS t(id, name) WHERE id = ?; if nothing needs it",
        NULL, 1);
    sleep_ms(600);
    expect_number(log_lines("leak:", NULL), 1);
    ask(handle, "SELECT 1");
    expect_number(log_lines("leak: taken back: the handle for app@", "is used after all"), 1);
    sleep_ms(700); /* again, and taken back by the finish: the same place is not said twice */
    PQfinish(handle);
    sleep_ms(500);
    expect_number(log_lines("leak:", NULL), 2);
    expect(!strstr(log_text(), "secret") && !strstr(log_text(), "4711 "));
}
CASE(unused_in_share, "PQONE_LEAK_THRESHOLD=300ms",
     "a lone handle is watched in every mode, until it is finished") {
    PGconn *handle = open_handle();
    if (!shimmed())
        skip("nothing to see without the shim");
    wait_for_line("leak: handle for app@", "no statement was ever run on it", 1);
    PQfinish(handle);
    expect_number(log_lines("leak: taken back:", "is finished after all"), 1);
}
CASE(used, "PQONE_LEAK_THRESHOLD=400ms PQONE_MODE=observe",
     "a handle that is used now and then, or inside a long call, is not reported") {
    PGconn *handle = open_handle(), *other = open_handle();
    for (int i = 0; i < 6; i++) {
        sleep_ms(150);
        ask(handle, "SELECT 1");
        ask(other, "SELECT 1");
    }
    PQfinish(other);
    ask(handle, "SELECT pg_sleep(1)");
    sleep_ms(150); /* long enough for a look */
    PQfinish(handle);
    expect_number(log_lines("leak:", NULL), 0);
}
CASE(unused_in_child, "PQONE_LEAK_THRESHOLD=300ms PQONE_MODE=observe",
     "a child watches the handles that it opens or uses, not those that it merely inherited") {
    if (!shimmed())
        skip("nothing to see without the shim");
    PGconn *handle = open_handle();
    int child = fork();
    if (child == 0) {
        PGconn *own = open_handle();
        ask(own, "SELECT 'of the child' AS own");
        sleep_ms(1000);
        _exit(0);
    }
    for (int i = 0; i < 12; i++) {
        ask(handle, "SELECT 1");
        sleep_ms(100);
    }
    expect_number(child_status(child), 0);
    expect_number(log_lines("leak:", NULL), 1);
    expect_number(log_lines("leak:", "SELECT ? AS own"), 1);
    PQfinish(handle);
}
static void failed_are(long long count) {
    if (!shimmed())
        return;
    const struct ledger_header *ledger = ledger_of(getpid());
    const struct ledger_site *site = (const void *)((const char *)ledger + ledger->sites.offset);
    const struct ledger_handle *row = (const void *)((const char *)ledger + ledger->handles.offset);
    expect_number((long long)ledger->counters.connects_failed, count);
    expect_number((long long)site->failed, count);
    expect_number(row->state, count ? LEDGER_HANDLE_FAILED : LEDGER_HANDLE_OPEN);
}
static PostgresPollingStatusType poll_to_end(PGconn *conn, PostgresPollingStatusType (*poll)(PGconn *)) {
    PostgresPollingStatusType wants;
    while ((wants = poll(conn)) == PGRES_POLLING_READING || wants == PGRES_POLLING_WRITING)
        sleep_ms(5);
    return wants;
}
CASE(failed_and_reset, "PQONE_MODE=observe",
     "a handle that PQconnectPoll gives up is a failed connect of its place until PQreset brings it up") {
    char directory[400], words[600];
    snprintf(directory, sizeof directory, "%s/here", getenv("PQONE_TEST_CASE_DIR"));
    snprintf(words, sizeof words, "host=127.0.0.1,%s port=1,%s dbname=shop user=app", directory,
             getenv("PGPORT"));
    PGconn *handle = PQconnectStart(words);
    expect_number(poll_to_end(handle, PQconnectPoll), PGRES_POLLING_FAILED);
    failed_are(1);
    expect_number(PQresetStart(handle), 1);
    expect_number(poll_to_end(handle, PQresetPoll), PGRES_POLLING_FAILED);
    failed_are(1);
    expect(symlink(getenv("PGHOST"), directory) == 0);
    PQreset(handle);
    expect_number(PQstatus(handle), CONNECTION_OK);
    failed_are(0);
    PQfinish(handle);
}
static int threads_now(void) {
    int count = 0;
    DIR *entries = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(entries));)
        count += entry->d_name[0] != '.';
    closedir(entries);
    return count;
}
CASE(no_thread, "PQONE_MODE=observe", "without a leak threshold nobody gets a thread for it") {
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    expect_number(threads_now(), 1);
    PQfinish(handle);
}
