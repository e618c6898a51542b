/* stay.c: a program that stays: one handle held, one lost, one in a thread's register; counts signals, and
 * ends when its standard input does. */
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static PGconn *held;
static atomic_int signals, ready;
static atomic_bool over;

static void count(int signal) {
    (void)signal;
    signals++;
}

static PGconn *open_shop(void) {
    PGconn *conn = PQconnectdb("dbname=shop user=app");
    PQclear(PQexec(conn, "SELECT 1"));
    return conn;
}

static __attribute__((noinline)) void lose(void) {
    open_shop();
}

/* Nothing but a register has it while the loop runs: its stack is overwritten by what is called before. */
static void *keep_in_register(void *unused) {
    PGconn *conn = open_shop();
    ready = 1;
    while (!over)
        __asm__ volatile("" : "+r"(conn));
    PQfinish(conn);
    return unused;
}

int main(void) {
    pthread_t thread;
    char line[16];
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(SIGRTMIN, &action, NULL);
    held = open_shop();
    lose();
    pthread_create(&thread, NULL, keep_in_register, NULL);
    while (!ready)
        usleep(1000);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
    over = true;
    pthread_join(thread, NULL);
    printf("%d signals, %s\n", signals, PQstatus(held) == CONNECTION_OK ? "connected" : "broken");
    return 0;
}
