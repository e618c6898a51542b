/*
 * overlap.c: handles whose lives and busy times overlap as written below, each step long enough to be seen.
 *
 * Opens are at three places. Busy parts, in hundredths of a second: first 0-30, second 10-20 (both at once),
 * third 40-50 alone; the fourth never. The second is finished at 25, the fourth is forgotten, and a fifth
 * never connects. `fork`: a child opens, uses and finishes one of its own, and leaves another open by _exit.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

PGconn *open_first(void);
PGconn *open_second(void);
PGconn *open_third(void);
PGconn *fail(void);

static const char conninfo[] = "dbname=shop user=app";

/* Keeps the call before it from becoming a jump, which would leave no frame. */
static inline void stay(void) {
    __asm__ volatile("" ::: "memory");
}

__attribute__((noinline)) PGconn *open_first(void) {
    PGconn *handle = PQconnectdb(conninfo);
    stay();
    return handle;
}
__attribute__((noinline)) PGconn *open_second(void) {
    PGconn *handle = PQconnectdb(conninfo);
    stay();
    return handle;
}
__attribute__((noinline)) PGconn *open_third(void) {
    PGconn *handle = PQconnectdb(conninfo);
    stay();
    return handle;
}
__attribute__((noinline)) PGconn *fail(void) {
    PGconn *handle = PQconnectdb("host=/nowhere dbname=shop user=app");
    stay();
    return handle;
}

static void rest(int hundredths) {
    nanosleep(&(struct timespec){hundredths / 100, hundredths % 100 * 10000000L}, NULL);
}

static void sent(PGconn *handle, const char *query) {
    if (!PQsendQuery(handle, query)) {
        fprintf(stderr, "overlap: %s", PQerrorMessage(handle));
        exit(1);
    }
}

static void answered(PGconn *handle) {
    for (PGresult *result; (result = PQgetResult(handle));)
        PQclear(result);
}

static void child(void) {
    PGconn *kept = open_third(), *finished = open_third();
    PQclear(PQexec(finished, "SELECT pg_sleep(0.05)"));
    PQfinish(finished);
    _exit(PQstatus(kept) == CONNECTION_OK ? 0 : 1);
}

int main(int count, char **arguments) {
    PGconn *first = open_first(), *second = open_second(), *third = open_third(), *fourth = open_third(),
           *bad = fail();
    if (PQstatus(first) != CONNECTION_OK || PQstatus(fourth) != CONNECTION_OK ||
        PQstatus(bad) == CONNECTION_OK) {
        fprintf(stderr, "overlap: %s", PQerrorMessage(first));
        return 1;
    }
    PQfinish(bad);
    sent(first, "SELECT pg_sleep(0.3)");
    rest(10);
    sent(second, "SELECT pg_sleep(0.1)");
    answered(second);
    rest(5);
    PQfinish(second);
    answered(first);
    rest(10);
    PQclear(PQexec(third, "SELECT pg_sleep(0.1)"));
    /* A burst of short ones, nobody else in between: one part in the timeline. */
    for (int i = 0; i < 200; i++)
        PQclear(PQexec(third, "SELECT 1"));
    if (count > 1 && strcmp(arguments[1], "fork") == 0) {
        int status = 1;
        pid_t pid = fork();
        if (pid == 0)
            child();
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            return 1;
    }
    PQfinish(first);
    PQfinish(third);
    return 0;
}
