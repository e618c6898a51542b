/*
 * wrapper.c: opens every handle through one function: wrapper [wait]. Finds out whether reports name who
 * asked for it. Three are lost by find_user, two by audit (through another function), one is kept, one is
 * used after its finish. With wait it says "ready PID" and goes on until its standard input ends.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CALLED __attribute__((noinline))

PGconn *kept;

/* Not in tail position: a jump leaves no frame. */
static CALLED PGconn *db_open(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    __asm__ volatile("" ::: "memory");
    return handle;
}

static CALLED PGconn *pooled(void) {
    PGconn *handle = db_open();
    __asm__ volatile("" ::: "memory");
    return handle;
}

static CALLED void find_user(void) {
    if (PQstatus(db_open()) != CONNECTION_OK)
        puts("not connected");
}

static CALLED void audit(void) {
    if (PQstatus(pooled()) != CONNECTION_OK)
        puts("not connected");
}

static CALLED void list_orders(void) {
    kept = db_open();
}

static CALLED void send_mail(void) {
    PGconn *handle = pooled();
    PQfinish(handle);
    PQclear(PQexec(handle, "SELECT 1"));
}

/* What lies on the stack from before still points at handles. */
static CALLED void wipe(void) {
    char volatile bytes[20000];
    memset((void *)bytes, 0, sizeof bytes);
}

int main(int count, char **words) {
    for (int i = 0; i < 3; i++)
        find_user();
    for (int i = 0; i < 2; i++)
        audit();
    list_orders();
    send_mail();
    wipe();
    if (count > 1 && strcmp(words[1], "wait") == 0) {
        char byte;
        printf("ready %d\n", (int)getpid());
        fflush(stdout);
        while (read(STDIN_FILENO, &byte, 1) > 0)
            ;
    }
    return 0;
}
