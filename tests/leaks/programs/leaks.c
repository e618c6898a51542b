/* leaks.c: a program that leaks in the way it is asked for: leaks KIND. */
#define _GNU_SOURCE
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TARGET "dbname=shop user=app"

/* As programs keep it: in something that belongs to something. */
struct client {
    char name[32];
    PGconn *conn;
    int uses;
};

static struct client *kept;

__attribute__((noinline)) static struct client *client_new(const char *conninfo) {
    struct client *client = calloc(1, sizeof *client);
    snprintf(client->name, sizeof client->name, "client");
    client->conn = PQconnectdb(conninfo);
    return client;
}

__attribute__((noinline)) static void client_free(struct client *client) {
    PQfinish(client->conn);
    free(client);
}

static void run(struct client *client, const char *query) {
    PQclear(PQexec(client->conn, query));
    client->uses++;
}

/* The client goes, its connection stays. */
__attribute__((noinline)) static void handle_request(void) {
    struct client *client = client_new(TARGET);
    run(client, "SELECT 1");
    free(client);
}

static void lost(void) {
    for (int i = 0; i < 3; i++)
        handle_request();
}

static void held(void) {
    kept = client_new(TARGET);
    run(kept, "SELECT 1");
}

static void failed(void) {
    struct client *client = client_new("host=/nowhere dbname=shop");
    if (PQstatus(client->conn) == CONNECTION_BAD)
        free(client);
}

static void clean(void) {
    for (int i = 0; i < 5; i++) {
        struct client *client = client_new(TARGET);
        run(client, "SELECT 1");
        client_free(client);
    }
}

static void duplicates(void) {
    struct client *clients[12];
    for (int i = 0; i < 12; i++)
        clients[i] = client_new(TARGET);
    for (int i = 0; i < 12; i++)
        client_free(clients[i]);
}

static void leave(void) {
    held();
    _exit(0);
}

static void killed(void) {
    held();
    raise(SIGKILL);
}

static void crashed(void) {
    held();
    raise(SIGSEGV);
}

static void replaced(void) {
    held();
    execlp("true", "true", (char *)NULL);
}

static void at_exit_handler(void) {
    client_free(kept);
}

static void cleaned_at_exit(void) {
    held();
    atexit(at_exit_handler);
}

static void double_finish(void) {
    struct client *client = client_new(TARGET);
    PQfinish(client->conn);
    client_free(client);
}

static void use_after_finish(void) {
    struct client *client = client_new(TARGET);
    PQfinish(client->conn);
    if (PQstatus(client->conn) == CONNECTION_BAD)
        run(client, "SELECT 1");
    free(client);
}

static void *ask_slowly(void *argument) {
    struct client *client = argument;
    PQclear(PQexec(client->conn, "SELECT pg_sleep(0.5)"));
    return NULL;
}

static void two_threads(void) {
    struct client *client = client_new(TARGET);
    pthread_t other;
    pthread_create(&other, NULL, ask_slowly, client);
    usleep(200000);
    PQflush(client->conn); /* with nothing to flush, so that libpq survives it */
    pthread_join(other, NULL);
    client_free(client);
}

static void both_sides(void) {
    struct client *client = client_new(TARGET);
    run(client, "SELECT 1");
    pid_t child = fork();
    if (child == 0) {
        run(client, "SELECT 2");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    run(client, "SELECT 3");
    client_free(client);
}

/* No leak and no misuse: the parent opens, the child alone uses and finishes. */
static void handed_over(void) {
    struct client *client = client_new(TARGET);
    pid_t child = fork();
    if (child == 0) {
        run(client, "SELECT 1");
        client_free(client);
        exit(0);
    }
    waitpid(child, NULL, 0);
    free(client);
}

static void uncommitted(void) {
    struct client *client = client_new(TARGET);
    run(client, "BEGIN");
    run(client, "CREATE TABLE never_there (id int)");
    client_free(client);
}

static void uncommitted_read(void) {
    struct client *client = client_new(TARGET);
    run(client, "BEGIN");
    run(client, "SELECT 1");
    client_free(client);
}

static void results(void) {
    struct client *client = client_new(TARGET);
    for (int i = 0; i < 7; i++)
        if (PQresultStatus(PQexec(client->conn, "SELECT 1")) == PGRES_TUPLES_OK)
            client->uses++;
    client_free(client);
}

/* As daemons do: the parent is gone at once, the child goes on, and forgets. */
static void daemonised(void) {
    if (fork() > 0)
        _exit(0);
    setsid();
    handle_request();
    exit(0);
}

static const struct {
    const char *name;
    void (*leak)(void);
} kinds[] = {
    {"lost", lost},
    {"held", held},
    {"failed", failed},
    {"clean", clean},
    {"duplicates", duplicates},
    {"leave", leave},
    {"killed", killed},
    {"crashed", crashed},
    {"replaced", replaced},
    {"cleaned_at_exit", cleaned_at_exit},
    {"double_finish", double_finish},
    {"use_after_finish", use_after_finish},
    {"two_threads", two_threads},
    {"both_sides", both_sides},
    {"handed_over", handed_over},
    {"uncommitted", uncommitted},
    {"uncommitted_read", uncommitted_read},
    {"results", results},
    {"daemonised", daemonised},
};

int main(int count, char **arguments) {
    for (size_t i = 0; count == 2 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(arguments[1], kinds[i].name) == 0) {
            kinds[i].leak();
            return 0;
        }
    fprintf(stderr, "leaks: which kind?\n");
    return 2;
}
