/*
 * client.c: the program that is measured: client WORK CONNINFO SECONDS-OR-COUNT [WORK'S OWN…].
 *
 * It knows nothing of pqone. With SINGLETON it is the same program after the repair that people make by
 * hand: one global PGconn that everybody gets and nobody finishes. Prints one number: nanoseconds per
 * operation, bytes per handle, or nothing where others count.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH = 20, THREADS = 8, TEXT_MAX = 4096 };

static const char *conninfo;

static _Noreturn void fail(const char *what, const PGconn *conn) {
    fprintf(stderr, "%s: %s\n", what, conn ? PQerrorMessage(conn) : "no memory");
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static PGconn *really_open(void) {
    PGconn *conn = PQconnectdb(conninfo);
    if (PQstatus(conn) != CONNECTION_OK)
        fail("connect", conn);
    return conn;
}

#ifdef SINGLETON
static PGconn *only;
static PGconn *open_one(void) {
    if (!only)
        only = really_open();
    return only;
}
static void close_one(PGconn *conn) {
    (void)conn;
}
#else
static PGconn *open_one(void) {
    return really_open();
}
static void close_one(PGconn *conn) {
    PQfinish(conn);
}
#endif

static void ask(PGconn *conn, const char *sql) {
    PGresult *result = PQexec(conn, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        fail(sql, conn);
    PQclear(result);
}

/* Runs `operation` for that long, `batch` times between two looks at the clock. */
static void measure(double seconds, int batch, void (*operation)(PGconn *), PGconn *conn) {
    for (int i = 0; i < 3; i++) /* what happens only once is not what is measured */
        operation(conn);
    int64_t start = now(), end = start + (int64_t)(seconds * 1e9), time, count = 0;
    do {
        for (int i = 0; i < batch; i++)
            operation(conn);
        count += batch;
    } while ((time = now()) < end);
    printf("%.3f\n", (double)(time - start) / (double)count);
}

static void reconnect_once(PGconn *unused) {
    (void)unused;
    PGconn *conn = open_one();
    ask(conn, "SELECT 1");
    close_one(conn);
}

/* With another handle open, so that each connect is a duplicate. */
static void do_reconnect(char **words) {
    PGconn *kept = open_one();
    ask(kept, "SELECT 1");
    measure(atof(words[0]), 1, reconnect_once, NULL);
    close_one(kept);
}

static void do_reconnect_alone(char **words) {
    measure(atof(words[0]), 1, reconnect_once, NULL);
}

static void query_once(PGconn *conn) {
    ask(conn, "SELECT 1");
}

static void do_query(char **words) {
    PGconn *conn = open_one();
    measure(atof(words[0]), 1, query_once, conn);
    close_one(conn);
}

static void duplicate_once(PGconn *unused) {
    (void)unused;
    close_one(open_one());
}

static void do_duplicate(char **words) {
    PGconn *kept = open_one();
    ask(kept, "SELECT 1");
    measure(atof(words[0]), 100, duplicate_once, NULL);
    close_one(kept);
}

static void status_once(PGconn *conn) {
    if (PQstatus(conn) != CONNECTION_OK)
        fail("status", conn);
}
static void error_once(PGconn *conn) {
    if (PQerrorMessage(conn)[0])
        fail("error message", conn);
}
static void transaction_once(PGconn *conn) {
    if (PQtransactionStatus(conn) == PQTRANS_UNKNOWN)
        fail("transaction status", conn);
}
static void flush_once(PGconn *conn) {
    if (PQflush(conn))
        fail("flush", conn);
}

/* leased: inside a transaction; free: another handle used the connection last, if they share one. */
static void do_answers(char **words) {
    PGconn *conn = open_one(), *other = open_one();
    ask(conn, strcmp(words[1], "leased") == 0 ? "BEGIN" : "SELECT 1");
    if (strcmp(words[1], "free") == 0)
        ask(other, "SELECT 1");
    measure(atof(words[0]), 1000, status_once, conn);
    measure(atof(words[0]), 1000, error_once, conn);
    measure(atof(words[0]), 1000, transaction_once, conn);
    measure(atof(words[0]), 1000, flush_once, conn);
    close_one(conn);
    close_one(other);
}

/* A query of so many bytes, of the words that queries are made of. */
static void fill(char *sql, size_t size) {
    static const char more[] = ", lower('Text') AS name";
    size_t length = strlen(strcpy(sql, "SELECT 1"));
    for (; length + strlen(more) <= size; length += strlen(more))
        strcpy(sql + length, more);
    memset(sql + length, ' ', size - length);
    sql[size] = '\0';
}

