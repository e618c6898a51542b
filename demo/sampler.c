/* sampler.c: counts a role's server connections in pg_stat_activity, until its standard input ends; prints
 * the peak. */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

int main(int count, char **arguments) {
    const char *role[] = {count == 2 ? arguments[1] : ""};
    struct pollfd input = {.fd = 0, .events = POLLIN};
    int peak = 0;
    PGconn *conn = PQconnectdb("");
    PGresult *prepared = PQprepare(conn, "count",
                                   "SELECT count(*) FROM pg_stat_activity"
                                   " WHERE usename = $1 AND backend_type = 'client backend'",
                                   1, NULL);
    if (PQresultStatus(prepared) != PGRES_COMMAND_OK) {
        fprintf(stderr, "sampler: %s", PQerrorMessage(conn));
        return 1;
    }
    PQclear(prepared);
    puts("ready");
    fflush(stdout);
    while (poll(&input, 1, 5) == 0) {
        PGresult *result = PQexecPrepared(conn, "count", 1, role, NULL, NULL, 0);
        int now = PQntuples(result) ? atoi(PQgetvalue(result, 0, 0)) : 0;
        PQclear(result);
        if (now > peak)
            peak = now;
    }
    printf("%d\n", peak);
    PQfinish(conn);
    return 0;
}
