/* loops.c: event loops of a hundred and of a thousand handles on one connection. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

/* Every query carries its handle's tag, so that an answer which went astray shows. */
struct asker {
    PGconn *handle;
    int number, asked, answered;
    long wakes, idle_wakes; /* all, and those in which there was nothing for it */
};

static void tag(const struct asker *one, int query, char *text, size_t size) {
    snprintf(text, size, "h%d-q%d", one->number, query);
}

static void ask_next(struct asker *one) {
    char value[32], sql[100];
    tag(one, one->asked, value, sizeof value);
    if (one->asked++ % 2)
        send_with(one->handle, "SELECT $1 FROM generate_series(1, 3)", value);
    else {
        snprintf(sql, sizeof sql, "SELECT '%s' FROM generate_series(1, 3)", value);
        send_query(one->handle, sql);
    }
    expect_number(PQflush(one->handle), 0);
}

/* Its number was reported. True once an answer was complete. */
static bool woken(struct asker *one) {
    char wanted[32];
    one->wakes++;
    if (one->asked == one->answered)
        one->idle_wakes++;
    expect_number(PQconsumeInput(one->handle), 1);
    if (one->asked == one->answered || PQisBusy(one->handle))
        return false;
    tag(one, one->answered++, wanted, sizeof wanted);
    PGresult *result = PQgetResult(one->handle);
    expect_number(PQntuples(result), 3);
    for (int row = 0; row < 3; row++)
        expect_text(PQgetvalue(result, row, 0), wanted);
    PQclear(result);
    no_more(one->handle);
    return true;
}

static void open_askers(struct asker *askers, int count) {
    for (int i = 0; i < count; i++) {
        askers[i] = (struct asker){.handle = open_handle(), .number = i};
        expect_number(PQsetnonblocking(askers[i].handle, 1), 0);
        expect(PQsocket(askers[i].handle) >= 0);
        expect(i == 0 || PQsocket(askers[i].handle) != PQsocket(askers[i - 1].handle));
    }
}

static void finish_askers(struct asker *askers, int count) {
    for (int i = 0; i < count; i++)
        PQfinish(askers[i].handle);
}

/* As many as the server allows a program that shares nothing. */
enum { HANDLES = 100, BARE_HANDLES = 40, QUERIES = 20 };
static int many(void) {
    return sharing() ? HANDLES : BARE_HANDLES;
}

static void by_epoll(uint32_t flags) {
    static struct asker askers[HANDLES];
    struct epoll_event events[HANDLES];
    int loop = epoll_create1(EPOLL_CLOEXEC), left = many() * QUERIES;
    open_askers(askers, many());
    for (int i = 0; i < many(); i++) {
        struct epoll_event watch = {.events = EPOLLIN | flags, .data.ptr = &askers[i]};
        expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(askers[i].handle), &watch), 0);
        ask_next(&askers[i]);
    }
    while (left > 0) {
        int count = epoll_wait(loop, events, HANDLES, 15000);
        expect(count > 0);
        for (int i = 0; i < count; i++) {
            struct asker *one = events[i].data.ptr;
            struct epoll_event watch = {.events = EPOLLIN | flags, .data.ptr = one};
            if (woken(one)) {
                left--;
                if (one->asked < QUERIES)
                    ask_next(one);
            }
            if (flags & EPOLLONESHOT)
                expect_number(epoll_ctl(loop, EPOLL_CTL_MOD, PQsocket(one->handle), &watch), 0);
        }
    }
    expect_backends(many(), 1);
    finish_askers(askers, many());
    close(loop);
}

CASE(epoll_level, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "an epoll program with 100 handles on one connection gets every answer right") {
    by_epoll(0);
}

CASE(epoll_edge, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1", "the same with edge-triggered watches") {
    by_epoll(EPOLLET);
}

CASE(epoll_oneshot, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1", "the same with one-shot watches") {
    by_epoll(EPOLLONESHOT);
}

