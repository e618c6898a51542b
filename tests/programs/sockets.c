/* sockets.c: what can be done with the number that PQsocket returns, and every way to wait for it. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATIENCE = 15000 }; /* milliseconds */

static int in_poll(int number) {
    struct pollfd one = {.fd = number, .events = POLLIN};
    return poll(&one, 1, PATIENCE) == 1 && one.revents & POLLIN;
}

static int in_select(int number) {
    fd_set set;
    struct timeval patience = {PATIENCE / 1000, 0};
    FD_ZERO(&set);
    FD_SET(number, &set);
    return select(number + 1, &set, NULL, NULL, &patience) == 1;
}

static int in_epoll(int number, uint32_t flags) {
    struct epoll_event event = {.events = EPOLLIN | flags, .data.fd = number};
    int loop = epoll_create1(EPOLL_CLOEXEC);
    int result = epoll_ctl(loop, EPOLL_CTL_ADD, number, &event) == 0 &&
                 epoll_wait(loop, &event, 1, PATIENCE) == 1 && event.events & EPOLLIN;
    close(loop);
    return result;
}

static int in_epoll_level(int number) {
    return in_epoll(number, 0);
}
static int in_epoll_edge(int number) {
    return in_epoll(number, EPOLLET);
}
static int in_epoll_one_shot(int number) {
    return in_epoll(number, EPOLLONESHOT);
}
static int in_epoll_exclusive(int number) {
    return in_epoll(number, EPOLLEXCLUSIVE);
}

/* Past libc, so that nobody can have taken part. */
static int in_raw_epoll(int number) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = number};
    int loop = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);
    int result = syscall(SYS_epoll_ctl, loop, EPOLL_CTL_ADD, number, &event) == 0 &&
                 syscall(SYS_epoll_pwait, loop, &event, 1, PATIENCE, NULL, 8) == 1;
    syscall(SYS_close, loop);
    return result;
}

static int in_poll_of_a_copy(int number) {
    int copy = dup(number), result = in_poll(copy);
    close(copy);
    return result;
}

struct waiter {
    pthread_t thread;
    int (*wait)(int number);
    int number, result;
    atomic_int id;
    atomic_bool over;
};

static void *wait_in_thread(void *argument) {
    struct waiter *waiter = argument;
    waiter->id = (int)syscall(SYS_gettid);
    waiter->result = waiter->wait(waiter->number);
    waiter->over = true;
    return NULL;
}

static bool is_blocked(int thread) {
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
    FILE *file = thread ? fopen(path, "re") : NULL;
    bool blocked = file && fgets(text, sizeof text, file) && strncmp(text, "running", 7) != 0;
    if (file)
        fclose(file);
    return blocked;
}

/* Returns when the thread is blocked in its wait, or the wait is over already. */
static void start_waiting(struct waiter *waiter, int (*wait)(int number), PGconn *handle) {
    *waiter = (struct waiter){.wait = wait, .number = PQsocket(handle), .result = -1};
    expect(waiter->number >= 0);
    expect_number(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter), 0);
    double deadline = seconds_now() + 10;
    while (!waiter->over && !is_blocked(waiter->id) && seconds_now() < deadline)
        usleep(50);
}

static void expect_woken(struct waiter *waiter) {
    pthread_join(waiter->thread, NULL);
    expect_number(waiter->result, 1);
}

/* The thread waits before the query is sent: the lease comes while it is blocked. */
static void wait_idle(PGconn *handle, int (*wait)(int number), int round) {
    struct waiter waiter;
    char sql[64], wanted[32];
    snprintf(wanted, sizeof wanted, "idle %d", round);
    snprintf(sql, sizeof sql, "SELECT '%s'", wanted);
    start_waiting(&waiter, wait, handle);
    send_query(handle, sql);
    expect_number(PQflush(handle), 0);
    expect_woken(&waiter);
    wait_while_busy(handle);
    only_reply(handle, wanted);
}

/* The query waits for the neighbour's connection, and the thread for the query. */
static void wait_queued(PGconn *handle, PGconn *neighbour, int (*wait)(int number), int round) {
    struct waiter waiter;
    char sql[64], wanted[32];
    snprintf(wanted, sizeof wanted, "queued %d", round);
    snprintf(sql, sizeof sql, "SELECT '%s'", wanted);
    send_query(neighbour, "SELECT 'neighbour'");
    send_query(handle, sql);
    start_waiting(&waiter, wait, handle);
    expect(!sharing() || !waiter.over);
    only_reply(neighbour, "neighbour");
    expect_woken(&waiter);
    wait_while_busy(handle);
    only_reply(handle, wanted);
}

