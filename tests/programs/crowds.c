/* crowds.c: queued handles among threads, event loops of their own and forked processes. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void *open_for_another(void *slot) {
    *(PGconn **)slot = open_handle();
    return NULL;
}

static void *finish_for_another(void *handle) {
    PQfinish(handle);
    return NULL;
}

CASE(moves_between_threads, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=2",
     "handles connected in one thread, asked in a second, read in a third and finished in a fourth") {
    enum { HANDLES = 8 };
    PGconn *handles[HANDLES];
    pthread_t thread;
    char sql[64], wanted[32];
    for (int i = 0; i < HANDLES; i++) {
        pthread_create(&thread, NULL, open_for_another, &handles[i]);
        pthread_join(thread, NULL);
    }
    for (int round = 0; round < 5; round++) {
        struct answer answers[HANDLES];
        pthread_t threads[HANDLES];
        for (int i = 0; i < HANDLES; i++) {
            snprintf(sql, sizeof sql, "SELECT 'h%d-%d'", i, round);
            send_query(handles[i], sql);
        }
        for (int i = 0; i < HANDLES; i++) {
            answers[i] = (struct answer){.handle = handles[i]};
            pthread_create(&threads[i], NULL, answer_in_thread, &answers[i]);
        }
        for (int i = 0; i < HANDLES; i++) {
            pthread_join(threads[i], NULL);
            snprintf(wanted, sizeof wanted, "h%d-%d", i, round);
            expect_text(answers[i].value, wanted);
        }
    }
    expect_backends(HANDLES, 2);
    for (int i = 0; i < HANDLES; i++) {
        pthread_create(&thread, NULL, finish_for_another, handles[i]);
        pthread_join(thread, NULL);
    }
}

enum { WORKERS = 4, EACH = 8, QUERIES = 25 };

struct asker {
    PGconn *handle;
    int number, asked, answered;
};

static void ask_next(struct asker *one) {
    char value[32];
    snprintf(value, sizeof value, "h%d-q%d", one->number, one->asked++);
    send_with(one->handle, "SELECT $1", value);
    while (PQflush(one->handle) == 1)
        sleep_ms(1);
}

static void take_answer(struct asker *one) {
    char wanted[32];
    expect_number(PQconsumeInput(one->handle), 1);
    if (PQisBusy(one->handle))
        return;
    snprintf(wanted, sizeof wanted, "h%d-q%d", one->number, one->answered++);
    only_reply(one->handle, wanted);
    if (one->asked < QUERIES)
        ask_next(one);
}

/* An event loop of its own, as a worker of a server has. */
static void *worker(void *first_number) {
    struct asker askers[EACH];
    int loop = epoll_create1(EPOLL_CLOEXEC), left = EACH;
    for (int i = 0; i < EACH; i++) {
        askers[i] = (struct asker){.handle = open_handle(), .number = (int)(size_t)first_number + i};
        expect_number(PQsetnonblocking(askers[i].handle, 1), 0);
        struct epoll_event watch = {.events = EPOLLIN, .data.ptr = &askers[i]};
        expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(askers[i].handle), &watch), 0);
        ask_next(&askers[i]);
    }
    while (left > 0) {
        struct epoll_event events[EACH];
        int count = epoll_wait(loop, events, EACH, 15000);
        expect(count > 0);
        for (int i = 0; i < count; i++) {
            struct asker *one = events[i].data.ptr;
            take_answer(one);
            if (one->answered == QUERIES) {
                epoll_ctl(loop, EPOLL_CTL_DEL, PQsocket(one->handle), NULL);
                PQfinish(one->handle);
                one->answered++;
                left--;
            }
        }
    }
    close(loop);
    return NULL;
}

CASE(worker_loops, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3",
     "four threads with an event loop of eight handles each get all answers on three connections") {
    pthread_t threads[WORKERS];
    PGconn *stays = open_handle();
    for (size_t i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, worker, (void *)(i * EACH));
    if (sharing())
        for (int look = 0; look < 5; look++)
            expect(backends() <= 3);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    expect_text(ask(stays, "SELECT 'stays'"), "stays");
    if (sharing()) {
        expect(backends() <= 3);
        expect_number(log_lines("over PQONE_MAX_CONNECTIONS", NULL), 0);
    }
    PQfinish(stays);
}

enum { LEFT = 6 };
static PGconn *left[LEFT];

static void *queue_and_go(void *unused) {
    char sql[64];
    for (int i = 0; i < LEFT; i++) {
        left[i] = open_handle();
        snprintf(sql, sizeof sql, "SELECT 'left %d' FROM pg_sleep(0.02)", i);
        send_query(left[i], sql);
    }
    return unused;
}

CASE(thread_ends, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a thread that ends with a query under way and others queued: another thread gets all the answers") {
    pthread_t thread;
    char wanted[32];
    pthread_create(&thread, NULL, queue_and_go, NULL);
    pthread_join(thread, NULL);
    for (int i = 0; i < LEFT; i++) {
        wait_while_busy(left[i]);
        snprintf(wanted, sizeof wanted, "left %d", i);
        only_reply(left[i], wanted);
    }
    expect_backends(LEFT, 1);
    for (int i = 0; i < LEFT; i++)
        PQfinish(left[i]);
}

static void *ask_and_go(void *handle) {
    send_query(handle, "SELECT 'never read'");
    return NULL;
}

