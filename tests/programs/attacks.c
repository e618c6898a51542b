/* attacks.c: programs that leave calls by side doors, outlive their connections or change the ground. */
#include "case/case.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf way_out;

static PGconn *bad_handle(const char *words) {
    char conninfo[300];
    snprintf(conninfo, sizeof conninfo, "dbname=shop user=app %s", words);
    PGconn *handle = PQconnectdb(conninfo);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    return handle;
}

static void leave(int signal) {
    (void)signal;
    siglongjmp(way_out, 1);
}

static void alarm_after(int milliseconds) {
    struct itimerval when = {{0, 0}, {milliseconds / 1000, milliseconds % 1000 * 1000}};
    signal(SIGALRM, leave);
    setitimer(ITIMER_REAL, &when, NULL);
}

static int mute_listener(char *conninfo, size_t size) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    expect(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 5) == 0);
    getsockname(listener, (struct sockaddr *)&address, &length);
    snprintf(conninfo, size, "hostaddr=127.0.0.1 port=%d user=app dbname=shop sslmode=disable",
             ntohs(address.sin_port));
    return listener;
}

/* Sends every caller away at once. */
static void *send_away(void *listener) {
    for (;;) {
        int peer = accept(*(int *)listener, NULL, NULL);
        if (peer < 0)
            return NULL;
        close(peer);
    }
}

static void not_sanitized(void) {
    if (getenv("PQONE_TEST_RUNTIME"))
        skip("a sanitizer's runtime has a memory of its own");
}

CASE(connect_left, "", "a connect that was left by siglongjmp hangs no later connect to that target") {
    char conninfo[200];
    static int listener;
    listener = mute_listener(conninfo, sizeof conninfo);
    if (sigsetjmp(way_out, 1) == 0) {
        alarm_after(200);
        PQfinish(PQconnectdb(conninfo));
        expect(!"the connect came back");
    }
    pthread_t thread;
    pthread_create(&thread, NULL, send_away, &listener);
    double before = seconds_now();
    PGconn *handle = PQconnectdb(conninfo);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    expect(seconds_now() - before < 5);
    PQfinish(handle);
}

static char left_conninfo[200];
static void *connect_in_thread(void *unused) {
    PGconn *handle = PQconnectdb(left_conninfo);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    PQfinish(handle);
    return unused;
}

CASE(connect_cancelled, "", "a thread cancelled inside PQconnectdb hangs no other thread's connect") {
    static int listener;
    pthread_t first, away;
    listener = mute_listener(left_conninfo, sizeof left_conninfo);
    pthread_create(&first, NULL, connect_in_thread, NULL);
    sleep_ms(200);
    pthread_cancel(first);
    pthread_join(first, NULL);
    pthread_create(&away, NULL, send_away, &listener);
    double before = seconds_now();
    PGconn *handle = PQconnectdb(left_conninfo);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    expect(seconds_now() - before < 5);
    PQfinish(handle);
}

static void *sleep_in_server(void *handle) {
    PQclear(PQexec(handle, "SELECT pg_sleep(30)"));
    return NULL;
}

static void in_large_thread(pthread_t *thread, void *(*run)(void *), void *argument) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)128 << 20);
    expect_number(pthread_create(thread, &attributes, run, argument), 0);
}

CASE(worker_cancelled, "",
     "PQfinish of a handle whose thread was cancelled in a query, and whose stack is gone") {
    PGconn *handle = open_handle(), *other = open_handle();
    pthread_t thread;
    in_large_thread(&thread, sleep_in_server, handle);
    sleep_ms(300);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    expect_number(PQtransactionStatus(handle), PQTRANS_ACTIVE);
    PQfinish(handle);
    expect_text(ask(other, "SELECT 1"), "1");
    PQfinish(other);
    control("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'");
    expect_backends(0, 1);
}

static void *finish_it(void *handle) {
    PQfinish(handle);
    return NULL;
}

CASE(worker_cancelled_below, "", "the same with a thread whose stack lies below the cancelled one's") {
    PGconn *handle = open_handle();
    pthread_t thread, finisher;
    in_large_thread(&thread, sleep_in_server, handle);
    sleep_ms(300);
    pthread_t spacer;
    in_large_thread(&spacer, sleep_in_server, NULL);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    pthread_join(spacer, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)256 << 20);
    pthread_create(&finisher, &attributes, finish_it, handle);
    pthread_join(finisher, NULL);
    control("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'");
    expect_backends(0, 0);
}

static void leave_by_jump(void *unused, const PGresult *result) {
    (void)unused;
    (void)result;
    siglongjmp(way_out, 1);
}