static void wait_blocked(int (*wait)(int number)) {
    PGconn *handle = open_handle(), *neighbour = open_handle();
    expect_number(PQsetnonblocking(handle, 1), 0);
    for (int round = 0; round < 180; round++) {
        if (round % 2)
            wait_queued(handle, neighbour, wait, round);
        else
            wait_idle(handle, wait, round);
        expect(!is_ready(handle, POLLIN, 0));
    }
    expect_backends(2, 1);
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(blocked_in_poll, "PQONE_MAX_CONNECTIONS=1",
     "a thread blocked in poll is woken when the lease comes, idle and queued, 180 times") {
    wait_blocked(in_poll);
}
CASE(blocked_in_select, "PQONE_MAX_CONNECTIONS=1", "the same in select") {
    wait_blocked(in_select);
}
CASE(blocked_in_epoll_level, "PQONE_MAX_CONNECTIONS=1", "the same in epoll_wait, level-triggered") {
    wait_blocked(in_epoll_level);
}
CASE(blocked_in_epoll_edge, "PQONE_MAX_CONNECTIONS=1", "the same in epoll_wait, edge-triggered") {
    wait_blocked(in_epoll_edge);
}
CASE(blocked_in_epoll_one_shot, "PQONE_MAX_CONNECTIONS=1", "the same in epoll_wait, one-shot") {
    wait_blocked(in_epoll_one_shot);
}
CASE(blocked_in_epoll_exclusive, "PQONE_MAX_CONNECTIONS=1", "the same in epoll_wait, exclusive") {
    wait_blocked(in_epoll_exclusive);
}
CASE(blocked_in_raw_calls, "PQONE_MAX_CONNECTIONS=1", "the same in epoll by raw system calls") {
    wait_blocked(in_raw_epoll);
}
CASE(blocked_on_a_copy, "PQONE_MAX_CONNECTIONS=1", "the same on a copy of the number") {
    wait_blocked(in_poll_of_a_copy);
}

/* As little of io_uring as a wait for a number needs. */
struct ring {
    int number;
    char *queue;
    struct io_uring_sqe *entries;
    struct io_uring_params layout;
};

static bool ring_open(struct ring *ring) {
    memset(ring, 0, sizeof *ring);
    ring->number = (int)syscall(SYS_io_uring_setup, 4, &ring->layout);
    if (ring->number < 0 || !(ring->layout.features & IORING_FEAT_SINGLE_MMAP))
        return false;
    size_t submit = ring->layout.sq_off.array + ring->layout.sq_entries * sizeof(unsigned);
    size_t done = ring->layout.cq_off.cqes + ring->layout.cq_entries * sizeof(struct io_uring_cqe);
    ring->queue = mmap(NULL, submit > done ? submit : done, PROT_READ | PROT_WRITE, MAP_SHARED, ring->number,
                       IORING_OFF_SQ_RING);
    ring->entries = mmap(NULL, ring->layout.sq_entries * sizeof *ring->entries, PROT_READ | PROT_WRITE,
                         MAP_SHARED, ring->number, IORING_OFF_SQES);
    return ring->queue != MAP_FAILED && ring->entries != MAP_FAILED;
}

static _Atomic unsigned *ring_word(const struct ring *ring, unsigned offset) {
    return (_Atomic unsigned *)(ring->queue + offset);
}

static void ring_watch(struct ring *ring, int number) {
    unsigned tail = *ring_word(ring, ring->layout.sq_off.tail);
    unsigned place = tail & *ring_word(ring, ring->layout.sq_off.ring_mask);
    ring->entries[place] = (struct io_uring_sqe){
        .opcode = IORING_OP_POLL_ADD, .fd = number, .poll32_events = POLLIN, .user_data = 1};
    ring_word(ring, ring->layout.sq_off.array)[place] = place;
    *ring_word(ring, ring->layout.sq_off.tail) = tail + 1;
    expect_number(syscall(SYS_io_uring_enter, ring->number, 1, 0, 0, NULL, 0), 1);
}

/* The events that the watch ended with. */
static int ring_wait(struct ring *ring) {
    unsigned head = *ring_word(ring, ring->layout.cq_off.head);
    while (*ring_word(ring, ring->layout.cq_off.tail) == head)
        syscall(SYS_io_uring_enter, ring->number, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    struct io_uring_cqe *done = (struct io_uring_cqe *)(ring->queue + ring->layout.cq_off.cqes);
    int events = done[head & *ring_word(ring, ring->layout.cq_off.ring_mask)].res;
    *ring_word(ring, ring->layout.cq_off.head) = head + 1;
    return events;
}

CASE(io_uring, "PQONE_MAX_CONNECTIONS=1", "a watch by io_uring ends when there is something to read") {
    struct ring ring;
    if (!ring_open(&ring)) {
        char reason[128];
        snprintf(reason, sizeof reason, "no io_uring here: %s", strerror(errno));
        skip(reason);
    }
    PGconn *handle = open_handle(), *neighbour = open_handle();
    for (int round = 0; round < 100; round++) {
        if (round % 2) {
            send_query(neighbour, "SELECT 'neighbour'");
            send_query(handle, "SELECT 'ring'");
            ring_watch(&ring, PQsocket(handle));
            only_reply(neighbour, "neighbour");
        } else {
            ring_watch(&ring, PQsocket(handle));
            send_query(handle, "SELECT 'ring'");
        }
        expect(ring_wait(&ring) & POLLIN);
        wait_while_busy(handle);
        only_reply(handle, "ring");
    }
    expect_backends(2, 1);
    close(ring.number);
    PQfinish(handle);
    PQfinish(neighbour);
}

CASE(properties, "", "the number is a connected stream socket, non-blocking, closed on exec, without error") {
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    for (int held = 0; held < 2; held++) {
        struct stat status;
        int number = PQsocket(handle), type = -1, error = -1;
        socklen_t length = sizeof type;
        expect_number(fstat(number, &status), 0);
        expect(S_ISSOCK(status.st_mode));
        expect_number(getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &length), 0);
        expect_number(type, SOCK_STREAM);
        expect_number(getsockopt(number, SOL_SOCKET, SO_ERROR, &error, &length), 0);
        expect_number(error, 0);
        expect(fcntl(number, F_GETFL) & O_NONBLOCK);
        expect(fcntl(number, F_GETFD) & FD_CLOEXEC);
        expect(is_ready(handle, POLLOUT, 0));
        expect(!is_ready(handle, POLLIN, 0));
        ask(handle, held ? "COMMIT" : "BEGIN");
    }
    PQfinish(handle);
}

/* As the manual says: before the first PQconnectPoll for writing, then for what it last returned. The number
 * may be another after each. */
static PGconn *connect_by_poll(const char *conninfo, int *first_number) {
    PGconn *handle = PQconnectStart(conninfo);
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    *first_number = PQsocket(handle);
    while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
        expect(is_ready(handle, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, PATIENCE));
        next = PQconnectPoll(handle);
    }
    return handle;
}

