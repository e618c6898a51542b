/* descriptor.c: the number that PQsocket returns shows what a server's socket shows, to every kind of wait.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server.h"
#include "sockets/descriptor.h"
#include "sockets/numbers.h"
#include "sockets/relay.h"

enum { LONG = 3000, SHORT = 30 }; /* milliseconds: for what must come, and for what must not */

/* A server connection whose PGconn is nothing but a socket; `far` is the server's end. */
struct wire {
    struct server server;
    int near, far;
    ConnStatusType status;
};

static _Atomic int looks; /* at a connection's socket */

static int wire_socket(const PGconn *conn) {
    looks++;
    return ((const struct wire *)conn)->near;
}

static ConnStatusType wire_status(const PGconn *conn) {
    return ((const struct wire *)conn)->status;
}

static struct libpq fake = {.PQsocket = wire_socket, .PQstatus = wire_status};

static void wire_open(struct wire *wire) {
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    wire->near = ends[0];
    wire->far = ends[1];
    wire->status = CONNECTION_OK;
    wire->server.libpq = &fake;
    wire->server.conn = (PGconn *)wire;
}

static void wire_say(struct wire *wire) {
    cr_assert_eq(send(wire->far, "x", 1, MSG_NOSIGNAL), 1);
}

static void drain(int socket) {
    char away[65536];
    while (recv(socket, away, sizeof away, MSG_DONTWAIT) > 0)
        ;
}

static void fill(int socket) {
    static char much[65536];
    while (send(socket, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

static bool becomes(int number, short event, int milliseconds) {
    struct pollfd look = {.fd = number, .events = event};
    return poll(&look, 1, milliseconds) == 1 && look.revents & event;
}

static struct wire wire, wire2;
static struct handle handle;
static struct descriptor *descriptor;
static int number;

static void begin(void) {
    wire_open(&wire);
    wire_open(&wire2);
    descriptor = descriptor_new(&handle);
    cr_assert_not_null(descriptor);
    number = descriptor_number(descriptor);
}

TestSuite(descriptor, .init = begin, .timeout = 60);

static void follow(enum await await) {
    descriptor_follow(descriptor, &wire.server, await);
}

static int open_numbers(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

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

static int epoll_on(int watched, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = watched};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, watched, &event), 0);
    return epoll;
}

static uint32_t epoll_next(int epoll, int milliseconds) {
    struct epoll_event event;
    return epoll_wait(epoll, &event, 1, milliseconds) == 1 ? event.events : 0;
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

static int other_file(void) {
    char name[] = "/tmp/descriptor.XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    return file;
}

static off_t size_of(int file) {
    struct stat status;
    return fstat(file, &status) == 0 ? status.st_size : -1;
}

Test(descriptor, a_number_that_the_program_closed_is_left_alone) {
    follow(AWAIT_INPUT);
    int file = other_file();
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    syscall(SYS_close, number);
    int pipes[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pipes), 0);
    int old = number;
    cr_assert_eq(dup2(pipes[0], old), old);
    cr_assert_eq(write(pipes[1], "mine", 4), 4);
    drain(wire.near);
    follow(AWAIT_INPUT);
    fill(wire.near);
    follow(AWAIT_ROOM);
    cr_expect(becomes(pipes[1], POLLOUT, 0) && !becomes(pipes[1], POLLIN, 0), "nothing was put into it");
    char text[8] = "";
    cr_expect_eq(read(old, text, sizeof text), 4, "nothing was taken out of it");
    number = descriptor_number(descriptor);
    cr_expect_neq(number, old);
    cr_expect_not(becomes(number, POLLOUT, SHORT), "the new one shows what the old one would");
    drain(wire.far);
    cr_expect(becomes(number, POLLOUT, LONG));
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    descriptor_free(descriptor);
    cr_expect_geq(fcntl(old, F_GETFD), 0);
    cr_expect_eq(size_of(file), 0);
}

Test(descriptor, our_end_closed_past_the_guard_is_made_again) {
    follow(AWAIT_INPUT);
    int peer = descriptor->peer, file = other_file();
    syscall(SYS_close, peer);
    cr_assert_eq(dup2(file, peer), peer);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG), "the pair's end, if nothing else");
    for (int i = 0; i < LONG && !descriptor->severed; i++) /* the relay finds out */
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    drain(wire.near);
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, SHORT));
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    cr_expect_eq(descriptor_number(descriptor), number);
    cr_expect_eq(size_of(file), 0);
    cr_expect_geq(fcntl(peer, F_GETFD), 0);
}

/* The relay's epoll, of all numbers that are open. */
static int relays_epoll(void) {
    for (int i = 0; i < 4096; i++) {
        char path[64], target[64] = "";
        snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "eventpoll") &&
            numbers_is_hidden(i))
            return i;
    }
    return -1;
}

Test(descriptor, the_relay_survives_that_its_epoll_is_closed) {
    follow(AWAIT_INPUT);
    int epoll = relays_epoll();
    cr_assert_geq(epoll, 0);
    syscall(SYS_close, epoll);
    drain(wire.near);
    descriptor_follow(descriptor, &wire2.server, AWAIT_INPUT);
    wire_say(&wire2);
    cr_expect(becomes(number, POLLIN, LONG));
    drain(wire2.near);
    follow(AWAIT_INPUT);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
}

