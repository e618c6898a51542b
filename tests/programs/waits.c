/* waits.c: how a queued query's wait ends otherwise: too late, cancelled, refused, finished, forked, growth.
 */
#define _GNU_SOURCE
#include "case/replies.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

PGconn *open_the_holder(void);
__attribute__((noinline)) PGconn *open_the_holder(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(handle), CONNECTION_OK);
    return handle;
}

/* Another thread has the only connection for a while. Bare there is one for each, and nothing to wait for. */
static pthread_t holder_thread;
static struct answer holder;
static void hold(const char *sql) {
    holder = (struct answer){.handle = open_the_holder(), .sql = sharing() ? sql : "SELECT pg_sleep(0.3)"};
    ask(holder.handle, "SELECT 1");
    pthread_create(&holder_thread, NULL, answer_in_thread, &holder);
    expect_running("pg_sleep");
}
static void hold_no_more(void) {
    pthread_join(holder_thread, NULL);
    expect_text(holder.state, "");
    PQfinish(holder.handle);
}

/* The failed query of a wait that took too long, and the handle after it. */
static void came_too_late(PGconn *handle) {
    PGresult *result = PQgetResult(handle);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    expect_number(state ? (int)strlen(state) : 0, 5);
    expect_part(PQresultErrorMessage(result), "pqone");
    expect_part(PQresultErrorMessage(result), "PQONE_WAIT_TIMEOUT");
    expect_part(PQresultErrorMessage(result), "open_the_holder");
    expect_part(PQerrorMessage(handle), "PQONE_WAIT_TIMEOUT");
    PQclear(result);
}

CASE(too_late, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=400ms",
     "PQONE_WAIT_TIMEOUT ends a wait as a failed query, tells the loop, and the handle goes on") {
    PGconn *handle = open_handle();
    hold("SELECT pg_sleep(1.2)");
    double start = seconds_now();
    send_query(handle, "SELECT 'in time'");
    wait_while_busy(handle);
    double waited = seconds_now() - start;
    if (sharing()) {
        expect(waited > 0.35 && waited < 1.1);
        came_too_late(handle);
        for (int i = 0; i < 40 && log_lines(" wait:", "the query failed") == 0; i++)
            sleep_ms(50); /* it is said by another thread, after it is so */
        expect(log_lines(" wait:", "the query failed") >= 1);
    } else {
        expect_text(reply(handle), "in time");
    }
    no_more(handle);
    expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
    expect_number(PQstatus(handle), CONNECTION_OK);
    expect(!is_ready(handle, POLLIN, 20));
    hold_no_more();
    send_query(handle, "SELECT 'later'");
    wait_while_busy(handle);
    only_reply(handle, "later");
    PQfinish(handle);
}

CASE(too_late_to_get, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=400ms",
     "the same for PQgetResult that waits, and for a COPY, which then is none") {
    PGconn *handle = open_handle();
    hold("SELECT pg_sleep(1)");
    send_query(handle, "COPY (SELECT 'line') TO STDOUT");
    if (sharing()) {
        came_too_late(handle);
        expect(seconds_now() - holder.began < 1);
        char *buffer;
        expect_number(PQgetCopyData(handle, &buffer, 1), -2);
    } else {
        char *buffer;
        reply_is(handle, PGRES_COPY_OUT);
        while (PQgetCopyData(handle, &buffer, 0) > 0)
            PQfreemem(buffer);
        expect_text(reply(handle), "COPY 1");
    }
    no_more(handle);
    hold_no_more();
    expect_text(ask(handle, "SELECT 'later'"), "later");
    PQfinish(handle);
}

CASE(too_late_pipeline, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_WAIT_TIMEOUT=400ms",
     "the same for a pipeline: its first query fails, the rest is aborted up to the sync") {
    PGconn *handle = open_handle();
    hold("SELECT pg_sleep(1.2)");
    expect_number(PQenterPipelineMode(handle), 1);
    send_with(handle, "SELECT $1", "one");
    send_with(handle, "SELECT $1", "two");
    expect_number(PQpipelineSync(handle), 1);
    wait_while_busy(handle);
    if (sharing())
        came_too_late(handle);
    else
        expect_text(reply(handle), "one");
    no_more(handle);
    reply_is(handle, sharing() ? PGRES_PIPELINE_ABORTED : PGRES_TUPLES_OK);
    no_more(handle);
    reply_is(handle, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(handle), 1);
    hold_no_more();
    expect_text(ask(handle, "SELECT 'later'"), "later");
    PQfinish(handle);
}

static void cancel_now(PGconn *handle) {
    char problem[256] = "";
    PGcancel *cancel = PQgetCancel(handle);
    expect_number(PQcancel(cancel, problem, sizeof problem), 1);
    expect_text(problem, "");
    PQfreeCancel(cancel);
}