CASE(connecting, "",
     "the number stays while PQconnectPoll connects, and its waits are as the manual has them") {
    int numbers[3];
    PGconn *handles[3];
    for (int i = 0; i < 3; i++) {
        handles[i] = connect_by_poll(tcp_conninfo("app", "app"), &numbers[i]);
        expect_number(PQstatus(handles[i]), CONNECTION_OK);
        if (sharing())
            expect_number(PQsocket(handles[i]), numbers[i]);
        for (int j = 0; j < i; j++)
            expect(PQsocket(handles[i]) != PQsocket(handles[j]));
        send_query(handles[i], "SELECT 'connected'");
        expect(is_ready(handles[i], POLLIN, PATIENCE));
        only_reply(handles[i], "connected");
    }
    for (int i = 0; i < 3; i++)
        PQfinish(handles[i]);
}

CASE(second_address, "",
     "PQconnectPoll goes on to the next address, with a socket of its own, and still wakes") {
    char conninfo[512];
    int number;
    snprintf(conninfo, sizeof conninfo,
             "host=127.0.0.1,127.0.0.1 port=1,%s dbname=shop user=app password=app application_name=%s",
             getenv("PGPORT"), getenv("PGAPPNAME"));
    for (int i = 0; i < 3; i++) {
        PGconn *handle = connect_by_poll(conninfo, &number);
        expect_number(PQstatus(handle), CONNECTION_OK);
        send_query(handle, "SELECT 'second'");
        expect(is_ready(handle, POLLIN, PATIENCE));
        only_reply(handle, "second");
        PQfinish(handle);
    }
}

