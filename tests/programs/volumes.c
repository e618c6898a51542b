/* volumes.c: much through a number, and a number many times: no descriptor is lost, and nothing spins. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE = 15000 };

static int open_numbers(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Processor time of this process, in seconds. */
static double worked(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

CASE(result_by_edges, "", "a result of 100 MB is read by edge-triggered epoll, row by row") {
    enum { ROWS = 1000 };
    PGconn *handle = open_handle();
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    int loop = epoll_create1(EPOLL_CLOEXEC), rows = 0;
    long long bytes = 0;
    expect_number(PQsetnonblocking(handle, 1), 0);
    expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(handle), &event), 0);
    send_query(handle, "SELECT repeat('x', 100000), n FROM generate_series(1, 1000) n");
    expect_number(PQsetSingleRowMode(handle), 1);
    expect_number(PQflush(handle), 0);
    bool over = false;
    while (!over) {
        expect_number(epoll_wait(loop, &event, 1, PATIENCE), 1);
        do { /* an edge is told of once: all there is has to be read */
            expect_number(PQconsumeInput(handle), 1);
            while (!over && !PQisBusy(handle)) {
                PGresult *result = PQgetResult(handle);
                over = result == NULL;
                if (PQresultStatus(result) == PGRES_SINGLE_TUPLE) {
                    bytes += PQgetlength(result, 0, 0);
                    expect_number(atoi(PQgetvalue(result, 0, 1)), ++rows);
                }
                PQclear(result);
            }
        } while (!over && is_ready(handle, POLLIN, 0));
    }
    expect_number(rows, ROWS);
    expect_number(bytes, 100000000);
    close(loop);
    PQfinish(handle);
}

/* The server takes its time over the first row: meanwhile there is no room, and nothing to do. */
static void make_barrel(void) {
    control("DROP TABLE IF EXISTS barrel; CREATE UNLOGGED TABLE barrel (n int, v text);"
            "GRANT ALL ON barrel TO PUBLIC;"
            "CREATE OR REPLACE FUNCTION barrel_pause() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_sleep(0.6); RETURN NEW; END$$;"
            "CREATE TRIGGER pause BEFORE INSERT ON barrel FOR EACH ROW WHEN (NEW.n = 0) EXECUTE FUNCTION "
            "barrel_pause()");
}

/* Waits for room, by edges; how long, and how much the process worked meanwhile, is added up. */
static void wait_for_room(PGconn *handle, int loop, double *waited, double *busy) {
    struct epoll_event event;
    double began = seconds_now(), before = worked();
    bool room = false;
    while (!room) {
        expect_number(epoll_wait(loop, &event, 1, PATIENCE), 1);
        room = event.events & EPOLLOUT;
        expect_number(PQconsumeInput(handle), 1);
    }
    *waited += seconds_now() - began;
    *busy += worked() - before;
}

static void copy_much(bool edges) {
    enum { ROWS = 6250, WIDTH = 8000 };
    static char line[WIDTH + 20];
    make_barrel();
    PGconn *handle = open_handle();
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | (edges ? EPOLLET : 0)};
    int loop = epoll_create1(EPOLL_CLOEXEC), waits = 0;
    double waited = 0, busy = 0;
    expect_number(PQsetnonblocking(handle, 1), 0);
    send_query(handle, "COPY barrel FROM STDIN");
    wait_while_busy(handle);
    reply_is(handle, PGRES_COPY_IN);
    expect_number(epoll_ctl(loop, EPOLL_CTL_ADD, PQsocket(handle), &event), 0);
    for (int i = 0; i < ROWS; i++) {
        int length = snprintf(line, 16, "%d\t", i);
        memset(line + length, 'x', WIDTH);
        line[length + WIDTH] = '\n';
        expect_number(PQputCopyData(handle, line, length + WIDTH + 1), 1);
        for (int unsent; (unsent = PQflush(handle)) != 0; waits++) {
            expect_number(unsent, 1);
            wait_for_room(handle, loop, &waited, &busy);
        }
    }
    printf("%d waits, %.3f s long, %.3f s at work\n", waits, waited, busy);
    expect(waited > 0.4);
    expect(busy < waited / 2);
    expect(waits <= 2 * ROWS);
    expect_number(PQputCopyEnd(handle, NULL), 1);
    while (PQflush(handle) == 1)
        wait_for_room(handle, loop, &waited, &busy);
    wait_while_busy(handle);
    only_reply(handle, "COPY 6250");
    expect_text(control("SELECT sum(length(v)) FROM barrel"), "50000000");
    close(loop);
    PQfinish(handle);
}

CASE(copy_by_level, "", "COPY IN of 50 MB waits for room without spinning, level-triggered") {
    copy_much(false);
}
CASE(copy_by_edges, "", "the same edge-triggered") {
    copy_much(true);
}

/* As many as fit into some seconds: sanitizers and no shim take longer. */
enum { QUERIES = 100000, OPENINGS = 20000 };
#define SECONDS 12

CASE(many_queries, "", "100,000 queries by PQsendQuery, two handles in turn, leave no descriptor behind") {
    PGconn *handles[] = {open_handle(), open_handle()};
    double deadline = seconds_now() + SECONDS;
    int count = 0, before = 0;
    for (; count < QUERIES && seconds_now() < deadline; count++) {
        PGconn *handle = handles[count % 2];
        send_query(handle, "SELECT 'one of many'");
        expect(is_ready(handle, POLLIN, PATIENCE));
        wait_while_busy(handle);
        only_reply(handle, "one of many");
        if (count == 1)
            before = open_numbers();
    }
    printf("%d queries\n", count);
    expect(count > 100);
    expect_number(open_numbers(), before);
    expect_backends(2, 1);
    PQfinish(handles[0]);
    PQfinish(handles[1]);
}

CASE(many_handles, "PQONE_LOG=none", "20,000 times connect, PQsocket and finish leave no descriptor behind") {
    PGconn *stays = open_handle();
    expect(PQsocket(stays) >= 0);
    double deadline = seconds_now() + SECONDS;
    int before = open_numbers(), count = 0;
    for (; count < OPENINGS && seconds_now() < deadline; count++) {
        PGconn *handle = open_handle();
        expect(PQsocket(handle) >= 0);
        if (count % 100 == 0) {
            send_query(handle, "SELECT 'served'");
            expect(is_ready(handle, POLLIN, PATIENCE));
            if (count % 200 == 0)
                only_reply(handle, "served");
        }
        PQfinish(handle);
    }
    printf("%d handles\n", count);
    expect(count > 50);
    /* A session that was left with its answer unread may still be on its way out. */
    for (int i = 0; i < 100 && open_numbers() > before; i++)
        sleep_ms(20);
    expect_number(open_numbers(), before);
    PQfinish(stays);
}