CASE(cancelled, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a cancel while queued ends the wait as a cancelled query, and hits nobody else") {
    PGconn *handle = open_handle(), *other = open_handle();
    hold("SELECT pg_sleep(1.5)");
    send_query(handle, "SELECT pg_sleep(5), 'cancel me'");
    send_query(other, "SELECT 'next in the queue'");
    if (!sharing())
        expect_running("cancel me");
    cancel_now(handle);
    wait_while_busy(handle);
    expect_text(reply_error(handle), "57014");
    expect_part(PQerrorMessage(handle), "canceling statement due to user request");
    no_more(handle);
    expect(seconds_now() - holder.began < 1.4);
    expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
    send_query(handle, "SELECT pg_sleep(5), 'cancel me again'");
    if (!sharing())
        expect_running("cancel me again");
    expect_number(PQrequestCancel(handle), 1);
    expect_text(drain(handle), "57014");
    wait_while_busy(other);
    only_reply(other, "next in the queue");
    hold_no_more();
    send_query(handle, "SELECT 'usable'");
    only_reply(handle, "usable");
    expect_backends(2, 1);
    PQfinish(handle);
    PQfinish(other);
}

static PGcancel *of_signal;
static void on_alarm(int number) {
    char problem[256];
    (void)number;
    if (!PQcancel(of_signal, problem, sizeof problem))
        abort();
}

CASE(cancelled_by_signal, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "PQcancel in a signal handler ends a queued wait of the same thread, in PQgetResult and in poll") {
    PGconn *handle = open_handle();
    of_signal = PQgetCancel(handle);
    signal(SIGALRM, on_alarm);
    hold("SELECT pg_sleep(1.6)");
    for (int polled = 0; polled < 2; polled++) {
        send_query(handle, "SELECT pg_sleep(5)");
        ualarm(200000, 0);
        if (polled) {
            struct pollfd wait = {PQsocket(handle), POLLIN, 0};
            for (int tries = 0; tries < 3 && poll(&wait, 1, 3000) != 1; tries++)
                ;
            wait_while_busy(handle);
        }
        expect_text(drain(handle), "57014");
        expect(seconds_now() - holder.began < 1.5);
    }
    hold_no_more();
    expect_text(ask(handle, "SELECT 'usable'"), "usable");
    PQfreeCancel(of_signal);
    PQfinish(handle);
}

CASE(finished, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "PQfinish of queued handles takes them out of the queue; those behind them move up") {
    PGconn *handles[6], *last = open_handle();
    hold("SELECT pg_sleep(0.5)");
    for (int i = 0; i < 6; i++) {
        handles[i] = open_handle();
        send_query(handles[i], "SELECT 'goes'");
    }
    send_query(last, "SELECT 'stays'");
    for (int i = 0; i < 6; i++)
        PQfinish(handles[(i * 5) % 6]);
    wait_while_busy(last);
    only_reply(last, "stays");
    hold_no_more();
    expect_backends(1, 1);
    PQfinish(last);
    expect_backends(0, 0);
}

CASE(reset, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "PQreset of a queued handle forgets the query and gives a fresh session") {
    PGconn *handle = open_handle();
    hold("SELECT pg_sleep(0.5)");
    send_query(handle, "SELECT 'forgotten'");
    PQreset(handle);
    expect_number(PQstatus(handle), CONNECTION_OK);
    expect_number(PQtransactionStatus(handle), PQTRANS_IDLE);
    no_more(handle);
    send_query(handle, "SELECT 'fresh'");
    wait_while_busy(handle);
    only_reply(handle, "fresh");
    hold_no_more();
    PQfinish(handle);
}

CASE(refused, "PQONE_MODE=share",
     "under a role limited to 4, twelve handles of one loop queue, and no query fails") {
    enum { HANDLES = 12 };
    PGconn *handles[HANDLES];
    int good = 0;
    for (int i = 0; i < HANDLES; i++) {
        handles[i] = PQconnectdb("dbname=shop user=four");
        good += PQstatus(handles[i]) == CONNECTION_OK;
    }
    expect_number(good, sharing() ? HANDLES : 4);
    double start = seconds_now();
    for (int round = 0; round < 3; round++) {
        char wanted[32];
        for (int i = 0; i < good; i++) {
            snprintf(wanted, sizeof wanted, "%d", round * 100 + i);
            send_with(handles[i], "SELECT $1 FROM pg_sleep(0.05)", wanted);
        }
        for (int i = 0; i < good; i++) {
            wait_while_busy(handles[i]);
            snprintf(wanted, sizeof wanted, "%d", round * 100 + i);
            only_reply(handles[i], wanted);
        }
        expect(role_backends("four") <= 4);
    }
    expect(seconds_now() - start < 5);
    for (int i = 0; i < HANDLES; i++)
        PQfinish(handles[i]);
}

