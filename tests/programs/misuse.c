/* misuse.c: NULL handles, calls after PQfinish, failed connects: never a crash, and libpq's own answers. */
#include "case/case.h"

#include <dlfcn.h>
#include <libpq-events.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What libpq answers for a connection that is not there. */
static void answers_as_null(PGconn *none) {
    char buffer[8];
    expect_number(PQstatus(none), CONNECTION_BAD);
    expect_number(PQtransactionStatus(none), PQTRANS_UNKNOWN);
    expect(PQdb(none) == NULL);
    expect(PQuser(none) == NULL);
    expect(PQhost(none) == NULL);
    expect_number(PQsocket(none), -1);
    expect_number(PQbackendPID(none), 0);
    expect_number(PQserverVersion(none), 0);
    expect_part(PQerrorMessage(none), "connection pointer is NULL");
    expect(PQexec(none, "SELECT 1") == NULL);
    expect(PQexecParams(none, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0) == NULL);
    expect(PQprepare(none, "q", "SELECT 1", 0, NULL) == NULL);
    expect(PQexecPrepared(none, "q", 0, NULL, NULL, NULL, 0) == NULL);
    expect_number(PQsendQuery(none, "SELECT 1"), 0);
    expect(PQgetResult(none) == NULL);
    expect_number(PQconsumeInput(none), 0);
    expect_number(PQisBusy(none), 0);
    expect_number(PQsetnonblocking(none, 1), -1);
    expect_number(PQputCopyData(none, "x", 1), -1);
    expect_number(PQgetCopyData(none, &(char *){NULL}, 0), -2);
    expect(PQgetCancel(none) == NULL);
    expect_number(PQrequestCancel(none), 0);
    expect(PQnotifies(none) == NULL);
    expect(PQparameterStatus(none, "TimeZone") == NULL);
    expect_number(PQclientEncoding(none), -1);
    expect_number(PQsetClientEncoding(none, "UTF8"), -1);
    expect(PQconninfo(none) == NULL);
    expect(PQinstanceData(none, NULL) == NULL);
    expect_number(PQresetStart(none), 0);
    expect_number(PQresetPoll(none), PGRES_POLLING_FAILED);
    expect_number(PQconnectPoll(none), PGRES_POLLING_FAILED);
    expect_number(PQenterPipelineMode(none), 0);
    expect(PQescapeLiteral(none, "x", 1) == NULL);
    PQreset(none);
    PQuntrace(none);
    PQsetNoticeProcessor(none, NULL, NULL);
    expect_number(PQgetlineAsync(none, buffer, sizeof buffer), -1);
    PQfinish(none);
}

CASE(null_handle, "", "a NULL handle is answered as libpq answers it") {
    answers_as_null(NULL);
}

CASE(after_finish, "", "a finished handle is answered as no connection, and logged as misuse") {
    if (!shimmed())
        skip("bare libpq leaves this undefined");
    PGconn *handle = open_handle(), *other = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
    answers_as_null(handle);
    expect(log_lines("misuse:", NULL) >= 1);
    PGconn *next = open_handle();
    expect(next != handle);
    expect_text(ask(other, "SELECT 1"), "1");
    expect_text(ask(next, "SELECT 1"), "1");
    PQfinish(other);
    PQfinish(next);
}

CASE(double_finish, "", "a second PQfinish ends nobody else's handle") {
    if (!shimmed())
        skip("bare libpq leaves this undefined");
    PGconn *handle = open_handle(), *other = open_handle();
    PQfinish(handle);
    for (int i = 0; i < 10; i++) {
        PGconn *next = open_handle();
        PQfinish(handle);
        expect_text(ask(next, "SELECT 1"), "1");
        PQfinish(next);
    }
    expect_text(ask(other, "SELECT 1"), "1");
    PQfinish(other);
    expect(log_lines("misuse:", NULL) >= 1);
}

