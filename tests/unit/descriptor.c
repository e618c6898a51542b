/* descriptor.c: the number that PQsocket returns shows what a server's socket shows, to every kind of wait.
 */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sockets/numbers.h"
#include "sockets/relay.h"
#include "wire.h"

TestSuite(descriptor, .init = wires_begin, .timeout = 60);

Test(descriptor, is_as_libpqs_sockets_are) {
    struct stat status;
    int type, length = sizeof type;
    cr_expect_eq(fstat(number, &status), 0);
    cr_expect(S_ISSOCK(status.st_mode));
    cr_expect_eq(getsockopt(number, SOL_SOCKET, SO_TYPE, &type, (socklen_t *)&length), 0);
    cr_expect_eq(type, SOCK_STREAM);
    cr_expect(fcntl(number, F_GETFL) & O_NONBLOCK);
    cr_expect(fcntl(number, F_GETFD) & FD_CLOEXEC);
    cr_expect_not(becomes(number, POLLIN, 0));
    cr_expect(becomes(number, POLLOUT, 0));
    cr_expect_eq(numbers_handle(number), &handle);
    cr_expect(numbers_is_hidden(descriptor->peer));
    int peer = descriptor->peer;
    descriptor_free(descriptor);
    cr_expect_lt(fcntl(number, F_GETFD), 0);
    cr_expect_lt(fcntl(peer, F_GETFD), 0);
}

Test(descriptor, is_readable_when_the_server_says_something) {
    for (int i = 0; i < 100; i++) {
        follow(AWAIT_INPUT);
        cr_assert_not(becomes(number, POLLIN, i < 5 ? SHORT : 0));
        wire_say(&wire);
        cr_assert(becomes(number, POLLIN, LONG), "round %d", i);
        drain(wire.near);
        follow(AWAIT_INPUT);
        cr_assert_not(becomes(number, POLLIN, 0));
    }
}

Test(descriptor, stays_readable_while_something_is_left) {
    char one;
    follow(AWAIT_INPUT);
    for (int i = 0; i < 3; i++)
        wire_say(&wire);
    for (int i = 0; i < 3; i++) {
        cr_assert(becomes(number, POLLIN, LONG));
        cr_assert_eq(read(wire.near, &one, 1), 1);
        follow(AWAIT_INPUT);
    }
    cr_expect_not(becomes(number, POLLIN, SHORT));
}

Test(descriptor, is_readable_at_the_end_of_the_connection) {
    follow(AWAIT_INPUT);
    close(wire.far);
    cr_expect(becomes(number, POLLIN, LONG));
    close(wire.near);
    wire.near = -1; /* libpq found it */
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, SHORT));
    cr_expect_null(wire.server.descriptor);
}

Test(descriptor, is_writable_when_there_is_room) {
    for (int i = 0; i < 100; i++) {
        fill(wire.near);
        follow(AWAIT_ROOM);
        cr_assert_not(becomes(number, POLLOUT, i < 5 ? SHORT : 0));
        drain(wire.far);
        cr_assert(becomes(number, POLLOUT, LONG), "round %d", i);
    }
    fill(wire.near);
    follow(AWAIT_ROOM);
    cr_expect_not(becomes(number, POLLOUT, 0));
    follow(AWAIT_INPUT);
    cr_expect(becomes(number, POLLOUT, 0));
    follow(AWAIT_ROOM);
    cr_expect_not(becomes(number, POLLOUT, 0));
    descriptor_leave(descriptor);
    cr_expect(becomes(number, POLLOUT, 0));
}

Test(descriptor, tells_of_input_and_room_apart) {
    fill(wire.near);
    follow(AWAIT_ROOM);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    cr_expect_not(becomes(number, POLLOUT, SHORT));
    drain(wire.far);
    cr_expect(becomes(number, POLLOUT, LONG), "also while its input is not fetched");
    fill(wire.near);
    drain(wire.near);
    follow(AWAIT_ROOM);
    cr_expect_not(becomes(number, POLLIN | POLLOUT, SHORT));
    drain(wire.far);
    cr_expect(becomes(number, POLLOUT, LONG));
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
}

