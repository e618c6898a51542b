/*
 * storm.c: connects a hundred thousand times, from more call sites than a ledger has rows for: storm CONNECTS
 * UNFINISHED. Every so often a handle is not finished, so that there is something to report.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BITS = 10 };

PGconn *left(unsigned path, int depth);
PGconn *right(unsigned path, int depth);

/* The stack is the path: as many call sites as paths. */
static PGconn *onwards(unsigned path, int depth) {
    if (depth == PATH_BITS)
        return PQconnectdb(path % 7 ? "dbname=shop user=app" : "dbname=stock user=app");
    return path >> depth & 1 ? left(path, depth + 1) : right(path, depth + 1);
}

/* Not in tail position: a jump leaves no frame. */
__attribute__((noinline)) PGconn *left(unsigned path, int depth) {
    PGconn *handle = onwards(path, depth);
    __asm__ volatile("" ::: "memory");
    return handle;
}

__attribute__((noinline)) PGconn *right(unsigned path, int depth) {
    PGconn *handle = onwards(path, depth);
    __asm__ volatile("" ::: "memory");
    return handle;
}

int main(int count, char **words) {
    unsigned connects = count > 1 ? (unsigned)atoi(words[1]) : 100000;
    unsigned unfinished = count > 2 ? (unsigned)atoi(words[2]) : 100;
    for (unsigned i = 0; i < connects; i++) {
        PGconn *handle = left(i % (1 << PATH_BITS), 0);
        if (PQstatus(handle) != CONNECTION_OK)
            return 1;
        if (i % (connects / unfinished) != 0)
            PQfinish(handle);
    }
    printf("%u connects\n", connects);
    return 0;
}
