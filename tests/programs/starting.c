/* starting.c: connects that the program drives itself, many at once, with and without room for each. */
#include "case/case.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static PGconn *start(void) {
    PGconn *handle = PQconnectStart("dbname=shop user=app");
    expect(handle != NULL);
    expect(PQstatus(handle) != CONNECTION_BAD);
    return handle;
}

/* One turn of a loop over handles that connect: waits as the polls said, at most `patience` ms, and polls
 * those that are ready. How many are not at their end. */
static int turn(PGconn **handles, PostgresPollingStatusType *states, int count, int patience) {
    struct pollfd waits[64];
    int open = 0;
    for (int i = 0; i < count; i++) {
        bool waiting = states[i] == PGRES_POLLING_READING || states[i] == PGRES_POLLING_WRITING;
        waits[i] = (struct pollfd){.fd = waiting ? PQsocket(handles[i]) : -1,
                                   .events = states[i] == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        expect(!waiting || waits[i].fd >= 0);
        open += waiting;
    }
    if (open == 0)
        return 0;
    if (poll(waits, (nfds_t)count, patience) <= 0)
        return -1;
    for (int i = 0; i < count; i++)
        if (waits[i].revents)
            states[i] = PQconnectPoll(handles[i]);
    return open;
}

/* As a loop does it: to the end of all, which has to come within `patience` ms each time. */
static void connect_all(PGconn **handles, PostgresPollingStatusType *states, int count, int patience) {
    int open;
    for (int i = 0; i < count; i++)
        states[i] = PGRES_POLLING_WRITING;
    while ((open = turn(handles, states, count, patience)) > 0)
        ;
    expect_number(open, 0);
}

static void expect_connected(PGconn **handles, const PostgresPollingStatusType *states, int count) {
    for (int i = 0; i < count; i++) {
        expect_number(states[i], PGRES_POLLING_OK);
        expect_number(PQstatus(handles[i]), CONNECTION_OK);
        expect_text(ask(handles[i], "SELECT 'connected'"), "connected");
    }
}

static void finish_all(PGconn **handles, int count) {
    for (int i = 0; i < count; i++)
        PQfinish(handles[i]);
}

CASE(no_room, "", "twelve connects of one loop under a role that may hold four: none fails") {
    enum { COUNT = 12 };
    PGconn *handles[COUNT];
    PostgresPollingStatusType states[COUNT];
    for (int i = 0; i < COUNT; i++) {
        handles[i] = PQconnectStart("dbname=shop user=four");
        expect(PQstatus(handles[i]) != CONNECTION_BAD);
    }
    connect_all(handles, states, COUNT, 5000);
    if (sharing()) {
        expect_connected(handles, states, COUNT);
        expect(role_backends("four") <= 4);
    } else {
        int open = 0;
        for (int i = 0; i < COUNT; i++)
            open += states[i] == PGRES_POLLING_OK;
        expect_number(open, 4);
    }
    finish_all(handles, COUNT);
}

CASE(at_the_cap, "PQONE_MAX_CONNECTIONS=2",
     "twenty connects of one loop at once need no more connections than may be") {
    enum { COUNT = 20 };
    PGconn *handles[COUNT];
    PostgresPollingStatusType states[COUNT];
    int numbers[COUNT];
    for (int i = 0; i < COUNT; i++)
        handles[i] = start();
    for (int i = 0; i < COUNT; i++) {
        numbers[i] = PQsocket(handles[i]);
        for (int j = 0; j < i; j++)
            expect(numbers[i] >= 0 && numbers[i] != numbers[j]);
    }
    connect_all(handles, states, COUNT, 5000);
    expect_connected(handles, states, COUNT);
    expect_backends(COUNT, 2);
    for (int i = 0; sharing() && i < COUNT; i++)
        expect_number(PQsocket(handles[i]), numbers[i]);
    finish_all(handles, COUNT);
    expect_number(log_lines("over PQONE_MAX_CONNECTIONS", NULL), 0);
}

CASE(without_a_cap, "", "two connects of one loop at once do not depend on each other") {
    PGconn *handles[] = {start(), start()};
    PostgresPollingStatusType state;
    connect_all(handles + 1, &state, 1, 5000);
    expect_connected(handles + 1, &state, 1);
    finish_all(handles, 2);
}

CASE(while_leased, "PQONE_MAX_CONNECTIONS=1",
     "with an open connection there is nothing to wait for, whoever uses it") {
    PGconn *busy = open_handle(), *started;
    PostgresPollingStatusType state;
    expect_text(ask(busy, "BEGIN; SELECT 1"), "1");
    started = start();
    connect_all(&started, &state, 1, 1000);
    expect_number(state, PGRES_POLLING_OK);
    expect_backends(2, 1);
    expect_text(ask(busy, "COMMIT; SELECT 2"), "2");
    expect_connected(&started, &state, 1);
    expect_backends(2, 1);
    PQfinish(busy);
    PQfinish(started);
}

CASE(never_polled, "PQONE_MAX_CONNECTIONS=1",
     "a connect that is never driven to its end keeps the others for a while only") {
    double begun = seconds_now();
    PGconn *left = start(), *handles[] = {start(), start()};
    PostgresPollingStatusType states[2];
    connect_all(handles, states, 2, 10000);
    expect_connected(handles, states, 2);
    expect(seconds_now() - begun < 5);
    if (sharing())
        expect(log_lines("over PQONE_MAX_CONNECTIONS=1", "a connect never waits for capacity") <= 1);
    finish_all(handles, 2);
    PQfinish(left);
}

CASE(finished, "PQONE_MAX_CONNECTIONS=1",
     "a connect that is given up makes room for one that waited for it, at once") {
    PGconn *left = start(), *handles[] = {start(), start(), start()};
    PostgresPollingStatusType states[] = {PGRES_POLLING_WRITING, PGRES_POLLING_WRITING,
                                          PGRES_POLLING_WRITING};
    double begun = seconds_now();
    turn(handles, states, 3, 1000);
    PQfinish(left);
    connect_all(handles, states, 3, 10000);
    expect_connected(handles, states, 3);
    expect(seconds_now() - begun < 1.5);
    expect_backends(3, 1);
    finish_all(handles, 3);
}

CASE(refused, "PQONE_MAX_CONNECTIONS=1",
     "connects that the server refuses fail in libpq's words, each of them") {
    PGconn *handles[3];
    PostgresPollingStatusType states[3];
    for (int i = 0; i < 3; i++)
        handles[i] = PQconnectStart(tcp_conninfo("app", "wrong"));
    connect_all(handles, states, 3, 5000);
    for (int i = 0; i < 3; i++) {
        expect_number(states[i], PGRES_POLLING_FAILED);
        expect_number(PQstatus(handles[i]), CONNECTION_BAD);
        expect_part(PQerrorMessage(handles[i]), "password authentication failed");
    }
    finish_all(handles, 3);
}

CASE(answers, "PQONE_MAX_CONNECTIONS=1", "what a handle answers while it connects, and what can be set") {
    PGconn *handles[] = {start(), start()};
    PostgresPollingStatusType states[2];
    for (int i = 0; i < 2; i++) {
        PGconn *handle = handles[i];
        expect(PQstatus(handle) != CONNECTION_OK && PQstatus(handle) != CONNECTION_BAD);
        expect_number(PQtransactionStatus(handle), PQTRANS_UNKNOWN);
        expect_number(PQsetnonblocking(handle, 1), 0);
        const char *dbname = NULL;
        PQconninfoOption *words = PQconninfo(handle);
        for (PQconninfoOption *word = words; word && word->keyword; word++)
            if (strcmp(word->keyword, "dbname") == 0)
                dbname = word->val;
        expect_text(dbname, "shop");
        PQconninfoFree(words);
    }
    connect_all(handles, states, 2, 5000);
    expect_backends(2, 1);
    expect_number(PQisnonblocking(handles[0]) + PQisnonblocking(handles[1]), 2);
    expect_connected(handles, states, 2);
    finish_all(handles, 2);
}

CASE(reset, "PQONE_MAX_CONNECTIONS=1", "PQreset connects a handle that was waiting for another's connect") {
    PGconn *left = start(), *handle = start();
    PQreset(handle);
    expect_number(PQstatus(handle), CONNECTION_OK);
    expect_text(ask(handle, "SELECT 'reset'"), "reset");
    PQfinish(handle);
    PQfinish(left);
}

CASE(forked, "PQONE_MAX_CONNECTIONS=1", "a child connects for itself, whatever its parent was waiting for") {
    PGconn *left = start(), *handle = start();
    int child = fork();
    if (child == 0) {
        PGconn *own = PQconnectdb("dbname=shop user=app");
        bool fine = PQstatus(own) == CONNECTION_OK && strcmp(ask(own, "SELECT 'child'"), "child") == 0;
        PQfinish(own);
        _exit(fine ? 0 : 1);
    }
    expect_number(child_status(child), 0);
    PGconn *handles[] = {left, handle};
    PostgresPollingStatusType states[2];
    connect_all(handles, states, 2, 5000);
    expect_connected(handles, states, 2);
    finish_all(handles, 2);
}