/* An epoll of the program's, with an event that only it may fetch, at the relay's number. */
static int put_epoll_in_its_place(int pipes[2]) {
    int ours = relays_epoll(), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 0xdead};
    cr_assert_eq(pipe(pipes), 0);
    cr_assert_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &event), 0);
    cr_assert_eq(syscall(SYS_dup3, epoll, ours, 0), ours);
    return epoll;
}

static void expect_its_own_event(int epoll, const int pipes[2]) {
    struct epoll_event event = {.events = 0};
    cr_assert_eq(write(pipes[1], "x", 1), 1);
    nanosleep(&(struct timespec){0, SHORT * 1000000}, NULL);
    cr_assert_eq(epoll_wait(epoll, &event, 1, LONG), 1, "the program's event is the program's");
    cr_expect_eq(event.data.u64, 0xdead);
    cr_expect_eq(epoll_wait(epoll, &event, 1, SHORT), 0, "and there is no other");
}

Test(descriptor, nothing_is_put_into_an_epoll_of_the_program) {
    struct descriptor *waits = descriptor_new(NULL);
    descriptor_follow(waits, &wire2.server, AWAIT_INPUT);
    int pipes[2], epoll = put_epoll_in_its_place(pipes);
    follow(AWAIT_INPUT); /* finds out */
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
    expect_its_own_event(epoll, pipes);
    wire_say(&wire2);
    cr_expect(becomes(descriptor_number(waits), POLLIN, LONG), "what it waited for before is not lost");
}

Test(descriptor, nothing_is_fetched_from_an_epoll_of_the_program) {
    struct descriptor *waits = descriptor_new(NULL);
    descriptor_follow(waits, &wire2.server, AWAIT_INPUT);
    follow(AWAIT_INPUT);
    int pipes[2], epoll = put_epoll_in_its_place(pipes);
    wire_say(&wire2); /* the relay hears of it, and then finds out */
    cr_expect(becomes(descriptor_number(waits), POLLIN, LONG));
    expect_its_own_event(epoll, pipes);
    wire_say(&wire);
    cr_expect(becomes(number, POLLIN, LONG));
}

/* What process.c does in a forked child. */
static void adopt(struct descriptor *inherited) {
    relay_fork(FORK_UNPREPARED);
    descriptors_fork(FORK_UNPREPARED);
    numbers_fork(FORK_UNPREPARED);
    process_generation++;
    descriptor_fork_child(inherited);
}

static int in_child(int (*run)(void)) {
    int status = -1, child = fork();
    if (child == 0)
        _exit(run());
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int takes_nothing_away(void) {
    adopt(descriptor);
    descriptor_leave(descriptor);
    descriptor_signal(descriptor);
    if (!becomes(number, POLLIN, 0))
        return 1;
    descriptor_leave(descriptor);
    return becomes(number, POLLIN, 0) ? 2 : 0;
}

static int has_a_pair_of_its_own(void) {
    adopt(descriptor);
    drain(wire2.near);
    if (descriptor_number(descriptor) != number)
        return 1;
    descriptor_follow(descriptor, &wire2.server, AWAIT_INPUT);
    if (becomes(number, POLLIN, SHORT))
        return 2;
    wire_say(&wire2);
    if (!becomes(number, POLLIN, LONG))
        return 3;
    descriptor_free(descriptor);
    return fcntl(number, F_GETFD) < 0 ? 0 : 4;
}

static int finishes(void) {
    adopt(descriptor);
    descriptor_free(descriptor);
    return fcntl(number, F_GETFD) < 0 && fcntl(descriptor->peer, F_GETFD) < 0 ? 0 : 1;
}

Test(descriptor, a_child_does_not_disturb_its_parent) {
    int epoll = epoll_on(number, EPOLLIN | EPOLLOUT | EPOLLET);
    epoll_next(epoll, 0);
    follow(AWAIT_INPUT);
    cr_expect_eq(in_child(takes_nothing_away), 0);
    cr_expect_eq(in_child(has_a_pair_of_its_own), 0);
    cr_expect_eq(in_child(finishes), 0);
    cr_expect_eq(epoll_next(epoll, SHORT), 0, "nothing that children do is seen");
    wire_say(&wire);
    cr_expect(epoll_next(epoll, LONG) & EPOLLIN);
    cr_expect_eq(in_child(takes_nothing_away), 0);
    cr_expect_eq(in_child(has_a_pair_of_its_own), 0);
    cr_expect_eq(in_child(finishes), 0);
    cr_expect(becomes(number, POLLIN, 0), "the parent's byte is still there");
    drain(wire.near);
    follow(AWAIT_INPUT);
    cr_expect_not(becomes(number, POLLIN, 0));
    fill(wire.near);
    follow(AWAIT_ROOM);
    cr_expect_eq(in_child(takes_nothing_away), 0);
    cr_expect_eq(in_child(finishes), 0);
    cr_expect_not(becomes(number, POLLOUT, SHORT));
}

Test(descriptor, a_connection_that_a_child_took_over_is_asked_for_anew) {
    follow(AWAIT_INPUT);
    int status = -1, child = fork();
    if (child == 0) { /* its lease went on, and with it what the parent's relay was asked for */
        adopt(descriptor);
        follow(AWAIT_INPUT);
        wire_say(&wire);
        _exit(becomes(number, POLLIN, LONG) ? 0 : 1);
    }
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
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
