/* pages.c: a site of 30 routes, each with a client of its own that it opens at its first request; 12 at once.
 */
#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUTES = 30, WORKERS = 12, REQUESTS = 600, SHOWN = 2 };

struct route {
    pthread_mutex_t lock;
    PGconn *client;
};

static struct route routes[ROUTES];
static atomic_int next, errors;

/* The route's client is given up; its next request opens another. */
static void fail(int number, struct route *route) {
    const char *message = PQerrorMessage(route->client);
    if (atomic_fetch_add(&errors, 1) < SHOWN)
        fprintf(stderr, "    route %d: %s", number, message);
    PQfinish(route->client);
    route->client = NULL;
}

static void serve(int number) {
    struct route *route = &routes[number];
    pthread_mutex_lock(&route->lock);
    if (!route->client)
        route->client = PQconnectdb("");
    PGresult *result = NULL;
    if (PQstatus(route->client) == CONNECTION_OK)
        result = PQexec(route->client, "SELECT name, price FROM product ORDER BY price LIMIT 5");
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail(number, route);
    PQclear(result);
    pthread_mutex_unlock(&route->lock);
}

static void *work(void *unused) {
    for (int i; (i = atomic_fetch_add(&next, 1)) < REQUESTS;)
        serve(i % ROUTES);
    return unused;
}

int main(void) {
    struct timespec start, end;
    pthread_t workers[WORKERS];
    for (int i = 0; i < ROUTES; i++)
        pthread_mutex_init(&routes[i].lock, NULL);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, work, NULL);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("requests %d errors %d seconds %.3f\n", REQUESTS, atomic_load(&errors),
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    return 0;
}