Test(descriptor, shows_an_edge_for_each_thing_new) {
    int epoll = epoll_on(number, EPOLLIN | EPOLLOUT | EPOLLET);
    cr_expect_eq(epoll_next(epoll, LONG), EPOLLOUT);
    for (int i = 0; i < 100; i++) {
        follow(AWAIT_INPUT);
        wire_say(&wire);
        wire_say(&wire);
        cr_assert(epoll_next(epoll, LONG) & EPOLLIN, "round %d", i);
        char one;
        cr_assert_eq(read(wire.near, &one, 1), 1);
        follow(AWAIT_INPUT);
        cr_assert(epoll_next(epoll, LONG) & EPOLLIN, "what is left, round %d", i);
        drain(wire.near);
        follow(AWAIT_INPUT);
        cr_assert_not(epoll_next(epoll, 0) & EPOLLIN);
    }
    fill(wire.near);
    follow(AWAIT_ROOM);
    while (epoll_next(epoll, 0))
        ;
    drain(wire.far);
    cr_expect(epoll_next(epoll, LONG) & EPOLLOUT);
    follow(AWAIT_ROOM); /* there was none a moment ago, when libpq tried, and there is by now */
    cr_expect(epoll_next(epoll, LONG) & EPOLLOUT);
}

static int waits_in_poll(int watched) {
    return becomes(watched, POLLIN, 2 * LONG);
}
static int waits_in_select(int watched) {
    fd_set set;
    struct timeval patience = {2 * LONG / 1000, 0};
    FD_ZERO(&set);
    FD_SET(watched, &set);
    return select(watched + 1, &set, NULL, NULL, &patience) == 1;
}
static int waits_in_epoll(int watched, uint32_t flags) {
    int epoll = epoll_on(watched, EPOLLIN | flags);
    uint32_t events = epoll_next(epoll, 2 * LONG);
    close(epoll);
    return (events & EPOLLIN) != 0;
}
static int waits_in_level(int watched) {
    return waits_in_epoll(watched, 0);
}
static int waits_in_edge(int watched) {
    return waits_in_epoll(watched, EPOLLET);
}
static int waits_in_one_shot(int watched) {
    return waits_in_epoll(watched, EPOLLONESHOT);
}
static int waits_in_exclusive(int watched) {
    return waits_in_epoll(watched, EPOLLEXCLUSIVE);
}

struct waiter {
    pthread_t thread;
    int (*wait)(int watched);
    int watched, result;
    _Atomic int id;
};

static void *wait_in_thread(void *argument) {
    struct waiter *waiter = argument;
    waiter->id = (int)syscall(SYS_gettid);
    waiter->result = waiter->wait(waiter->watched);
    return NULL;
}

/* Until the thread sleeps, which it does nowhere but in its wait. */
static void start_and_block(struct waiter *waiter) {
    waiter->id = 0;
    waiter->result = -1;
    cr_assert_eq(pthread_create(&waiter->thread, NULL, wait_in_thread, waiter), 0);
    for (int i = 0; i < LONG; i++) {
        char path[64], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%d/syscall", (int)waiter->id);
        FILE *file = waiter->id ? fopen(path, "r") : NULL;
        bool waits = file && fgets(text, sizeof text, file) && strncmp(text, "running", 7) != 0;
        if (file)
            fclose(file);
        if (waits)
            return;
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    cr_assert_fail("the thread does not wait");
}

/* A thread that was blocked in the wait before the lease came: idle, and waiting in a queue whose granter
 * sends, and one whose wait comes to nothing. */
static void blocked(int (*wait)(int watched)) {
    for (int i = 0; i < 180; i++) {
        struct waiter waiter = {.wait = wait, .watched = number};
        start_and_block(&waiter);
        if (i % 3 == 0) {
            follow(AWAIT_INPUT);
            wire_say(&wire);
        } else if (i % 3 == 1) {
            wire_say(&wire);
            follow(AWAIT_INPUT);
        } else {
            descriptor_signal(descriptor);
        }
        pthread_join(waiter.thread, NULL);
        cr_assert_eq(waiter.result, 1, "wait %d", i);
        drain(wire.near);
        if (i % 2)
            follow(AWAIT_INPUT);
        descriptor_leave(descriptor);
        cr_assert_not(becomes(number, POLLIN, 0));
    }
}

Test(descriptor, wakes_a_thread_in_poll) {
    blocked(waits_in_poll);
}
Test(descriptor, wakes_a_thread_in_select) {
    blocked(waits_in_select);
}
Test(descriptor, wakes_a_thread_in_epoll_level) {
    blocked(waits_in_level);
}
Test(descriptor, wakes_a_thread_in_epoll_edge) {
    blocked(waits_in_edge);
}
Test(descriptor, wakes_a_thread_in_epoll_one_shot) {
    blocked(waits_in_one_shot);
}
Test(descriptor, wakes_a_thread_in_epoll_exclusive) {
    blocked(waits_in_exclusive);
}

Test(descriptor, shows_nothing_once_it_left) {
    follow(AWAIT_INPUT);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    descriptor_leave(descriptor);
    cr_expect_not(becomes(number, POLLIN, SHORT));
    cr_expect_null(wire.server.descriptor);
    descriptor_follow(descriptor, &wire2.server, AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, SHORT));
    wire_say(&wire2);
    cr_expect(becomes(number, POLLIN, LONG));
    follow(AWAIT_INPUT); /* another connection without a word: what wire said is still there */
    cr_expect(becomes(number, POLLIN, LONG));
    cr_expect_null(wire2.server.descriptor);
}