static void tests_cluster(const char *what) {
    char command[512];
    snprintf(command, sizeof command, "unset LD_PRELOAD; tests/cluster %s >/dev/null 2>&1", what);
    expect_number(system(command), 0);
}

CASE(server_stopped, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a server that stops while a query is queued fails it; nothing hangs") {
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "SELECT pg_sleep(60)");
    send_query(second, "SELECT pg_sleep(60)");
    tests_cluster("stop");
    PGconn *handles[] = {first, second};
    for (int i = 0; i < 2; i++) {
        while (PQisBusy(handles[i])) {
            expect(is_ready(handles[i], POLLIN, 10000));
            if (!PQconsumeInput(handles[i]))
                break;
        }
        PGresult *result = PQgetResult(handles[i]);
        expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
        expect(*PQresultErrorMessage(result) != '\0');
        PQclear(result);
        drain(handles[i]);
    }
    tests_cluster("start");
    for (int i = 0; i < 2; i++) {
        PQreset(handles[i]);
        expect_number(PQstatus(handles[i]), CONNECTION_OK);
        send_query(handles[i], "SELECT 'again'");
        wait_while_busy(handles[i]);
        only_reply(handles[i], "again");
        PQfinish(handles[i]);
    }
}

CASE(holder_killed, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "when the connection that is waited for is killed, its holder fails, and the query is sent on another") {
    PGconn *first = open_handle(), *second = open_handle();
    send_query(first, "SELECT pg_sleep(60), 'to be killed'");
    expect_running("to be killed");
    send_query(second, "SELECT 'untouched'");
    control("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'to be killed' AND pid <> "
            "pg_backend_pid()");
    expect(is_ready(first, POLLIN, 5000));
    PQconsumeInput(first);
    expect_text(drain(first), "57P01");
    expect_number(PQstatus(first), CONNECTION_BAD);
    wait_while_busy(second);
    only_reply(second, "untouched");
    PQreset(first);
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(growth, "PQONE_MODE=share",
     "with no cap a query that finds no free connection gets a new one, soon and without blocking") {
    enum { HANDLES = 6 };
    PGconn *handles[HANDLES];
    for (int i = 0; i < HANDLES; i++)
        handles[i] = open_handle();
    double start = seconds_now();
    for (int i = 0; i < HANDLES; i++)
        expect_number(MEASURE(PQsendQuery(handles[i], "SELECT pg_sleep(0.7)")), 1);
    for (int i = 0; i < HANDLES; i++) {
        wait_while_busy(handles[i]);
        expect_text(drain(handles[i]), "");
    }
    expect(seconds_now() - start < 1.35);
    expect_no_call_blocked();
    expect_number(backends(), HANDLES);
    for (int i = 0; i < HANDLES; i++)
        PQfinish(handles[i]);
}

/* Passes bytes on between two sockets until one ends. */
static void *pass_on(void *sockets) {
    char bytes[8192];
    int *two = sockets;
    for (;;) {
        struct pollfd wait[] = {{two[0], POLLIN, 0}, {two[1], POLLIN, 0}};
        poll(wait, 2, -1);
        for (int i = 0; i < 2; i++) {
            ssize_t length = wait[i].revents ? read(two[i], bytes, sizeof bytes) : 1;
            if (length <= 0 || (wait[i].revents && write(two[1 - i], bytes, (size_t)length) != length)) {
                close(two[0]);
                close(two[1]);
                return NULL;
            }
        }
    }
}

static int loopback(const char *port, bool listening) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(port));
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (listening)
        expect(bind(made, (struct sockaddr *)&address, sizeof address) == 0 && listen(made, 8) == 0);
    else
        expect(connect(made, (struct sockaddr *)&address, sizeof address) == 0);
    return made;
}

/* A process of its own that passes on the first `good` connections and never answers any other. Returns a
 * conninfo that leads there. */
static const char *black_hole_after(int good) {
    static char conninfo[200];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = loopback("0", true);
    getsockname(listener, (struct sockaddr *)&address, &length);
    snprintf(conninfo, sizeof conninfo,
             "hostaddr=127.0.0.1 port=%d user=app password=app dbname=shop sslmode=disable",
             ntohs(address.sin_port));
    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int count = 0;; count++) {
            int *two = calloc(2, sizeof *two);
            pthread_t thread;
            two[0] = accept(listener, NULL, NULL);
            if (count >= good)
                continue;
            two[1] = loopback(getenv("PQONE_TEST_PORT"), false);
            pthread_create(&thread, NULL, pass_on, two);
        }
    }
    close(listener);
    return conninfo;
}