CASE(refused_connect, "",
     "PQconnectPoll that fails wakes its wait; a handle that never had a socket has no number") {
    int number;
    PGconn *handle = connect_by_poll("host=127.0.0.1 port=1 dbname=shop user=app", &number);
    expect_number(PQstatus(handle), CONNECTION_BAD);
    PQfinish(handle);
    handle = PQconnectdb("host=/nowhere dbname=shop user=app");
    expect_number(PQsocket(handle), -1);
    PQfinish(handle);
}

CASE(different_numbers, "", "twenty handles have twenty numbers, for life") {
    PGconn *handles[20];
    int numbers[20];
    for (int i = 0; i < 20; i++) {
        handles[i] = open_handle();
        numbers[i] = PQsocket(handles[i]);
        for (int j = 0; j < i; j++)
            expect(numbers[i] != numbers[j]);
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 20; i++) {
            ask(handles[i], round == 1 ? "BEGIN; SELECT 1" : "SELECT 1");
            expect_number(PQsocket(handles[i]), numbers[i]);
            if (round == 1)
                ask(handles[i], "COMMIT");
        }
    expect_backends(20, 1);
    for (int i = 0; i < 20; i++)
        PQfinish(handles[i]);
}

static void terminate(const char *state) {
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '%s' "
             "AND state = '%s'",
             getenv("PGAPPNAME"), state);
    expect_text(control(sql), "1");
}

/* What libpq says when it finds out: then the number is gone. */
static void expect_gone(PGconn *handle) {
    for (int i = 0; i < 10 && PQstatus(handle) == CONNECTION_OK; i++) {
        expect(is_ready(handle, POLLIN, PATIENCE));
        PQconsumeInput(handle);
        PQisBusy(handle);
    }
    expect_number(PQstatus(handle), CONNECTION_BAD);
    expect_number(PQsocket(handle), -1);
}

CASE(terminated, "", "the server's end of a session wakes who waits, in a query and in a transaction") {
    int (*const waits[])(int) = {in_poll, in_select, in_epoll_level, in_epoll_edge, in_epoll_one_shot};
    for (size_t i = 0; i < 2 * sizeof waits / sizeof *waits; i++) {
        struct waiter waiter;
        PGconn *handle = open_handle();
        if (i % 2)
            ask(handle, "BEGIN");
        else
            send_query(handle, "SELECT pg_sleep(60)");
        expect(i % 2 || !is_ready(handle, POLLIN, 0));
        if (i % 2 == 0)
            expect_running("pg_sleep");
        start_waiting(&waiter, waits[i / 2], handle);
        expect(!waiter.over);
        terminate(i % 2 ? "idle in transaction" : "active");
        expect_woken(&waiter);
        expect_gone(handle);
        PQfinish(handle);
    }
}

CASE(notified, "", "a NOTIFY wakes the listening handle's wait, and no other") {
    int (*const waits[])(int) = {in_poll, in_select, in_epoll_level, in_epoll_edge, in_epoll_one_shot};
    PGconn *listener = open_handle(), *other = open_handle(), *speaker = open_handle();
    expect(PQsocket(other) >= 0 && PQsocket(speaker) >= 0);
    ask(listener, "LISTEN shop");
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct waiter waiter;
        start_waiting(&waiter, waits[i], listener);
        expect(!waiter.over);
        ask(speaker, "NOTIFY shop, 'open'");
        expect_woken(&waiter);
        expect_number(PQconsumeInput(listener), 1);
        PGnotify *notify = PQnotifies(listener);
        expect(notify != NULL);
        expect_text(notify->extra, "open");
        PQfreemem(notify);
        expect(PQnotifies(listener) == NULL);
        expect(!is_ready(listener, POLLIN, 0));
        expect(!is_ready(other, POLLIN, 20));
    }
    expect_backends(3, 2);
    PQfinish(listener);
    PQfinish(other);
    PQfinish(speaker);
}

/* What a child may do to the handles that it inherited. */
static void use_in_child(PGconn *used, PGconn *finished) {
    if (!sharing())
        _exit(0);
    int number = PQsocket(used);
    expect(number >= 0);
    for (int i = 0; i < 5; i++) {
        send_query(used, "SELECT 'child'");
        expect(is_ready(used, POLLIN, PATIENCE));
        only_reply(used, "child");
        expect_number(PQsocket(used), number);
        expect(!is_ready(used, POLLIN, 0));
    }
    PQfinish(finished);
    PQfinish(used);
    exit(0);
}