static __attribute__((noinline)) void deeper(PGconn *handle, const char *sql, bool finish) {
    volatile char room[65536];
    room[0] = 1;
    if (finish)
        PQfinish(handle);
    else
        PQclear(PQexec(handle, sql));
    room[sizeof room - 1] = 1;
}

CASE(left_then_deeper, "",
     "after a receiver left by longjmp a deeper PQfinish ends the session all the same") {
    PGconn *handle = open_handle();
    PQsetNoticeReceiver(handle, leave_by_jump, NULL);
    if (sigsetjmp(way_out, 1) == 0)
        PQexec(handle, "DO $$BEGIN RAISE NOTICE 'out'; END$$");
    deeper(handle, NULL, true);
    expect_backends(0, 0);
}

CASE(dead_children, "", "2100 children that connected and died do not cost the parent its sessions") {
    PGconn *first = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    for (int i = 0; i < 2100; i++) {
        pid_t child = fork();
        if (child == 0) {
            PGconn *own = open_handle();
            expect_text(ask(own, "SELECT 1"), "1");
            _exit(0);
        }
        expect_number(child_status(child), 0);
    }
    ask(first, "BEGIN");
    PGconn *pinned = open_handle();
    ask(pinned, "SET work_mem = '3MB'");
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    child_status(child);
    expect_text(ask(pinned, "SHOW work_mem"), "3MB");
    PQfinish(pinned);
    PQfinish(first);
}

CASE(other_identity_at_cap, "PQONE_MAX_CONNECTIONS=1",
     "a role's new settings do not lock a handle out of the only connection") {
    control("ALTER ROLE app RESET ALL");
    PGconn *old = open_handle();
    expect_text(ask(old, "SELECT 1"), "1");
    control("ALTER ROLE app SET TimeZone = 'Asia/Tokyo'");
    if (sharing()) {
        char sql[200];
        snprintf(
            sql, sizeof sql,
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '%s'",
            getenv("PGAPPNAME"));
        control(sql);
        sleep_ms(200);
    }
    PGconn *fresh = open_handle();
    expect_text(ask(fresh, "SHOW TimeZone"), "Asia/Tokyo");
    double before = seconds_now();
    expect_text(ask(old, "SELECT 2"), "2");
    expect_text(ask(fresh, "SELECT 3"), "3");
    expect_text(ask(old, "SELECT 4"), "4");
    expect(seconds_now() - before < 3);
    PQfinish(old);
    PQfinish(fresh);
    control("ALTER ROLE app RESET ALL");
}

CASE(reset_start_beside_busy, "", "PQresetStart works while another handle is busy") {
    PGconn *busy = open_handle(), *handle = open_handle();
    ask(busy, "BEGIN");
    expect_number(PQresetStart(handle), 1);
    PostgresPollingStatusType wants = PGRES_POLLING_WRITING;
    double before = seconds_now();
    while (wants != PGRES_POLLING_OK && wants != PGRES_POLLING_FAILED && seconds_now() - before < 5) {
        sleep_ms(1);
        wants = PQresetPoll(handle);
    }
    expect_number(wants, PGRES_POLLING_OK);
    expect_text(ask(handle, "SELECT 1"), "1");
    ask(busy, "COMMIT");
    PQfinish(busy);
    PQfinish(handle);
}

CASE(pointers_last, "PQONE_MAX_LIFETIME=100ms",
     "what PQdb, PQhost, PQparameterStatus gave lasts as long as the handle") {
    PGconn *handle = open_handle();
    ask(handle, "BEGIN");
    const char *db = PQdb(handle), *user = PQuser(handle), *host = PQhost(handle),
               *zone = PQparameterStatus(handle, "TimeZone"),
               *version = PQparameterStatus(handle, "server_version");
    char versions[100], zones[100];
    snprintf(versions, sizeof versions, "%s", version);
    snprintf(zones, sizeof zones, "%s", zone);
    ask(handle, "COMMIT");
    sleep_ms(200);
    PGconn *second = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 1"), "1");
    for (int i = 0; i < 1000; i++) {
        char *overwrite = malloc((size_t)(i % 90 + 8));
        memset(overwrite, 'x', (size_t)(i % 90 + 8));
        __asm__ volatile("" : : "r"(overwrite) : "memory");
    }
    expect_text(db, "shop");
    expect_text(user, "app");
    expect_text(host, getenv("PGHOST"));
    expect_text(version, versions);
    expect_text(zone, zones);
    PQfinish(handle);
    PQfinish(second);
}

