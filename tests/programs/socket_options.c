/* socket_options.c: what the kernel says about PQsocket's number, and what programs do to it. */
#include "case/case.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static PGconn *open_tcp(void) {
    PGconn *handle = PQconnectdb(tcp_conninfo("app", "app"));
    expect_text(PQerrorMessage(handle), "");
    expect(PQsocket(handle) >= 0);
    return handle;
}

static int option(PGconn *handle, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    expect_number(getsockopt(PQsocket(handle), level, name, &value, &length), 0);
    expect_number(length, sizeof value);
    return value;
}

static int set_option(PGconn *handle, int level, int name, int value) {
    return setsockopt(PQsocket(handle), level, name, &value, sizeof value);
}

static void expect_tcp(PGconn *handle) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    expect_number(getpeername(PQsocket(handle), (struct sockaddr *)&address, &length), 0);
    expect_number(length, sizeof address);
    expect_number(address.sin_family, AF_INET);
    expect_number(ntohs(address.sin_port), atoi(getenv("PQONE_TEST_PORT")));
    expect_number(ntohl(address.sin_addr.s_addr), INADDR_LOOPBACK);
    expect_number(getsockname(PQsocket(handle), (struct sockaddr *)&address, &length), 0);
    expect_number(address.sin_family, AF_INET);
    expect(ntohs(address.sin_port) > 0);
    expect_number(option(handle, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    expect_number(option(handle, SOL_SOCKET, SO_DOMAIN), AF_INET);
    expect_number(option(handle, SOL_SOCKET, SO_ERROR), 0);
    expect_number(option(handle, IPPROTO_TCP, TCP_NODELAY), 1);
}

CASE(tcp_names, "", "over TCP the number has the server's address, with a lease and without") {
    PGconn *first = open_tcp(), *second = open_tcp();
    expect_tcp(first);
    ask(second, "BEGIN");
    expect_tcp(first);
    expect_tcp(second);
    ask(second, "COMMIT");
    ask(first, "SELECT 1");
    expect_tcp(second);
    expect_backends(2, 1);
    PQfinish(first);
    expect_tcp(second);
    PQfinish(second);
}

CASE(idle_names, "PQONE_IDLE_TIMEOUT=200ms",
     "the number has the server's address when its connection was closed as idle") {
    PGconn *handle = open_tcp();
    ask(handle, "SELECT 1");
    PGconn *other = open_tcp();
    ask(other, "BEGIN");
    ask(handle, "SELECT 1");
    ask(other, "COMMIT");
    for (int i = 0; sharing() && backends() > 0 && i < 50; i++)
        sleep_ms(100);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    expect_number(getpeername(PQsocket(handle), (struct sockaddr *)&address, &length), 0);
    expect_number(length, sizeof address);
    expect_number(address.sin_family, AF_INET);
    expect_number(ntohs(address.sin_port), atoi(getenv("PQONE_TEST_PORT")));
    expect_number(option(handle, SOL_SOCKET, SO_DOMAIN), AF_INET);
    expect_number(option(handle, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
    if (sharing())
        expect_number(backends(), 0);
    PQfinish(handle);
    PQfinish(other);
}

CASE(own_port, "", "getsockname() of who was told its port says that port") {
    PGconn *first = open_tcp(), *second = open_tcp();
    ask(first, "SELECT 1");
    int told = atoi(ask(second, "SELECT inet_client_port()"));
    ask(first, "SELECT 1");
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    expect_number(getsockname(PQsocket(second), (struct sockaddr *)&address, &length), 0);
    expect_number(ntohs(address.sin_port), told);
    PQfinish(first);
    PQfinish(second);
}

CASE(unix_names, "", "over a Unix socket the number has the server's path and process") {
    PGconn *handle = open_handle();
    struct sockaddr_un address;
    struct ucred who;
    socklen_t length = sizeof address, size = sizeof who;
    expect_number(getpeername(PQsocket(handle), (struct sockaddr *)&address, &length), 0);
    expect_number(address.sun_family, AF_UNIX);
    expect_part(address.sun_path, getenv("PGHOST"));
    expect_number(option(handle, SOL_SOCKET, SO_DOMAIN), AF_UNIX);
    expect_number(getsockopt(PQsocket(handle), SOL_SOCKET, SO_PEERCRED, &who, &size), 0);
    expect(who.pid != getpid());
    PQfinish(handle);
}

CASE(names_in_child, "", "in a forked child the number has the server's address as well") {
    PGconn *handle = open_tcp();
    ask(handle, "SELECT 1");
    int inherited = PQsocket(handle), child = fork();
    if (child == 0) {
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        int failed = getpeername(inherited, (struct sockaddr *)&address, &length);
        _exit(failed || address.sin_family != AF_INET);
    }
    expect_number(child_status(child), 0);
    child = fork();
    if (child == 0) {
        expect_text(ask(handle, "SELECT 'child'"), "child");
        expect_tcp(handle);
        _exit(0);
    }
    expect_number(child_status(child), 0);
    if (sharing())
        expect_text(ask(handle, "SELECT 'parent'"), "parent");
    PQfinish(handle);
}

CASE(no_socket, "", "other sockets and files answer for themselves") {
    int pair[2], value;
    socklen_t length = sizeof value;
    struct sockaddr_un address;
    PGconn *handle = open_tcp();
    expect(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    expect(getsockopt(pair[0], SOL_SOCKET, SO_TYPE, &value, &length) == 0 && value == SOCK_DGRAM);
    length = sizeof address;
    expect(getpeername(pair[0], (struct sockaddr *)&address, &length) == 0 && address.sun_family == AF_UNIX);
    expect(getsockname(1, (struct sockaddr *)&address, &length) == -1 && errno == ENOTSOCK);
    expect(getpeername(-1, (struct sockaddr *)&address, &length) == -1 && errno == EBADF);
    expect(shutdown(9999, SHUT_RDWR) == -1 && errno == EBADF);
    expect(setsockopt(-1, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value) == -1 && errno == EBADF);
    expect(shutdown(pair[0], SHUT_RDWR) == 0);
    PQfinish(handle);
}

CASE(option_kept, "", "an option that the program sets is there afterwards, and for nobody else") {
    PGconn *first = open_tcp(), *second = open_tcp();
    int before = option(second, IPPROTO_TCP, TCP_KEEPIDLE);
    expect(before != 77);
    expect_number(set_option(first, IPPROTO_TCP, TCP_KEEPIDLE, 77), 0);
    expect_number(option(first, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    expect_number(option(second, IPPROTO_TCP, TCP_KEEPIDLE), before);
    ask(second, "SELECT 1");
    ask(first, "SELECT 1");
    ask(second, "SELECT 1");
    expect_number(option(first, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    expect_number(option(second, IPPROTO_TCP, TCP_KEEPIDLE), before);
    expect_backends(2, 2);
    if (sharing())
        expect_number(log_lines("pin:", "socket-option"), 1);
    expect_number(set_option(first, IPPROTO_TCP, TCP_KEEPIDLE, 78), 0);
    expect_number(option(first, IPPROTO_TCP, TCP_KEEPIDLE), 78);
    PQfinish(first);
    PGconn *third = open_tcp();
    ask(third, "SELECT 1");
    expect_number(option(third, IPPROTO_TCP, TCP_KEEPIDLE), before);
    PQfinish(second);
    PQfinish(third);
}

CASE(option_in_transaction, "", "an option that is set inside a transaction holds at once, and after it") {
    PGconn *first = open_tcp(), *second = open_tcp();
    ask(first, "BEGIN");
    expect_number(set_option(first, SOL_SOCKET, SO_KEEPALIVE, 0), 0);
    expect_number(option(first, SOL_SOCKET, SO_KEEPALIVE), 0);
    ask(first, "COMMIT");
    ask(second, "SELECT 1");
    expect_number(option(first, SOL_SOCKET, SO_KEEPALIVE), 0);
    expect_number(option(second, SOL_SOCKET, SO_KEEPALIVE), 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(option_as_it_is, "", "an option that is so already costs no connection") {
    PGconn *first = open_tcp(), *second = open_tcp();
    expect_number(set_option(first, SOL_SOCKET, SO_KEEPALIVE, 1), 0);
    expect_number(set_option(first, IPPROTO_TCP, TCP_NODELAY, 1), 0);
    ask(first, "SELECT 1");
    ask(second, "SELECT 1");
    ask(first, "SELECT 1");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(option_by_kernel, "", "what the kernel makes of an option shows before a query and after it") {
    PGconn *handle = open_tcp(), *other = open_tcp();
    expect_number(set_option(handle, SOL_SOCKET, SO_RCVBUF, 20000), 0);
    expect_number(option(handle, SOL_SOCKET, SO_RCVBUF), 40000);
    ask(other, "SELECT 1");
    ask(handle, "SELECT 1");
    expect_number(option(handle, SOL_SOCKET, SO_RCVBUF), 40000);
    expect(set_option(handle, IPPROTO_TCP, 9999, 1) == -1 && errno == ENOPROTOOPT);
    expect(set_option(other, IPPROTO_TCP, 9999, 1) == -1 && errno == ENOPROTOOPT);
    expect(set_option(other, IPPROTO_TCP, TCP_KEEPIDLE, -5) == -1 && errno == EINVAL);
    expect(setsockopt(PQsocket(other), SOL_SOCKET, SO_KEEPALIVE, "x", 1) == -1 && errno == EINVAL);
    PQfinish(handle);
    PQfinish(other);
}

CASE(option_of_copy, "", "a copy of the number answers as the number does, as in Python's socket.fromfd()") {
    PGconn *handle = open_tcp(), *other = open_tcp();
    int copy = dup(PQsocket(handle)), value = 77, pair[2];
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    expect(copy >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    expect_number(getpeername(copy, (struct sockaddr *)&address, &length), 0);
    expect_number(address.sin_family, AF_INET);
    expect_number(setsockopt(copy, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value), 0);
    expect_number(close(copy), 0);
    ask(handle, "SELECT 1");
    ask(other, "SELECT 1");
    expect_number(option(handle, IPPROTO_TCP, TCP_KEEPIDLE), 77);
    expect(option(other, IPPROTO_TCP, TCP_KEEPIDLE) != 77);
    length = sizeof value;
    expect(getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &value, &length) == 0 && value == AF_UNIX);
    PQfinish(handle);
    PQfinish(other);
}

CASE(many_options, "", "many handles that each set an option before their first query") {
    enum { HANDLES = 40 };
    PGconn *handles[HANDLES];
    for (int i = 0; i < HANDLES; i++) {
        handles[i] = open_handle();
        expect_number(set_option(handles[i], SOL_SOCKET, SO_PRIORITY, 1 + i % 6), 0);
    }
    for (int i = 0; i < HANDLES; i++)
        expect_number(option(handles[i], SOL_SOCKET, SO_PRIORITY), 1 + i % 6);
    ask(handles[0], "SELECT 1");
    for (int i = 0; i < HANDLES; i++) {
        expect_number(option(handles[i], SOL_SOCKET, SO_PRIORITY), 1 + i % 6);
        PQfinish(handles[i]);
    }
    PGconn *last = open_handle();
    expect_number(option(last, SOL_SOCKET, SO_PRIORITY), 0);
    PQfinish(last);
}

static PGconn *blocked;

static void *shut_it_down(void *argument) {
    (void)argument;
    sleep_ms(300);
    shutdown(PQsocket(blocked), SHUT_RDWR);
    return NULL;
}

CASE(shutdown_ends_a_wait, "", "shutdown() from another thread ends a blocked PQgetResult") {
    pthread_t thread;
    PGconn *other = open_handle();
    blocked = open_handle();
    expect(PQsocket(blocked) >= 0 && PQsendQuery(blocked, "SELECT pg_sleep(30)") == 1);
    double before = seconds_now();
    expect(pthread_create(&thread, NULL, shut_it_down, NULL) == 0);
    PGresult *result = PQgetResult(blocked);
    expect_number(PQresultStatus(result), PGRES_FATAL_ERROR);
    PQclear(result);
    expect(seconds_now() - before < 5);
    pthread_join(thread, NULL);
    expect_number(PQstatus(blocked), CONNECTION_BAD);
    expect_text(ask(other, "SELECT 'other'"), "other");
    PQfinish(blocked);
    PQfinish(other);
}

CASE(shutdown_at_rest, "", "a handle whose number was shut down while it rests has no connection any more") {
    PGconn *first = open_handle(), *second = open_handle();
    expect(PQsocket(first) >= 0);
    ask(first, "SELECT 1");
    expect_number(shutdown(PQsocket(first), SHUT_RDWR), 0);
    struct pollfd wait = {.fd = PQsocket(first), .events = POLLIN};
    expect_number(poll(&wait, 1, 5000), 1);
    expect_text(refused(first, "SELECT 2"), "");
    expect_number(PQstatus(first), CONNECTION_BAD);
    expect_text(ask(second, "SELECT 'second'"), "second");
    PQreset(first);
    expect_text(ask(first, "SELECT 'first'"), "first");
    PQfinish(first);
    PQfinish(second);
}

CASE(reset_after_shutdown, "", "PQreset after a shutdown gives a connection without it") {
    PGconn *handle = open_tcp();
    ask(handle, "SELECT 1");
    expect_number(set_option(handle, IPPROTO_TCP, TCP_KEEPIDLE, 77), 0);
    expect_number(shutdown(PQsocket(handle), SHUT_RDWR), 0);
    PQreset(handle);
    expect_text(ask(handle, "SELECT 'new'"), "new");
    struct pollfd wait = {.fd = PQsocket(handle), .events = POLLIN};
    expect_number(poll(&wait, 1, 0), 0);
    expect_number(PQsendQuery(handle, "SELECT pg_sleep(0.2)"), 1);
    expect_number(poll(&wait, 1, 50), 0);
    wait.fd = PQsocket(handle);
    expect_number(poll(&wait, 1, 5000), 1);
    expect_number(wait.revents, POLLIN);
    PQclear(PQgetResult(handle));
    expect(!PQgetResult(handle));
    expect(option(handle, IPPROTO_TCP, TCP_KEEPIDLE) != 77);
    PQfinish(handle);
}

static PGconn *asked;
static volatile sig_atomic_t answers, wrong;

/* The number is taken before: PQsocket itself is nothing for a handler. */
static int number;
static void ask_in_handler(int signal_number) {
    (void)signal_number;
    int saved_errno = errno, type = 0;
    socklen_t length = sizeof type;
    struct sockaddr_storage address;
    if (getsockopt(number, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM)
        wrong = 1;
    length = sizeof address;
    if (getpeername(number, (struct sockaddr *)&address, &length) != 0)
        wrong = 1;
    answers++;
    errno = saved_errno;
}

CASE(asked_in_handler, "", "a signal handler that asks about the number interrupts connects and queries") {
    asked = open_tcp();
    number = PQsocket(asked);
    struct sigaction action = {.sa_handler = ask_in_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 500}, {0, 500}}, never = {{0, 0}, {0, 0}};
    expect(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    double until = seconds_now() + 1.0;
    while (seconds_now() < until) {
        PGconn *handle = open_tcp();
        expect_text(ask(handle, "SELECT 'one'"), "one");
        expect_text(ask(asked, "SELECT 'two'"), "two");
        PQfinish(handle);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    expect(answers > 100);
    expect_number(wrong, 0);
    PQfinish(asked);
}