Test(descriptor, another_follower_takes_over) {
    struct descriptor *other = descriptor_new(NULL);
    for (int i = 0; i < 100; i++) {
        struct descriptor *now = i % 2 ? other : descriptor, *idle = i % 2 ? descriptor : other;
        descriptor_follow(now, &wire.server, AWAIT_INPUT);
        wire_say(&wire);
        cr_assert(becomes(descriptor_number(now), POLLIN, LONG));
        cr_assert_not(becomes(descriptor_number(idle), POLLIN, 0));
        drain(wire.near);
        descriptor_leave(now);
    }
}

Test(descriptor, is_signalled_until_the_next_call) {
    descriptor_signal(descriptor);
    descriptor_signal(descriptor);
    cr_expect(becomes(number, POLLIN, 0));
    cr_expect(becomes(number, POLLIN, 0));
    descriptor_leave(descriptor);
    cr_expect_not(becomes(number, POLLIN, 0));
    follow(AWAIT_INPUT);
    descriptor_signal(descriptor);
    cr_expect(becomes(number, POLLIN, 0));
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, 0));
}

static void on_alarm(int signal) {
    (void)signal;
    descriptor_ring(descriptor);
}

Test(descriptor, is_rung_by_a_signal_handler) {
    signal(SIGALRM, on_alarm);
    raise(SIGALRM);
    cr_expect(becomes(number, POLLIN, 0));
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, 0));
    raise(SIGALRM);
    raise(SIGALRM);
    cr_expect(becomes(number, POLLIN, 0));
    descriptor_leave(descriptor);
    cr_expect_not(becomes(number, POLLIN, 0));
}

Test(descriptor, a_copy_of_the_number_shows_the_same) {
    int copy = dup(number);
    follow(AWAIT_INPUT);
    wire_say(&wire);
    cr_expect(becomes(copy, POLLIN, LONG));
    drain(wire.near);
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(copy, POLLIN, 0));
}

Test(descriptor, a_follow_that_changes_nothing_costs_nothing) {
    follow(AWAIT_INPUT);
    int before = looks;
    for (int i = 0; i < 1000; i++)
        follow(AWAIT_INPUT);
    cr_expect_eq(looks, before);
}