/* For counters of instructions and system calls: so many queries of so many bytes, always the same text or,
 * `new`, a literal that changes each time. */
static void do_count(char **words) {
    char sql[TEXT_MAX], *literal;
    size_t size = (size_t)atoi(words[1]);
    if (size < 8 || size >= sizeof sql)
        exit(2);
    fill(sql, size);
    literal = strcmp(words[2], "new") == 0 ? strstr(sql, "Text") : NULL;
    PGconn *conn = open_one();
    for (int i = atoi(words[0]); i > 0; i--) {
        if (literal)
            for (int digit = 0, rest = i; digit < 4; digit++, rest /= 10)
                literal[digit] = (char)('0' + rest % 10);
        ask(conn, sql);
    }
    close_one(conn);
}

/* Duplicates for the same counters, with nothing asked and with a query. */
static void do_count_duplicates(char **words) {
    PGconn *kept = open_one();
    ask(kept, "SELECT 1");
    for (int i = atoi(words[0]); i > 0; i--)
        duplicate_once(NULL);
    close_one(kept);
}

static void do_count_reconnects(char **words) {
    PGconn *kept = open_one();
    ask(kept, "SELECT 1");
    for (int i = atoi(words[0]); i > 0; i--)
        reconnect_once(NULL);
    close_one(kept);
}

struct worker {
    pthread_t thread;
    pthread_barrier_t *start;
    PGconn **handles;
    int count;
    int64_t end, queries;
};

static void *work(void *argument) {
    struct worker *worker = argument;
    for (int i = 0; i < worker->count; i++) {
        worker->handles[i] = really_open();
        ask(worker->handles[i], "SELECT 1");
    }
    pthread_barrier_wait(worker->start);
    pthread_barrier_wait(worker->start);
    for (int i = 0; now() < worker->end; i = (i + 1) % worker->count, worker->queries++)
        ask(worker->handles[i], "SELECT 1");
    return NULL;
}

/* Eight threads, each in turn through its own part of so many handles. */
static void do_threads(char **words) {
    int handles = atoi(words[1]);
    struct worker workers[THREADS];
    pthread_barrier_t start;
    int64_t queries = 0;
    pthread_barrier_init(&start, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.start = &start, .count = handles / THREADS};
        workers[i].handles = calloc((size_t)workers[i].count, sizeof(PGconn *));
        if (!workers[i].handles || pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            fail("thread", NULL);
    }
    pthread_barrier_wait(&start);
    int64_t began = now();
    for (int i = 0; i < THREADS; i++)
        workers[i].end = began + (int64_t)(atof(words[0]) * 1e9);
    pthread_barrier_wait(&start);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        queries += workers[i].queries;
    }
    printf("%.3f\n", (double)(now() - began) / (double)queries);
}

static long resident(void) {
    long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &size, &pages) != 2)
        exit(1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* What so many handles, each used once, make the process grow by. */
static void do_memory(char **words) {
    int count = atoi(words[0]);
    PGconn **handles = calloc((size_t)count, sizeof *handles), *kept = really_open();
    if (!handles)
        fail("memory", NULL);
    memset(handles, 1, (size_t)count * sizeof *handles);
    ask(kept, "SELECT 1");
    long before = resident();
    for (int i = 0; i < count; i++)
        ask(handles[i] = really_open(), "SELECT 1");
    printf("%.1f\n", (double)(resident() - before) / count);
}

static const struct {
    const char *name;
    void (*run)(char **words);
    int words;
} works[] = {
    {"reconnect", do_reconnect, 1}, {"reconnect_alone", do_reconnect_alone, 1},
    {"query", do_query, 1},         {"duplicate", do_duplicate, 1},
    {"answers", do_answers, 2},     {"count", do_count, 3},
    {"threads", do_threads, 2},     {"count_duplicates", do_count_duplicates, 1},
    {"memory", do_memory, 1},       {"count_reconnects", do_count_reconnects, 1},
};

/* As deep in functions as programs are, so that as many frames are captured as are asked for. */
static __attribute__((noinline)) void deep(int depth, void (*run)(char **), char **words) {
    if (depth > 0)
        deep(depth - 1, run, words);
    else
        run(words);
    __asm__ volatile("");
}

int main(int count, char **words) {
    for (size_t i = 0; count > 2 && i < sizeof works / sizeof *works; i++)
        if (strcmp(words[1], works[i].name) == 0 && count == 3 + works[i].words) {
            conninfo = words[2];
            deep(DEPTH, works[i].run, words + 3);
            return 0;
        }
    fprintf(stderr, "usage: client WORK CONNINFO SECONDS-OR-COUNT ...\n");
    return 2;
}