void finished_here(PGconn *handle);
void finished_here(PGconn *handle) {
    PQfinish(handle);
    __asm__ volatile(""); /* a tail call would leave no place */
}
void used_here(PGconn *handle);
void used_here(PGconn *handle) {
    PQclear(PQexec(handle, "SELECT 1"));
}
CASE(places, "PQONE_STACK=1",
     "a stale handle is named with where it was opened, to what, and where it was used") {
    if (!shimmed())
        skip("bare libpq leaves this undefined");
    PGconn *handle = open_handle();
    PQfinish(handle);
    finished_here(handle);
    used_here(handle);
    expect_number(
        log_lines("misuse: PQfinish on a handle that was finished already, for app@", "at finished_here"), 1);
    expect_number(
        log_lines("misuse: a call on a handle that was finished already (PQexec), for app@", "at used_here"),
        1);
    expect_number(log_lines("misuse:", "opened at open_with"), 2);
    for (int i = 0; i < 20; i++)
        used_here(handle);
    expect_number(log_lines("misuse:", "at used_here"), 2); /* the first and the tenth */
}

enum { FINISHERS = 8 };
static PGconn *contested;
static pthread_barrier_t all_there;
static void *finishes(void *unused) {
    pthread_barrier_wait(&all_there);
    PQfinish(contested);
    PGconn *next = open_handle(); /* may get the memory of the finished one, while another thread is at it */
    expect_text(ask(next, "SELECT 1"), "1");
    PQfinish(next);
    return unused;
}
CASE(finished_by_all, "", "of several threads that finish a handle at once one does, the others are told") {
    if (!shimmed())
        skip("bare libpq leaves this undefined");
    pthread_t threads[FINISHERS];
    pthread_barrier_init(&all_there, NULL, FINISHERS);
    for (int round = 1; round <= 60; round++) {
        contested = open_handle();
        for (int i = 0; i < FINISHERS; i++)
            expect_number(pthread_create(&threads[i], NULL, finishes, NULL), 0);
        for (int i = 0; i < FINISHERS; i++)
            pthread_join(threads[i], NULL);
    }
    expect(log_lines("misuse: PQfinish on a handle that was finished already", NULL) >= 1);
    expect_backends(0, 0);
}

/* Every function of the table in turn, on a handle that was finished: libpq's header says what each takes;
 * machine words do, since all of it is integers and pointers. */
typedef uintptr_t any_function(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t,
                               uintptr_t);
static const struct {
    const char *name, *parameters;
} table[] = {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) {#name, #parameters},
#include "libpq_calls.def"
#undef CALL
};
CASE(stale_everywhere, "", "no function crashes on a handle that was finished") {
    if (!shimmed())
        skip("bare libpq leaves this undefined");
    static char bytes[8][256];
    PGconn *handle = open_handle();
    PQfinish(handle);
    unsigned called = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        any_function *function;
        void *address = dlsym(RTLD_DEFAULT, table[i].name);
        uintptr_t words[8] = {0};
        char parameters[512], *rest = NULL;
        int index = 0;
        if (!address || !strstr(table[i].parameters, "PGconn *"))
            continue;
        memcpy(&function, &address, sizeof function);
        snprintf(parameters, sizeof parameters, "%s", table[i].parameters + 1);
        for (char *one = strtok_r(parameters, ",", &rest); one && index < 8;
             one = strtok_r(NULL, ",", &rest), index++) {
            bool callback = strstr(one, "proc") || strstr(one, "PGresult") || strstr(one, "FILE");
            strcpy(bytes[index], "x");
            words[index] = strstr(one, "PGconn *")                       ? (uintptr_t)handle
                           : strchr(one, '*') && !callback               ? (uintptr_t)bytes[index]
                           : strstr(one, "length") || strstr(one, "len") ? 1
                                                                         : 0;
        }
        printf("%s\n", table[i].name);
        fflush(stdout);
        function(words[0], words[1], words[2], words[3], words[4], words[5], words[6], words[7]);
        called++;
    }
    expect(called > 90);
    expect_number(log_lines("misuse: a call on a handle that was finished already", "+99 more from here"), 1);
}

