/* module.c: a page as a development server builds it anew at each change: it connects, and forgets. */
#include <libpq-fe.h>
#include <stdio.h>

#ifndef VERSION
#define VERSION 0
#endif

int render(void);
int render(void) {
    PGconn *client = PQconnectdb("");
    PGresult *result = NULL;
    if (PQstatus(client) == CONNECTION_OK)
        result = PQexec(client, "SELECT count(*) FROM product");
    int failed = PQresultStatus(result) != PGRES_TUPLES_OK;
    if (failed)
        fprintf(stderr, "    version %d: %s", VERSION, PQerrorMessage(client));
    PQclear(result);
    return failed;
}
