/* stubborn.c: an extension that holds its own lock while it connects, as several do around libpq. */
#include <libpq-fe.h>
#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int connect_locked(const char *conninfo);
int connect_locked(const char *conninfo) {
    const struct timespec enough = {0, 300000000};
    pthread_mutex_lock(&lock);
    nanosleep(&enough, NULL);
    PGconn *conn = PQconnectdb(conninfo);
    int status = PQstatus(conn);
    PQfinish(conn);
    pthread_mutex_unlock(&lock);
    return status;
}

void pass_lock(void);
void pass_lock(void) {
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}