/* Processor time of this process while it sleeps, in milliseconds. */
static int busy_for(int milliseconds) {
    struct timespec before, after, pause = {0, milliseconds * 1000000};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    return (int)((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000);
}

Test(descriptor, the_relay_sleeps_while_nothing_changes) {
    follow(AWAIT_INPUT);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    cr_expect_leq(busy_for(300), 100, "something to read, and nobody comes");
    fill(wire.near);
    follow(AWAIT_ROOM);
    cr_expect_leq(busy_for(300), 100, "no room");
    close(wire.far);
    cr_expect(becomes(number, POLLOUT, LONG));
    cr_expect_leq(busy_for(300), 100, "the end of the connection");
}

Test(descriptor, a_connection_that_is_being_opened_changes_its_socket) {
    wire.status = CONNECTION_STARTED;
    fill(wire.near);
    follow(AWAIT_ROOM);
    cr_expect_not(becomes(number, POLLOUT, SHORT));
    cr_assert_eq(dup2(wire2.near, wire.near), wire.near); /* the next address, at the same number */
    follow(AWAIT_ROOM);
    cr_expect(becomes(number, POLLOUT, LONG));
    wire.status = CONNECTION_AWAITING_RESPONSE;
    follow(AWAIT_INPUT);
    wire_say(&wire2);
    cr_expect(becomes(number, POLLIN, LONG));
    cr_assert_eq(open("/dev/null", O_RDONLY) >= 0, 1);
    drain(wire.near);
    follow(AWAIT_INPUT);
    cr_assert_not(becomes(number, POLLIN, 0));
    wire_open(&wire);
    wire.status = CONNECTION_MADE;
    follow(AWAIT_INPUT);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
}

Test(descriptor, a_connection_is_forgotten_before_it_is_closed) {
    follow(AWAIT_INPUT);
    int copy = dup(wire.near); /* a child has it */
    descriptor_leave(descriptor);
    relay_forget(&wire.server);
    close(wire.near);
    wire_say(&wire);
    wire.near = wire2.near;
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, SHORT));
    wire_say(&wire2);
    cr_expect(becomes(number, POLLIN, LONG));
    close(copy);
}
Test(descriptor, only_the_follower_of_a_thousand_is_told) {
    enum { MANY = 1000 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * MANY + 100)
        cr_skip_test("not so many numbers are allowed here");
    static struct descriptor *many[MANY];
    int epoll = epoll_create1(0), told[3] = {0};
    for (int i = 0; i < MANY; i++) {
        cr_assert_not_null(many[i] = descriptor_new(NULL));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
        cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor_number(many[i]), &event), 0);
    }
    for (int round = 0; round < 3 * MANY; round++) {
        int turn = round * 7 % MANY;
        struct epoll_event events[4];
        descriptor_follow(many[turn], &wire.server, AWAIT_INPUT);
        wire_say(&wire);
        cr_assert_eq(epoll_wait(epoll, events, 4, LONG), 1);
        cr_assert_eq(events[0].data.u32, (unsigned)turn);
        drain(wire.near);
        descriptor_leave(many[turn]);
        told[round / MANY]++;
    }
    struct epoll_event none;
    cr_expect_eq(epoll_wait(epoll, &none, 1, SHORT), 0);
    cr_expect_eq(told[0] + told[1] + told[2], 3 * MANY);
}

static int open_numbers(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

Test(descriptor, cycles_leave_no_number_behind) {
    int before = open_numbers();
    for (int i = 0; i < 100000; i++) {
        follow(AWAIT_INPUT);
        if (i % 100 == 0)
            wire_say(&wire);
        descriptor_leave(descriptor);
        if (i % 100 == 0)
            drain(wire.near);
    }
    cr_expect_eq(open_numbers(), before);
    for (int i = 0; i < 100000; i++) {
        struct descriptor *one = descriptor_new(NULL);
        cr_assert_not_null(one);
        if (i % 100 == 0)
            descriptor_follow(one, &wire2.server, AWAIT_INPUT);
        descriptor_free(one);
    }
    cr_expect_eq(open_numbers(), before);
}

static _Atomic int rounds_done;

static void *answers(void *argument) {
    struct wire *asked = argument;
    char question;
    while (read(asked->far, &question, 1) == 1) {
        if (question % 3 == 0)
            sched_yield();
        if (send(asked->far, &question, 1, MSG_NOSIGNAL) != 1)
            break;
    }
    return NULL;
}

/* Question and answer through two connections in turn, with a lease for each, while the server answers as
 * fast as it can: a wake-up that is lost stops it. */
Test(descriptor, no_wake_up_is_lost) {
    pthread_t servers[2];
    struct wire *wires[2] = {&wire, &wire2};
    struct descriptor *other = descriptor_new(NULL);
    for (int i = 0; i < 2; i++) {
        fcntl(wires[i]->far, F_SETFL, 0);
        pthread_create(&servers[i], NULL, answers, wires[i]);
    }
    for (int i = 0; i < 40000; i++) {
        struct wire *asked = wires[i / 3 % 2];
        struct descriptor *asks = i % 5 ? descriptor : other;
        char question = (char)i, answer = 0;
        if (i % 2)
            descriptor_follow(asks, &asked->server, AWAIT_INPUT);
        cr_assert_eq(send(asked->near, &question, 1, 0), 1);
        descriptor_follow(asks, &asked->server, AWAIT_INPUT);
        cr_assert(becomes(descriptor_number(asks), POLLIN, LONG), "round %d", i);
        cr_assert_eq(read(asked->near, &answer, 1), 1);
        cr_assert_eq(answer, question);
        if (i % 4)
            descriptor_follow(asks, &asked->server, AWAIT_INPUT);
        descriptor_leave(asks);
        rounds_done++;
    }
    for (int i = 0; i < 2; i++) {
        shutdown(wires[i]->near, SHUT_RDWR);
        pthread_join(servers[i], NULL);
    }
    cr_expect_eq(rounds_done, 40000);
}
