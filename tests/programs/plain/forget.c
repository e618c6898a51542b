/* forget.c: opens three handles at two places, finishes one, and ends as asked: exit, _exit, kill, segv,
 * wait; or queue: one query behind another until its socket tells how that went. */
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

PGconn *open_products(void);
PGconn *open_brands(void);

__attribute__((noinline)) PGconn *open_products(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    PQclear(PQexec(handle, "SELECT 1"));
    return handle;
}

__attribute__((noinline)) PGconn *open_brands(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    PQclear(PQexec(handle, "SELECT 2"));
    return handle;
}

int main(int count, char **arguments) {
    const char *end = count > 1 ? arguments[1] : "exit";
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    PGconn *products = open_products(), *brands = open_brands(), *finished = open_products();
    if (PQstatus(products) != CONNECTION_OK || PQstatus(brands) != CONNECTION_OK) {
        fputs(PQerrorMessage(products), stderr);
        return 1;
    }
    PQfinish(finished);
    if (strcmp(end, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(end, "segv") == 0)
        raise(SIGSEGV);
    if (strcmp(end, "_exit") == 0)
        _exit(7);
    if (strcmp(end, "finish") == 0) {
        PQfinish(products);
        PQfinish(brands);
    }
    if (strcmp(end, "queue") == 0 && PQsendQuery(products, "SELECT pg_sleep(1)") &&
        PQsendQuery(brands, "SELECT 2")) {
        struct pollfd answer = {.fd = PQsocket(brands), .events = POLLIN};
        poll(&answer, 1, 10000);
    }
    if (strcmp(end, "wait") == 0) {
        puts("ready");
        fflush(stdout);
        pause();
    }
    return 7;
}
