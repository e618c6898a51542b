/* interruptions.c: servers that stop answering, signals that leave by longjmp, threads that are cancelled. */
#include "case/case.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int postmaster(void) {
    char path[512];
    int pid = 0;
    snprintf(path, sizeof path, "%s/data/postmaster.pid", getenv("PQONE_TEST_DIR"));
    FILE *file = fopen(path, "r");
    expect(file != NULL);
    expect_number(fscanf(file, "%d", &pid), 1);
    fclose(file);
    return pid;
}

/* Stops the process, and has a shell let it go on whatever becomes of this case. No fork handler runs. */
static int stop_for(int pid, double seconds) {
    char command[128];
    int shell;
    char *nothing[] = {"PATH=/usr/bin:/bin", NULL};
    snprintf(command, sizeof command, "sleep %.2f; kill -CONT %d", seconds, pid);
    char *arguments[] = {"sh", "-c", command, NULL};
    expect_number(posix_spawn(&shell, "/bin/sh", NULL, NULL, arguments, nothing), 0);
    expect_number(kill(pid, SIGSTOP), 0);
    return shell;
}

static int backend_of_this_program(void) {
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT max(pid) FROM pg_stat_activity WHERE application_name = '%s'",
             getenv("PGAPPNAME"));
    return atoi(control(sql));
}

static void *cancel_it(void *cancel) {
    char problem[256];
    PQcancel(cancel, problem, sizeof problem);
    return NULL;
}

CASE(late_cancel, "",
     "a cancel that is still under way when the connection could change hands reaches nobody else") {
    pthread_t thread;
    PGconn *first = open_handle(), *second = open_handle();
    PGcancel *cancel = PQgetCancel(first);
    ask(first, "BEGIN");
    int shell = stop_for(postmaster(), 1.6); /* who takes the cancel to the backend */
    pthread_create(&thread, NULL, cancel_it, cancel);
    sleep_ms(200);
    ask(first, "COMMIT");
    expect_text(ask(second, "SELECT 'mine' FROM pg_sleep(1)"), "mine");
    pthread_join(thread, NULL);
    expect_text(ask(second, "SELECT 2"), "2");
    expect_number(child_status(shell), 0);
    PQfreeCancel(cancel);
    PQfinish(first);
    PQfinish(second);
}

CASE(fork_during_cancel, "", "a child that was forked while a thread was in PQcancel can use libpq at once") {
    pthread_t thread;
    PGconn *first = open_handle();
    PGcancel *cancel = PQgetCancel(first);
    ask(first, "BEGIN");
    int shell = stop_for(postmaster(), 0.5);
    pthread_create(&thread, NULL, cancel_it, cancel);
    sleep_ms(200);
    int child = fork();
    if (child == 0) {
        alarm(10);
        double start = seconds_now();
        PGcancel *other = PQgetCancel(first);
        expect(other != NULL);
        PQfreeCancel(other);
        if (sharing())
            PQfinish(first);
        expect(seconds_now() - start < 0.7);
        PGconn *own = open_handle();
        expect_text(ask(own, "SELECT 'child'"), "child");
        PQfinish(own);
        _exit(0);
    }
    pthread_join(thread, NULL);
    expect_number(child_status(child), 0);
    expect_number(child_status(shell), 0);
    expect_text(ask(first, "SELECT 1"), "1");
    ask(first, "COMMIT");
    PQfreeCancel(cancel);
    PQfinish(first);
}

CASE(stopped_while_cleaned, "",
     "a connect while the only connection is being cleaned, and its backend does not answer, neither spins "
     "nor "
     "waits for it") {
    PGconn *first = open_handle();
    ask(first, "BEGIN");
    int shell = stop_for(backend_of_this_program(), 1.5);
    PQfinish(first);
    double start = seconds_now();
    clock_t worked = clock();
    PGconn *started = PQconnectStart("dbname=shop user=app");
    expect(PQstatus(started) != CONNECTION_BAD);
    expect(seconds_now() - start < 0.15);
    PQfinish(started);
    PGconn *second = open_handle();
    expect_text(ask(second, "SELECT 2"), "2");
    expect(seconds_now() - start < 1.2);
    expect((double)(clock() - worked) / CLOCKS_PER_SEC < 0.3);
    PQfinish(second);
    expect_number(child_status(shell), 0);
}

