/* waits.c: a program without signal handlers, in calls that a stop of the process may end with EINTR; says
 * how they ended once its standard input has. */
#include <errno.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { PATIENCE = 60 };
static int bell, sockets[2];

static void *wait_for_bell(void *unused) {
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, bell, &event);
    int count = epoll_wait(epoll, &event, 1, PATIENCE * 1000);
    printf("epoll_wait: %s\n", count < 0 ? strerror(errno) : count ? "rang" : "nothing");
    close(epoll);
    return unused;
}

static void *wait_for_byte(void *unused) {
    struct timeval patience = {.tv_sec = PATIENCE};
    char byte;
    setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    printf("recv: %s\n", recv(sockets[0], &byte, 1, 0) == 1 ? "came" : strerror(errno));
    return unused;
}

int main(void) {
    pthread_t threads[2];
    char line[16];
    PGconn *conn = PQconnectdb("dbname=shop user=app");
    bell = eventfd(0, EFD_CLOEXEC);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
        return 1;
    pthread_create(&threads[0], NULL, wait_for_bell, NULL);
    pthread_create(&threads[1], NULL, wait_for_byte, NULL);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin))
        ;
    eventfd_write(bell, 1);
    pthread_join(threads[0], NULL);
    send(sockets[1], "", 1, 0);
    pthread_join(threads[1], NULL);
    PQfinish(conn);
    return 0;
}