CASE(select_program, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a select program with 100 handles on one connection gets every answer right, each asker's in time") {
    static struct asker askers[HANDLES];
    int left = many() * QUERIES;
    open_askers(askers, many());
    for (int i = 0; i < many(); i++)
        ask_next(&askers[i]);
    while (left > 0) {
        fd_set readable;
        int highest = 0;
        struct timeval limit = {15, 0};
        FD_ZERO(&readable);
        for (int i = 0; i < many(); i++) {
            int number = PQsocket(askers[i].handle);
            expect(number < FD_SETSIZE);
            if (askers[i].answered < askers[i].asked)
                FD_SET(number, &readable);
            highest = number > highest ? number : highest;
        }
        expect(select(highest + 1, &readable, NULL, NULL, &limit) > 0);
        for (int i = 0; i < many(); i++)
            if (FD_ISSET(PQsocket(askers[i].handle), &readable) && woken(&askers[i])) {
                left--;
                if (askers[i].asked < QUERIES)
                    ask_next(&askers[i]);
            }
    }
    expect_backends(many(), 1);
    finish_askers(askers, many());
}

static void *count_later(void *count) {
    sleep_ms(300);
    atomic_store((atomic_int *)count, backends());
    return NULL;
}

CASE(busy_elsewhere, "",
     "a loop that is busy while its queries wait is not given more connections than it can read") {
    enum { WAITING = 16, MOST = 4 };
    static struct asker askers[WAITING];
    atomic_int count = 0;
    pthread_t counter;
    open_askers(askers, WAITING);
    expect(pthread_create(&counter, NULL, count_later, &count) == 0);
    for (int i = 0; i < WAITING; i++)
        ask_next(&askers[i]);
    while (atomic_load(&count) == 0)
        ; /* it runs, and calls nothing of libpq */
    expect(sharing() ? atomic_load(&count) <= MOST : atomic_load(&count) == WAITING);
    pthread_join(counter, NULL);
    for (int i = 0; i < WAITING; i++)
        for (bool answered = false; !answered; answered = woken(&askers[i]))
            sleep_ms(1);
    finish_askers(askers, WAITING);
}

/* Level-triggered, so a number that were readable without a reason would be reported again and again. */
CASE(no_idle_wakes, "PQONE_MODE=share PQONE_LOG=none",
     "a loop that waits on 1,000 handles on one connection is woken for the asking handle alone") {
    enum { THOUSAND = 1000, ROUNDS = 400 };
    static struct asker askers[THOUSAND];
    struct rlimit limit;
    int count = sharing() ? THOUSAND : BARE_HANDLES, loop = epoll_create1(EPOLL_CLOEXEC);
    expect(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 4096)
        skip("the limit on descriptors leaves no room for 1,000 handles");
    if (limit.rlim_cur < 4096)
        limit.rlim_cur = 4096;
    expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    open_askers(askers, count);
    for (int i = 0; i < count; i++) {
        struct epoll_event watch = {.events = EPOLLIN, .data.ptr = &askers[i]};
        expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(askers[i].handle), &watch), 0);
    }
    struct epoll_event event;
    expect_number(epoll_wait(loop, &event, 1, 50), 0);
    long reports = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct asker *one = &askers[round * 37 % count];
        bool answered = false;
        ask_next(one);
        while (!answered) {
            expect_number(epoll_wait(loop, &event, 1, 15000), 1);
            expect(event.data.ptr == one);
            answered = woken(one);
            reports++;
        }
        if (round % 50 == 0)
            expect_number(epoll_wait(loop, &event, 1, 20), 0);
    }
    long idle_wakes = 0;
    for (int i = 0; i < count; i++)
        idle_wakes += askers[i].idle_wakes;
    expect_number(idle_wakes, 0);
    printf("%ld reports for %d queries\n", reports, ROUNDS);
    expect(reports <= 2 * ROUNDS);
    expect_backends(count, 1);
    finish_askers(askers, count);
    close(loop);
}
