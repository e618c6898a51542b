/* forks.c: parent and children never hurt one another's sessions. */
#include "case/case.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch/ledger.h"

static void backend_pids(char *into, size_t size) {
    char sql[256];
    snprintf(
        sql, sizeof sql,
        "SELECT string_agg(pid::text, ',' ORDER BY pid) FROM pg_stat_activity WHERE application_name = '%s'",
        getenv("PGAPPNAME"));
    snprintf(into, size, "%s", control(sql));
}

/* A forked generation: uses what it inherited (with the shim), opens its own, and forks the next one. */
static void generation(int depth, PGconn *inherited) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "generation %d", depth);
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT '%s'", wanted);
    if (sharing())
        expect_text(ask(inherited, sql), wanted);
    PGconn *own = open_handle();
    expect_text(ask(own, sql), wanted);
    if (depth < 3) {
        int child = fork();
        if (child == 0) {
            generation(depth + 1, own);
            exit(0);
        }
        expect_number(child_status(child), 0);
    }
    expect_text(ask(own, sql), wanted);
    if (sharing()) {
        expect_text(ask(inherited, sql), wanted);
        PQfinish(inherited);
    }
    PQfinish(own);
}

CASE(three_generations, "",
     "a parent and three generations of children each use and finish inherited handles") {
    char before[64], after[64];
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 'parent'"), "parent");
    backend_pids(before, sizeof before);
    for (int i = 0; i < 3; i++) {
        int child = fork();
        if (child == 0) {
            generation(1, handle);
            exit(0);
        }
        expect_text(ask(handle, "SELECT 'parent'"), "parent");
        expect_number(child_status(child), 0);
        expect_text(ask(handle, "SELECT 'parent'"), "parent");
    }
    expect_backends(1, 1);
    backend_pids(after, sizeof after);
    expect_text(after, before);
    PQfinish(handle);
}

CASE(prefork, "", "twenty children that only inherit open nothing and end nothing") {
    int children[20];
    PGconn *handle = open_handle();
    ask(handle, "CREATE TEMP TABLE basket (n int)");
    for (int i = 0; i < 20; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            sleep_ms(300);
            if (sharing())
                exit(0);
            _exit(0);
        }
    }
    sleep_ms(100);
    expect_number(backends(), 1);
    for (int i = 0; i < 20; i++)
        expect_number(child_status(children[i]), 0);
    expect_text(ask(handle, "SELECT count(*) FROM basket"), "0");
    PQfinish(handle);
}

CASE(child_finishes, "",
     "PQfinish and exit in the child leave the parent's session, with its temporary table, alive") {
    PGconn *handle = open_handle(), *plain = open_handle();
    ask(handle, "CREATE TEMP TABLE basket AS SELECT 42 AS n");
    int child = fork();
    if (child == 0) {
        if (!sharing())
            _exit(0);
        PQfinish(handle);
        PQfinish(plain);
        exit(0);
    }
    expect_number(child_status(child), 0);
    sleep_ms(100);
    expect_text(ask(handle, "SELECT n FROM basket"), "42");
    expect_text(ask(plain, "SELECT 1"), "1");
    PQfinish(handle);
    PQfinish(plain);
}

CASE(child_is_killed, "", "a child killed in its own query leaves the parent's session alive") {
    PGconn *handle = open_handle();
    ask(handle, "BEGIN");
    int child = fork();
    if (child == 0) {
        PGconn *own = open_handle();
        ask(own, "SELECT 1");
        raise(SIGKILL);
    }
    expect_number(child_status(child), 128 + SIGKILL);
    expect_text(ask(handle, "SELECT 1"), "1");
    ask(handle, "COMMIT");
    PQfinish(handle);
}

CASE(taken_over, "",
     "a handle in a transaction is taken over by the child: its COMMIT is the parent's INSERT") {
    control("DROP TABLE IF EXISTS gift; CREATE TABLE gift (n int); GRANT ALL ON gift TO PUBLIC");
    PGconn *handle = open_handle();
    ask(handle, "BEGIN; INSERT INTO gift VALUES (1)");
    int child = fork();
    if (child == 0) {
        ask(handle, "INSERT INTO gift VALUES (2)");
        ask(handle, "COMMIT");
        PQfinish(handle);
        _exit(0);
    }
    expect_number(child_status(child), 0);
    expect_text(control("SELECT count(*) FROM gift"), "2");
    PGconn *later = open_handle();
    expect_text(ask(later, "SELECT sum(n) FROM gift"), "3");
    PQfinish(later);
}