CASE(
    black_hole, "PQONE_MODE=share",
    "a new connection that never comes about blocks no call; the query takes the one that comes free first") {
    const char *conninfo = black_hole_after(sharing() ? 1 : 3);
    PGconn *handles[3];
    for (int i = 0; i < 3; i++) {
        handles[i] = PQconnectdb(conninfo);
        expect_text(PQerrorMessage(handles[i]), "");
    }
    for (int round = 0; round < 2; round++) {
        send_query(handles[0], "SELECT pg_sleep(0.4)");
        for (int i = 1; i < 3; i++)
            expect_number(MEASURE(PQsendQuery(handles[i], "SELECT 'comes'")), 1);
        for (int look = 0; look < 10; look++) {
            expect_number(MEASURE(PQflush(handles[1])), 0);
            expect_number(MEASURE(PQconsumeInput(handles[1])), 1);
            MEASURE(PQisBusy(handles[1]));
            expect(MEASURE(PQnotifies(handles[1])) == NULL);
            expect_number(MEASURE(PQtransactionStatus(handles[1])), PQTRANS_ACTIVE);
            sleep_ms(10);
        }
        wait_while_busy(handles[0]);
        expect_text(drain(handles[0]), "");
        for (int i = 1; i < 3; i++) {
            wait_while_busy(handles[i]);
            only_reply(handles[i], "comes");
        }
    }
    expect_no_call_blocked();
    expect_backends(3, 1);
    for (int i = 0; i < 3; i++)
        PQfinish(handles[i]);
}

CASE(never_blocks, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "no call of an asynchronous program blocks while another thread has the only connection") {
    enum { HANDLES = 20 };
    PGconn *handles[HANDLES];
    hold("SELECT pg_sleep(1)");
    for (int i = 0; i < HANDLES; i++) {
        handles[i] = MEASURE(PQconnectdb("dbname=shop user=app"));
        expect(MEASURE(PQsocket(handles[i])) >= 0);
        expect_number(MEASURE(PQsetnonblocking(handles[i], 1)), 0);
        if (i % 3 == 0)
            expect_number(MEASURE(PQenterPipelineMode(handles[i])), 1);
        const char *value = "value";
        expect_number(MEASURE(PQsendQueryParams(handles[i], "SELECT $1", 1, NULL, &value, NULL, NULL, 0)), 1);
        if (i % 3 == 0)
            expect_number(MEASURE(PQpipelineSync(handles[i])), 1);
        if (i % 3 == 1)
            expect_number(MEASURE(PQsetSingleRowMode(handles[i])), 1);
        expect_number(MEASURE(PQflush(handles[i])), 0);
        expect_number(MEASURE(PQconsumeInput(handles[i])), 1);
        MEASURE(PQisBusy(handles[i]));
        MEASURE(PQnotifies(handles[i]));
        MEASURE(PQtransactionStatus(handles[i]));
        MEASURE(PQerrorMessage(handles[i]));
    }
    if (sharing())
        expect_no_call_blocked();
    for (int i = 0; i < HANDLES; i++) {
        wait_while_busy(handles[i]);
        expect_text(reply(handles[i]), "value");
        drain(handles[i]);
        if (i % 3 == 0)
            reply_is(handles[i], PGRES_PIPELINE_SYNC);
    }
    hold_no_more();
    for (int i = 0; i < HANDLES; i++)
        PQfinish(handles[i]);
}

static atomic_bool stop_toggling;
static void *toggle(void *handle) {
    while (!atomic_load(&stop_toggling))
        PQclear(PQexec(handle, "SELECT pg_sleep(0.002)"));
    return NULL;
}

CASE(cancelled_on_delivery, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "a cancel that comes while the query is just being sent for its handle is not lost") {
    PGconn *busy = open_handle(), *handle = open_handle();
    pthread_t thread;
    ask(busy, "SELECT 1");
    pthread_create(&thread, NULL, toggle, busy);
    int lost = 0;
    for (int round = 0; round < 60; round++) {
        send_query(handle, "SELECT pg_sleep(1)");
        if (!sharing())
            sleep_ms(10);
        for (volatile int i = 0; i < round * 60000; i++)
            ;
        cancel_now(handle);
        if (strcmp(drain(handle), "57014") != 0)
            lost++;
    }
    atomic_store(&stop_toggling, true);
    pthread_join(thread, NULL);
    /* On a busy machine a cancel may overtake its query, as it may without us. */
    expect(lost <= 2);
    PQfinish(handle);
    PQfinish(busy);
}