CASE(many_targets_linger, "PQONE_LINGER=300ms",
     "the connections of a hundred targets are all closed in the end") {
    PGconn *handle[50], *bad[90];
    char words[100];
    for (int i = 0; i < 5; i++) {
        snprintf(words, sizeof words, "options='-c work_mem=%dMB'", i + 1);
        handle[i] = open_with(words);
        expect_number(PQstatus(handle[i]), CONNECTION_OK);
    }
    for (int i = 0; i < 90; i++) {
        snprintf(words, sizeof words, "options='-c no.such=%d' port=1", i + 1);
        bad[i] = bad_handle(words);
        expect_number(PQstatus(bad[i]), CONNECTION_BAD);
    }
    for (int i = 5; i < 50; i++) {
        snprintf(words, sizeof words, "options='-c work_mem=%dMB'", i + 1);
        handle[i] = open_with(words);
        expect_number(PQstatus(handle[i]), CONNECTION_OK);
    }
    for (int i = 0; i < 50; i++)
        PQfinish(handle[i]);
    sleep_ms(1500);
    expect_number(backends(), 0);
    for (int i = 0; i < 90; i++)
        PQfinish(bad[i]);
}

CASE(hostaddr_in_environment, "",
     "escaping with PGHOSTADDR in the environment asks nobody and does not wait") {
    setenv("PGHOSTADDR", "127.0.0.1", 1);
    PGconn *handle = PQconnectdb("host=localhost user=owner dbname=shop");
    expect_number(PQstatus(handle), CONNECTION_OK);
    double before = seconds_now();
    for (int i = 0; i < 3; i++) {
        char *escaped = PQescapeLiteral(handle, "it's", 4);
        expect_text(escaped, "'it''s'");
        PQfreemem(escaped);
    }
    expect(seconds_now() - before < 0.5);
    PQfinish(handle);
}

CASE(number_reused_after_finish, "",
     "after PQfinish and closing of all descriptors a reused number is the program's") {
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
    for (int number = 3; number < 256; number++)
        close(number);
    int pairs[8][2];
    for (int i = 0; i < 8; i++) {
        expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]) == 0);
        expect(write(pairs[i][0], "mine", 4) == 4 && write(pairs[i][1], "mine", 4) == 4);
    }
    handle = open_handle();
    PGresult *result = PQexec(handle, "SELECT 2");
    expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
    PQclear(result);
    for (int i = 0; i < 16; i++) {
        char got[100];
        expect_number(read(pairs[i / 2][i % 2], got, sizeof got), 4);
        expect_number(read(pairs[i / 2][i % 2], got, sizeof got), -1);
    }
    PQfinish(handle);
}

CASE(memory_limit_later, "",
     "a limit on the address space, set after the first connect, leaves the program its memory") {
    not_sanitized();
    PGconn *handle = open_handle();
    struct rlimit limit = {(rlim_t)2 << 30, (rlim_t)2 << 30};
    expect(setrlimit(RLIMIT_AS, &limit) == 0);
    void *memory = malloc(50 << 20);
    expect(memory != NULL);
    free(memory);
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
}