/* Opens, makes a session worth keeping, and leaves it to a child: what daemon() after connect does. */
static void become_daemon(int report) {
    PGconn *handle = open_handle();
    ask(handle, "CREATE TEMP TABLE basket AS SELECT 42 AS n");
    int parent = getpid(), child = fork();
    if (child != 0)
        exit(child > 0 ? 0 : 1);
    for (int tries = 0; tries < 500 && getppid() == parent; tries++)
        sleep_ms(10);
    sleep_ms(100);
    PGresult *result = PQexec(handle, "SELECT n FROM basket");
    const char *answer = PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : PQerrorMessage(handle);
    dprintf(report, "%s", answer);
    PQclear(result);
    PQfinish(handle);
    _exit(0);
}

CASE(parent_leaves, "", "the parent's exit does not end a session that its child lives on") {
    int pipes[2];
    char answer[512] = "";
    expect_number(pipe(pipes), 0);
    int child = fork();
    if (child == 0) {
        close(pipes[0]);
        become_daemon(pipes[1]);
    }
    close(pipes[1]);
    expect_number(child_status(child), 0);
    ssize_t length = read(pipes[0], answer, sizeof answer - 1);
    answer[length > 0 ? length : 0] = '\0';
    expect_text(answer, "42");
}

CASE(spawned, "",
     "system(), which uses no fork handlers, and an exec'ed psql leave the parent's session alone") {
    PGconn *handle = open_handle();
    ask(handle, "BEGIN");
    /* A sanitizer's runtime has no business in programs that were not built for it. */
    if (getenv("PQONE_TEST_RUNTIME"))
        unsetenv("LD_PRELOAD");
    for (int i = 0; i < 5; i++)
        expect_number(system("psql -XAtqc 'SELECT 1' >/dev/null"), 0);
    expect_text(ask(handle, "SELECT 1"), "1");
    ask(handle, "COMMIT");
    PQfinish(handle);
}

static atomic_bool stop;
static void *query_on(void *unused) {
    PGconn *handle = open_handle();
    while (!stop)
        expect_text(ask(handle, "SELECT 'thread'"), "thread");
    PQfinish(handle);
    return unused;
}

CASE(threads_and_forks, "", "forks while threads are inside calls: the children work, the threads go on") {
    pthread_t threads[4];
    if (getenv("PQONE_TEST_RUNTIME"))
        skip("the sanitizer's own allocator does not survive a fork with threads");
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, query_on, NULL);
    for (int i = 0; i < 20; i++) {
        int child = fork();
        if (child == 0) {
            PGconn *own = PQconnectdb("dbname=shop user=app");
            PGresult *result = PQexec(own, "SELECT 'child'");
            int status = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "child") == 0 ? 0 : 9;
            PQclear(result);
            PQfinish(own);
            _exit(status);
        }
        expect_number(child_status(child), 0);
    }
    stop = 1;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

/* One that does nothing and is gone: what system() and every daemon's helper leave behind. */
static void fork_in_passing(void) {
    int child = fork();
    if (child == 0)
        _exit(0);
    expect_number(child_status(child), 0);
}

static void poll_on(PGconn *handle, PostgresPollingStatusType *state) {
    struct pollfd wait = {.fd = PQsocket(handle),
                          .events = *state == PGRES_POLLING_READING ? POLLIN : POLLOUT};
    expect(wait.fd >= 0);
    expect(poll(&wait, 1, 5000) > 0);
    *state = PQconnectPoll(handle);
}

CASE(fork_in_connect, "",
     "a fork between PQconnectStart and PQconnectPoll: the parent's socket stays, and only the parent drives "
     "it") {
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    PGconn *handle = PQconnectStart("dbname=shop user=app");
    int before = PQsocket(handle);
    expect(before >= 0);
    int child = fork();
    if (child == 0) {
        if (!sharing())
            _exit(0);
        for (int i = 0; i < 20; i++) {
            expect_number(PQconnectPoll(handle), PGRES_POLLING_FAILED);
            sleep_ms(2);
        }
        PQfinish(handle);
        exit(0);
    }
    sleep_ms(20);
    expect_number(PQsocket(handle), before);
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
        fork_in_passing();
        poll_on(handle, &state);
    }
    expect_number(state, PGRES_POLLING_OK);
    expect_number(child_status(child), 0);
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
}