/* A failed connect: a handle with libpq's message, that answers, and must be finished. */
static void fails(const char *conninfo, const char *message) {
    for (int i = 0; i < 2; i++) {
        PGconn *handle = PQconnectdb(conninfo);
        expect(handle != NULL);
        expect_number(PQstatus(handle), CONNECTION_BAD);
        expect_part(PQerrorMessage(handle), message);
        PGresult *result = PQexec(handle, "SELECT 1");
        expect(PQresultStatus(result) == PGRES_FATAL_ERROR);
        PQclear(result);
        expect_number(PQtransactionStatus(handle), PQTRANS_UNKNOWN);
        expect_number(PQserverVersion(handle), 0);
        PQfinish(handle);
    }
    expect_backends(0, 0);
}

CASE(bad_conninfo, "", "a conninfo that cannot be read gives libpq's own message") {
    fails("dbname", "missing \"=\" after \"dbname\" in connection info string");
    fails("colour=blue", "invalid connection option \"colour\"");
    fails("postgresql://[::1", "end of string reached when looking for matching \"]\"");
    fails("dbname='unterminated", "unterminated quoted string in connection info string");
}
CASE(bad_target, "", "targets that cannot be reached give libpq's own message") {
    fails("host=/nonexistent dbname=shop", "No such file or directory");
    fails("host=127.0.0.1 port=1 dbname=shop user=app", "Connection refused");
    fails("dbname=no_such_database user=app", "database \"no_such_database\" does not exist");
    fails("dbname=shop user=nobody_here", "role \"nobody_here\" does not exist");
    fails("dbname=shop user=app sslmode=sideways", "invalid sslmode value: \"sideways\"");
    fails("service=not_there", "service file");
}
CASE(failed_beside_good, "", "failed connects beside a good one do it no harm") {
    PGconn *good = open_handle();
    for (int i = 0; i < 5; i++) {
        PGconn *bad = PQconnectdb("dbname=shop user=nobody_here");
        expect_number(PQstatus(bad), CONNECTION_BAD);
        expect_text(ask(good, "SELECT 1"), "1");
        PQreset(bad);
        expect_number(PQstatus(bad), CONNECTION_BAD);
        PQfinish(bad);
    }
    PQfinish(good);
}
CASE(null_statement, "", "a NULL statement and an empty one are answered as libpq answers them") {
    PGconn *handle = open_handle();
    PGresult *result = PQexec(handle, NULL);
    expect(PQresultStatus(result) == PGRES_FATAL_ERROR);
    expect_part(PQerrorMessage(handle), "command string is a null pointer");
    PQclear(result);
    result = PQexec(handle, "");
    expect_number(PQresultStatus(result), PGRES_EMPTY_QUERY);
    PQclear(result);
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
}
CASE(unfinished_start, "", "a PQconnectStart that is never polled holds nobody up") {
    PGconn *started = PQconnectStart("dbname=shop user=app");
    expect(started != NULL);
    double start = seconds_now();
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    expect(seconds_now() - start < 3);
    PQfinish(handle);
    PQfinish(started);
}
CASE(ping, "", "PQping and PQpingParams work beside open handles and leave nothing behind") {
    const char *words[] = {"dbname", "user", NULL}, *values[] = {"shop", "app", NULL};
    PGconn *handle = open_handle();
    expect_number(PQping("dbname=shop user=app"), PQPING_OK);
    expect_number(PQpingParams(words, values, 0), PQPING_OK);
    expect_number(PQping("colour=blue"), PQPING_NO_ATTEMPT);
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
    expect_number(PQping("host=127.0.0.1 port=1"), PQPING_NO_RESPONSE);
}