CASE(millions_of_handles, "PQONE_LOG=none PQONE_STACK=0",
     "a program never runs out of handles, under a limit on its address space neither") {
    if (!sharing())
        skip("takes too long without the shim");
    not_sanitized();
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    expect(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    rlim_t room = (rlim_t)pages * 4096 + ((rlim_t)56 << 20);
    struct rlimit limit = {room, room};
    expect(setrlimit(RLIMIT_AS, &limit) == 0);
    PGconn *kept = open_handle();
    expect_text(ask(kept, "SELECT 1"), "1");
    for (int i = 0; i < 2200000; i++) {
        PGconn *handle = PQconnectdb("dbname=shop user=app");
        if (PQstatus(handle) != CONNECTION_OK) {
            printf("handle %d\n", i);
            expect_number(PQstatus(handle), CONNECTION_OK);
        }
        PQfinish(handle);
    }
    expect_text(ask(kept, "SELECT 2"), "2");
    PQfinish(kept);
}

static atomic_int stop;
static void *holds_a_while(void *handle) {
    PQclear(PQexec(handle, "BEGIN"));
    sleep_ms(1500);
    PQclear(PQexec(handle, "COMMIT"));
    return NULL;
}
static void *query_once(void *handle) {
    PQclear(PQexec(handle, "SELECT 1"));
    return NULL;
}

CASE(waiter_cancelled, "PQONE_MAX_CONNECTIONS=1",
     "a thread cancelled while it waits for a connection locks nobody out") {
    PGconn *one = open_handle(), *two = open_handle(), *three = open_handle();
    pthread_t holder, waiter;
    pthread_create(&holder, NULL, holds_a_while, one);
    sleep_ms(300);
    pthread_create(&waiter, NULL, query_once, two);
    sleep_ms(300);
    pthread_cancel(waiter);
    pthread_join(holder, NULL);
    pthread_join(waiter, NULL);
    double before = seconds_now();
    expect_text(ask(three, "SELECT 3"), "3");
    PQfinish(two);
    expect_text(ask(one, "SELECT 1"), "1");
    expect(seconds_now() - before < 3);
    PQfinish(one);
    PQfinish(three);
}

CASE(waiter_left, "PQONE_MAX_CONNECTIONS=1", "a wait for a connection left by siglongjmp locks nobody out") {
    PGconn *one = open_handle(), *two = open_handle(), *three = open_handle();
    pthread_t holder;
    pthread_create(&holder, NULL, holds_a_while, one);
    sleep_ms(300);
    if (sigsetjmp(way_out, 1) == 0) {
        sigset_t alarm;
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        alarm_after(425);
        PQclear(PQexec(two, "SELECT pg_sleep(2)"));
    }
    pthread_join(holder, NULL);
    double before = seconds_now();
    expect_text(ask(three, "SELECT 3"), "3");
    PQclear(PQexec(two, "SELECT 2"));
    PQfinish(two);
    expect_text(ask(one, "SELECT 1"), "1");
    expect(seconds_now() - before < 4);
    PQfinish(one);
    PQfinish(three);
}

CASE(failed_then_fork, "", "a failed handle answers after a fork as it did before") {
    PGconn *handle = bad_handle("port=1");
    expect_number(PQstatus(handle), CONNECTION_BAD);
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    child_status(child);
    PQclear(PQexec(handle, "SELECT 1"));
    expect_text(PQerrorMessage(handle), "no connection to the server\n");
    PQfinish(handle);
}

static PGconn *at_exit_handle;
static void last_query(void) {
    PGresult *result = PQexec(at_exit_handle, "SELECT 1");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        _exit(9);
    PQclear(result);
    PQfinish(at_exit_handle);
    at_exit_handle = PQconnectdb("dbname=shop user=app");
    if (PQstatus(at_exit_handle) != CONNECTION_OK)
        _exit(8);
}

static void *query_for_ever(void *unused) {
    while (!atomic_load(&stop)) {
        PGconn *handle = open_handle();
        ask(handle, "SELECT 1");
        PQfinish(handle);
    }
    return unused;
}

CASE(exit_under_load, "",
     "exit() with queries in other threads and in atexit handlers ends at once, with its status") {
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread[4];
            at_exit_handle = open_handle();
            atexit(last_query);
            for (int t = 0; t < 4; t++)
                pthread_create(&thread[t], NULL, query_for_ever, NULL);
            sleep_ms(20);
            exit(3);
        }
        expect_number(child_status(child), 3);
    }
}

static int descriptors(void) {
    int count = 0;
    for (int number = 0; number < 1024; number++)
        count += fcntl(number, F_GETFD) >= 0;
    return count;
}

static long resident(void) {
    long pages = 0, other;
    FILE *file = fopen("/proc/self/statm", "r");
    if (fscanf(file, "%ld %ld", &other, &pages) != 2)
        pages = 0;
    fclose(file);
    return pages * 4;
}

CASE(ten_thousand_targets, "PQONE_LOG=none",
     "10,000 distinct targets leave neither memory nor descriptors behind") {
    not_sanitized();
    int before = descriptors();
    long memory = 0;
    for (int i = 0; i < 10000; i++) {
        char words[200];
        snprintf(words, sizeof words, "port=1 application_name=n%d", i);
        PQfinish(bad_handle(words));
        if (i == 2000)
            memory = resident();
    }
    printf("descriptors %d -> %d, KiB %ld -> %ld\n", before, descriptors(), memory, resident());
    expect(descriptors() - before <= 4);
    expect(resident() - memory < 2000);
}

static void *storm(void *unused) {
    for (int i = 0; i < 20000; i++) {
        PGconn *handle = open_handle();
        if (i % 10 == 0)
            ask(handle, "SELECT 1");
        if (i % 1000 == 0)
            ask(handle, "SET my.own = 1");
        if (i % 500 == 0)
            ask(handle, "BEGIN");
        PQfreeCancel(PQgetCancel(handle));
        PQfinish(handle);
    }
    return unused;
}

CASE(storms, "PQONE_LOG=none",
     "two threads that open and finish leave neither memory nor descriptors behind") {
    if (!sharing())
        skip("takes too long without the shim");
    not_sanitized();
    pthread_t thread[2];
    long memory = 0;
    int open = 0;
    for (int round = 0; round < 3; round++) {
        for (int t = 0; t < 2; t++)
            pthread_create(&thread[t], NULL, storm, NULL);
        for (int t = 0; t < 2; t++)
            pthread_join(thread[t], NULL);
        if (round == 0) {
            memory = resident();
            open = descriptors();
        }
    }
    printf("KiB %ld -> %ld, %d -> %d\n", memory, resident(), open, descriptors());
    expect(resident() - memory < 2000);
    expect(descriptors() <= open + 2);
}
