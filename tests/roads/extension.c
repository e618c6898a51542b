/* extension.c: an extension module that is bound to a libpq, in each way that a module can hold a function.
 */
#include <libpq-fe.h>
#include <stdio.h>

PGconn *extension_open(int how);
const char *extension_ask(PGconn *conn);
void extension_close(PGconn *conn);

/* A pointer in data, as a table of methods has it: relocated by itself, not by way of the GOT. */
static PGconn *(*const table[])(const char *) = {PQconnectdb};
PGconn *(*volatile extension_connect)(const char *) = PQconnectdb;

PGconn *extension_open(int how) {
    if (how == 0)
        return PQconnectdb("");
    return how == 1 ? table[0]("") : extension_connect("");
}

/* The name under which the server knows the connection: which copy of libpq made it. */
const char *extension_ask(PGconn *conn) {
    static char answer[64];
    PGresult *result = PQexec(conn, "SELECT current_setting('application_name')");
    snprintf(answer, sizeof answer, "%s",
             PQresultStatus(result) == PGRES_TUPLES_OK ? PQgetvalue(result, 0, 0) : PQerrorMessage(conn));
    PQclear(result);
    return answer;
}

void extension_close(PGconn *conn) {
    PQfinish(conn);
}