CASE(failed_then_fork, "", "after a fork a handle that never connected says in the parent what libpq says") {
    PGconn *handle = PQconnectdb("host=/nonexistent dbname=shop");
    expect_part(PQerrorMessage(handle), "No such file or directory");
    fork_in_passing();
    expect_part(PQerrorMessage(handle), "No such file or directory");
    PGresult *result = PQexec(handle, "SELECT 1");
    expect(PQresultStatus(result) == PGRES_FATAL_ERROR || !result);
    PQclear(result);
    expect_text(PQerrorMessage(handle), "no connection to the server\n");
    PQreset(handle);
    expect_part(PQerrorMessage(handle), "No such file or directory");
    PQfinish(handle);
}

CASE(one_after_the_other, "", "a handle that the child used is the parent's again when the child is gone") {
    if (shimmed() && strcmp(getenv("PQONE_MODE"), "session") == 0)
        skip("in session mode a handle has its session to itself, and its use on both sides of a fork is "
             "misuse");
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    for (int i = 0; i < 2; i++) {
        int child = fork();
        if (child == 0) {
            expect_text(ask(handle, "SELECT 'child'"), "child");
            _exit(0);
        }
        expect_number(child_status(child), 0);
        expect_text(ask(handle, "SELECT 'parent'"), "parent");
    }
    PQfinish(handle);
}

CASE(idle_is_no_legacy, "PQONE_LINGER=1min",
     "what only lingers ends with the process that opened it, though a child lives on") {
    int pipes[2], sleeper = 0;
    expect_number(pipe(pipes), 0);
    int child = fork();
    if (child == 0) {
        PGconn *handle = open_handle();
        ask(handle, "SELECT 1");
        PQfinish(handle);
        int grandchild = fork();
        if (grandchild == 0) {
            sleep_ms(20000);
            _exit(0);
        }
        expect(write(pipes[1], &grandchild, sizeof grandchild) == sizeof grandchild);
        exit(0);
    }
    expect_number(child_status(child), 0);
    expect(read(pipes[0], &sleeper, sizeof sleeper) == sizeof sleeper);
    expect_number(kill(sleeper, 0), 0);
    int left = backends();
    for (int i = 0; i < 100 && left > 0; i++) {
        sleep_ms(20);
        left = backends();
    }
    kill(sleeper, SIGKILL);
    expect_number(left, 0);
}

/* This process's own ledger, as a reader has it; NULL: none. */
static bool read_ledger(struct ledger_header *header) {
    char prefix[32], path[1024];
    snprintf(prefix, sizeof prefix, "%d-", (int)getpid());
    const char *directory = getenv("PQONE_LEDGER_DIR");
    DIR *stream = directory ? opendir(directory) : NULL;
    bool found = false;
    for (struct dirent *entry; stream && !found && (entry = readdir(stream));) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        FILE *file = fopen(path, "r");
        found = file && fread(header, sizeof *header, 1, file) == 1;
        if (file)
            fclose(file);
    }
    if (stream)
        closedir(stream);
    return found;
}

static void expect_counters(unsigned alive, unsigned busy) {
    struct ledger_header header;
    if (!shimmed())
        return;
    expect(read_ledger(&header));
    const struct ledger_counters *counters = &header.counters;
    expect_number((long long)counters->handles_alive, alive);
    expect_number((long long)counters->busy, busy);
    expect((long long)counters->servers_alive >= 0 && counters->servers_alive < 10);
    expect(counters->handles_alive_peak < 10 && counters->busy_peak < 10 &&
           counters->servers_alive_peak < 10);
    expect(counters->handles_finished <= counters->handles_opened);
}

CASE(counters_after_fork, "",
     "a child's counters start at nothing, and inherited handles that it uses and finishes take nothing off "
     "them") {
    PGconn *plain = open_handle(), *used = open_handle(), *pinned = open_handle(), *inside = open_handle();
    PGconn *failed = PQconnectdb("host=/nonexistent dbname=shop");
    ask(pinned, "SET search_path = nowhere");
    ask(inside, "BEGIN");
    expect_counters(5, 1);
    int child = fork();
    if (child == 0) {
        if (sharing()) {
            ask(used, "SELECT 1");
            ask(inside, "ROLLBACK");
            PQfinish(plain);
            PQfinish(used);
            PQfinish(pinned);
            PQfinish(inside);
            PQfinish(failed);
        }
        PGconn *own = open_handle();
        ask(own, "SELECT 1");
        expect_counters(1, 0);
        PQfinish(own);
        expect_counters(0, 0);
        _exit(0);
    }
    expect_number(child_status(child), 0);
    PQfinish(plain);
    PQfinish(used);
    PQfinish(pinned);
    PQfinish(inside);
    PQfinish(failed);
    expect_counters(0, 0);
}