static sigjmp_buf out;
static void leave(int number) {
    (void)number;
    siglongjmp(out, 1);
}

static void alarm_in(int milliseconds) {
    struct itimerval timer = {.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

CASE(longjmp_from_connect, "",
     "after a SIGALRM that left the first PQconnectdb by longjmp the next one connects") {
    int shell = stop_for(postmaster(), 0.6);
    signal(SIGALRM, leave);
    volatile bool left = true;
    if (sigsetjmp(out, 1) == 0) {
        alarm_in(200);
        PQfinish(open_handle());
        left = false;
    }
    expect(left);
    signal(SIGALRM, SIG_DFL);
    alarm_in(10000);
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    PGconn *second = open_handle();
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(second);
    PQfinish(handle);
    expect_number(child_status(shell), 0);
}

static atomic_bool holds, let_go;
static void *hold_the_only_one(void *unused) {
    PGconn *handle = open_handle();
    ask(handle, "BEGIN");
    holds = 1;
    while (!let_go)
        sleep_ms(5);
    ask(handle, "COMMIT");
    PQfinish(handle);
    return unused;
}

static void *use_another(void *unused) {
    PGconn *handle = open_handle();
    double start = seconds_now();
    for (int i = 0; i < 3; i++)
        expect_text(ask(handle, "SELECT 'another'"), "another");
    expect(seconds_now() - start < 3);
    PQfinish(handle);
    return unused;
}

/* What the program does with the handle whose call it left. */
static void wait_is_left(bool finish_it) {
    pthread_t holder, other;
    PGconn *waiting = open_handle(), *bystander = open_handle();
    holds = let_go = 0;
    pthread_create(&holder, NULL, hold_the_only_one, NULL);
    while (!holds)
        sleep_ms(5);
    signal(SIGALRM, leave);
    volatile bool left = true;
    if (sigsetjmp(out, 1) == 0) {
        alarm_in(150);
        PQclear(PQexec(waiting, "SELECT 'never sent'"));
        left = false;
    }
    alarm_in(0);
    expect_number(left, sharing());
    if (finish_it)
        PQfinish(waiting);
    let_go = 1;
    pthread_join(holder, NULL);
    pthread_create(&other, NULL, use_another, NULL);
    pthread_join(other, NULL);
    expect_text(ask(bystander, "SELECT 1"), "1");
    if (sharing())
        expect_number(backends(), 1);
    if (!finish_it) {
        expect_text(ask(waiting, "SELECT 'again'"), "again");
        PQfinish(waiting);
    }
    PQfinish(bystander);
}

CASE(longjmp_from_wait, "PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=20s",
     "a call left by longjmp while it waited for a connection gets none any more, so the others do") {
    wait_is_left(false);
    wait_is_left(true);
}

static void *wait_in_vain(void *handle) {
    PQclear(PQexec(handle, "SELECT 'never sent'"));
    for (;;)
        pause();
    return NULL;
}

CASE(cancelled_wait, "PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=20s",
     "pthread_cancel ends a thread that waits for a connection, and the others go on") {
    pthread_t thread, other;
    PGconn *first = open_handle(), *waiting = open_handle();
    ask(first, "BEGIN");
    pthread_create(&thread, NULL, wait_in_vain, waiting);
    sleep_ms(200);
    double start = seconds_now();
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    expect(seconds_now() - start < 3);
    ask(first, "COMMIT");
    pthread_create(&other, NULL, use_another, NULL);
    pthread_join(other, NULL);
    expect_text(ask(first, "SELECT 1"), "1");
    if (sharing())
        expect_number(backends(), 1);
    PQfinish(waiting);
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
}
