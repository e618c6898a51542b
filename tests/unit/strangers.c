/* strangers.c: a descriptor and its relay leave alone what is the program's by now, or the parent's. */
#define _GNU_SOURCE
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sockets/numbers.h"
#include "sockets/relay.h"
#include "wire.h"

TestSuite(strangers, .init = wires_begin, .timeout = 60);

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

Test(strangers, a_number_that_the_program_closed_is_left_alone) {
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

Test(strangers, our_end_closed_past_the_guard_is_made_again) {
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

Test(strangers, the_relay_survives_that_its_epoll_is_closed) {
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

Test(strangers, nothing_is_put_into_an_epoll_of_the_program) {
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

Test(strangers, nothing_is_fetched_from_an_epoll_of_the_program) {
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

Test(strangers, a_child_does_not_disturb_its_parent) {
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

Test(strangers, a_connection_that_a_child_took_over_is_asked_for_anew) {
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