CASE(forked, "",
     "what a child does with inherited handles wakes nobody in its parent, and takes no wake-up away") {
    PGconn *handles[] = {open_handle(), open_handle()};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    int loop = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        event.data.fd = i;
        expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(handles[i]), &event), 0);
        send_query(handles[i], "SELECT 'before'");
        expect(is_ready(handles[i], POLLIN, PATIENCE));
        only_reply(handles[i], "before");
    }
    while (epoll_wait(loop, &event, 1, 50) > 0)
        ;
    for (int round = 0; round < 6; round++) {
        /* In every second round an answer is on its way to the parent, or there already. */
        if (round % 2)
            send_query(handles[0], round == 1 ? "SELECT 'parent'" : "SELECT pg_sleep(0.2)");
        if (round == 1)
            expect(is_ready(handles[0], POLLIN, PATIENCE));
        int child = fork();
        if (child == 0)
            use_in_child(handles[round / 2 % 2], handles[1 - round / 2 % 2]);
        if (round % 2 == 0) {
            expect_number(epoll_wait(loop, &event, 1, 200), 0);
        } else {
            expect_number(epoll_wait(loop, &event, 1, PATIENCE), 1);
            expect_number(event.data.fd, 0);
            expect(is_ready(handles[0], POLLIN, PATIENCE));
            wait_while_busy(handles[0]);
            only_reply(handles[0], round == 1 ? "parent" : "");
            while (epoll_wait(loop, &event, 1, 50) > 0)
                expect_number(event.data.fd, 0);
        }
        expect_number(child_status(child), 0);
    }
    for (int i = 0; i < 2; i++) {
        expect_text(ask(handles[i], "SELECT 'after'"), "after");
        PQfinish(handles[i]);
    }
    close(loop);
}

CASE(no_numbers_left, "", "a program that has no descriptor left still gets its number, and its answers") {
    PGconn *handle = open_handle();
    struct rlimit limit;
    ask(handle, "SELECT 1");
    expect_number(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(2);
    close(lowest);
    limit.rlim_cur = (rlim_t)lowest;
    expect_number(setrlimit(RLIMIT_NOFILE, &limit), 0);
    expect(PQsocket(handle) >= 0);
    for (int i = 0; i < 5; i++) {
        send_query(handle, "SELECT 'scarce'");
        expect(is_ready(handle, POLLIN, PATIENCE));
        wait_while_busy(handle);
        only_reply(handle, "scarce");
    }
    PQfinish(handle);
}

CASE(reset_by_poll, "",
     "PQresetStart and PQresetPoll: the waits are as the manual has them, the answers too") {
    PGconn *handle = open_handle();
    expect(PQsocket(handle) >= 0);
    for (int i = 0; i < 5; i++) {
        PostgresPollingStatusType next = PGRES_POLLING_WRITING;
        expect_number(PQresetStart(handle), 1);
        while (next != PGRES_POLLING_OK) {
            expect(is_ready(handle, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, PATIENCE));
            next = PQresetPoll(handle);
            expect(next != PGRES_POLLING_FAILED);
        }
        send_query(handle, "SELECT 'fresh'");
        expect(is_ready(handle, POLLIN, PATIENCE));
        wait_while_busy(handle);
        only_reply(handle, "fresh");
    }
    expect_backends(1, 1);
    PQfinish(handle);
}

static void on_nothing(int signal) {
    (void)signal;
}

CASE(interrupted, "", "a signal interrupts a wait as without us, and the next wait goes on") {
    struct sigaction action = {.sa_handler = on_nothing}; /* without SA_RESTART */
    PGconn *handle = open_handle();
    sigaction(SIGALRM, &action, NULL);
    for (int i = 0; i < 5; i++) {
        send_query(handle, "SELECT pg_sleep(0.15), 'slept'");
        struct pollfd one = {.fd = PQsocket(handle), .events = POLLIN};
        ualarm(30000, 0);
        expect_number(poll(&one, 1, PATIENCE), -1);
        expect_number(errno, EINTR);
        expect_number(poll(&one, 1, PATIENCE), 1);
        wait_while_busy(handle);
        PQclear(PQgetResult(handle));
        no_more(handle);
    }
    PQfinish(handle);
}