CASE(thread_ends_unread, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a thread that ends with an answer nobody reads keeps no other handle waiting for ever") {
    PGconn *first = open_handle(), *second = open_handle();
    pthread_t thread;
    pthread_create(&thread, NULL, ask_and_go, first);
    pthread_join(thread, NULL);
    double start = seconds_now();
    send_query(second, "SELECT 'goes on'");
    wait_while_busy(second);
    only_reply(second, "goes on");
    expect_text(ask(second, "SELECT 'and on'"), "and on");
    expect(seconds_now() - start < 3);
    PQfinish(second);
    only_reply(first, "never read");
    PQfinish(first);
}

static void *exec_later(void *answer) {
    sleep_ms(strchr(((struct answer *)answer)->sql, '1') ? 60 : 180);
    return answer_in_thread(answer);
}

CASE(both_kinds, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "calls that block and queries that are queued are served in the order in which they came") {
    control(
        "DROP TABLE IF EXISTS journal; CREATE TABLE journal (names text); INSERT INTO journal VALUES ('');"
        "GRANT ALL ON journal TO PUBLIC");
    PGconn *posted[2] = {open_handle(), open_handle()};
    struct answer answers[] = {{.handle = open_handle(), .sql = "SELECT pg_sleep(0.5)"},
                               {.handle = open_handle(), .sql = "UPDATE journal SET names = names || '1'"},
                               {.handle = open_handle(), .sql = "UPDATE journal SET names = names || '3'"}};
    pthread_t threads[3];
    ask(answers[0].handle, "SELECT 1");
    pthread_create(&threads[0], NULL, answer_in_thread, &answers[0]);
    expect_running("pg_sleep");
    pthread_create(&threads[1], NULL, exec_later, &answers[1]);
    pthread_create(&threads[2], NULL, exec_later, &answers[2]);
    sleep_ms(120);
    send_query(posted[0], "UPDATE journal SET names = names || '2'");
    sleep_ms(120);
    send_query(posted[1], "UPDATE journal SET names = names || '4'");
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        expect_text(answers[i].state, "");
        PQfinish(answers[i].handle);
        if (i == 0)
            continue; /* what the third thread waits for is to be read here, before it can end */
        wait_while_busy(posted[i - 1]);
        only_reply(posted[i - 1], "UPDATE 1");
        PQfinish(posted[i - 1]);
    }
    const char *order = control("SELECT names FROM journal");
    expect_number((int)strlen(order), 4);
    if (sharing())
        expect_text(order, "1234");
}

CASE(forked, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a fork with queued handles: the child finishes them and uses idle ones, the parent gets its answers") {
    PGconn *first = open_handle(), *queued[3], *idle = open_handle();
    char sql[64], wanted[32];
    for (int i = 0; i < 3; i++)
        queued[i] = open_handle();
    for (int round = 0; round < 3; round++) {
        send_query(first, "SELECT pg_sleep(0.1)");
        for (int i = 0; i < 3; i++) {
            snprintf(sql, sizeof sql, "SELECT 'parent %d'", i);
            send_query(queued[i], sql);
        }
        int child = fork();
        if (child == 0) {
            PGconn *own = open_handle();
            send_query(own, "SELECT 'child'");
            wait_while_busy(own);
            only_reply(own, "child");
            PQfinish(own);
            if (!sharing())
                _exit(0);
            send_query(idle, "SELECT 'inherited'");
            wait_while_busy(idle);
            only_reply(idle, "inherited");
            for (int i = 0; i < 3; i++)
                PQfinish(queued[i]);
            PQfinish(idle);
            exit(0);
        }
        expect_number(child_status(child), 0);
        wait_while_busy(first);
        expect_text(drain(first), "");
        for (int i = 0; i < 3; i++) {
            wait_while_busy(queued[i]);
            snprintf(wanted, sizeof wanted, "parent %d", i);
            only_reply(queued[i], wanted);
        }
        expect_text(ask(idle, "SELECT 'still here'"), "still here");
    }
    /* On a slow machine the parent waits for its child so long that its answers have been unread for a while.
     */
    if (log_lines("over PQONE_MAX_CONNECTIONS", NULL) == 0)
        expect_backends(5, 1);
    PQfinish(first);
    PQfinish(idle);
    for (int i = 0; i < 3; i++)
        PQfinish(queued[i]);
}

CASE(exit_while_queued, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "exit() with queries queued ends at once, with its status") {
    for (int round = 0; round < 3; round++) {
        int child = fork();
        if (child == 0) {
            PGconn *first = open_handle();
            send_query(first, "SELECT pg_sleep(0.2)");
            for (int i = 0; i < 5; i++) {
                PGconn *queued = open_handle();
                expect(PQsocket(queued) >= 0);
                send_query(queued, "SELECT 1");
            }
            exit(3);
        }
        double start = seconds_now();
        expect_number(child_status(child), 3);
        expect(seconds_now() - start < 2);
    }
}

CASE(exit_while_growing, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=8",
     "exit() in any moment of a connect that queries wait for ends at once, with its status") {
    const char *conninfo = tcp_conninfo("app", "app"); /* with SCRAM, and a look for TLS and Kerberos */
    for (int round = 0; round < 12; round++) {
        int child = fork();
        if (child == 0) {
            for (int i = 0; i < 8; i++) {
                PGconn *handle = PQconnectdb(conninfo);
                expect(PQsocket(handle) >= 0);
                send_query(handle, "SELECT pg_sleep(0.2)");
            }
            sleep_ms(2 * round);
            exit(3);
        }
        double start = seconds_now();
        expect_number(child_status(child), 3);
        expect(seconds_now() - start < 2);
    }
}
