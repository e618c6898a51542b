/* prepared.c: statements prepared through the API are their handle's, on whatever connection it is. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a call came to: the first value, the command's tag, or "!SQLSTATE". Valid until the 16th after it. */
static const char *came_to(PGconn *handle, PGresult *result) {
    static char kept[16][256];
    static unsigned next;
    char *answer = kept[next++ % 16];
    ExecStatusType status = PQresultStatus(result);
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (status == PGRES_TUPLES_OK)
        snprintf(answer, sizeof kept[0], "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    else if (status == PGRES_COMMAND_OK)
        snprintf(answer, sizeof kept[0], "%s", PQcmdStatus(result));
    else if (status == PGRES_PIPELINE_ABORTED)
        snprintf(answer, sizeof kept[0], "!aborted");
    else
        snprintf(answer, sizeof kept[0], "!%s", state ? state : PQerrorMessage(handle));
    PQclear(result);
    return answer;
}

static const char *prepare(PGconn *handle, const char *name, const char *sql) {
    return came_to(handle, PQprepare(handle, name, sql, 0, NULL));
}
static const char *execute(PGconn *handle, const char *name) {
    return came_to(handle, PQexecPrepared(handle, name, 0, NULL, NULL, NULL, 0));
}
static const char *execute_with(PGconn *handle, const char *name, const char *value) {
    return came_to(handle, PQexecPrepared(handle, name, 1, &value, NULL, NULL, 0));
}
static const char *try_sql(PGconn *handle, const char *sql) {
    return came_to(handle, PQexec(handle, sql));
}

static void nobody_pinned(void) {
    if (sharing())
        expect_text(log_lines(" pin: ", NULL) ? log_text() : "", "");
}

/* Somebody else's query between two of ours, and, with it open, our next lease on another connection. */
static void elsewhere(PGconn *neighbour, bool away) {
    ask(neighbour, away ? "BEGIN" : "COMMIT");
}

CASE(two_texts, "", "one name with two texts: each handle executes its own, on one connection") {
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    for (int i = 0; i < 5; i++) {
        expect_text(execute(first, "q"), "first");
        expect_text(execute(second, "q"), "second");
        expect_text(execute(third, "q"), "!26000");
    }
    expect_backends(3, 1);
    nobody_pinned();
    PQfinish(first);
    expect_text(execute(second, "q"), "second");
    PQfinish(second);
    PQfinish(third);
}

CASE(in_turn, "", "ten handles with one text, in turn, share one connection") {
    PGconn *handles[10];
    const Oid type = 23;
    for (int i = 0; i < 10; i++) {
        handles[i] = open_handle();
        expect_text(came_to(handles[i], PQprepare(handles[i], "plus", "SELECT $1 + 1", 1, &type)), "");
    }
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 10; i++)
            expect_text(execute_with(handles[i], "plus", "41"), "42");
    expect_backends(10, 1);
    nobody_pinned();
    for (int i = 0; i < 10; i++)
        PQfinish(handles[i]);
}

CASE(types, "", "one text with two parameter types is two statements") {
    PGconn *first = open_handle(), *second = open_handle();
    const Oid number = 23, text = 25;
    const char *sql = "SELECT pg_typeof($1)";
    expect_text(came_to(first, PQprepare(first, "t", sql, 1, &number)), "");
    expect_text(came_to(second, PQprepare(second, "t", sql, 1, &text)), "");
    for (int i = 0; i < 2; i++) {
        expect_text(execute_with(first, "t", "1"), "integer");
        expect_text(execute_with(second, "t", "1"), "text");
    }
    expect_text(execute_with(first, "t", "x"), "!22P02");
    PQfinish(first);
    PQfinish(second);
}

CASE(another_connection, "", "executed on another connection than it was prepared on") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT 'mine'"), "");
    for (int i = 0; i < 4; i++) {
        elsewhere(neighbour, i % 2 == 0);
        expect_text(execute(first, "q"), "mine");
    }
    elsewhere(neighbour, true);
    PGresult *result = PQdescribePrepared(first, "q");
    expect_number(PQnfields(result), 1);
    PQclear(result);
    expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
    only_reply(first, "mine");
    elsewhere(neighbour, false);
    nobody_pinned();
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(sent_elsewhere, "", "sent where it is not prepared: types, values and formats go along") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    const Oid types[] = {23, 0};
    const char binary[] = {0, 0, 0, 41};
    const char *values[] = {binary, "text"};
    const int lengths[] = {4, 0}, formats[] = {1, 0};
    PQclear(PQprepare(first, "q", "SELECT $1 + 1, $2::text", 1, types));
    elsewhere(neighbour, true);
    expect_number(PQsendQueryPrepared(first, "q", 2, values, lengths, formats, 0), 1);
    PGresult *result = PQgetResult(first);
    expect_text(PQresultErrorMessage(result), "");
    expect_text(PQgetvalue(result, 0, 0), "42");
    expect_text(PQgetvalue(result, 0, 1), "text");
    PQclear(result);
    no_more(first);
    /* It is no unnamed statement of the handle's. */
    expect_text(execute(first, ""), "!26000");
    ask(first, "BEGIN");
    expect_number(PQsendQueryPrepared(first, "q", 2, values, lengths, formats, 0), 1);
    expect_text(drain(first), "");
    expect_text(execute(first, ""), "!26000");
    ask(first, "ROLLBACK");
    elsewhere(neighbour, false);
    elsewhere(neighbour, true);
    expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
    expect_text(reply_error(first), sharing() ? "26000" : "08P01");
    no_more(first);
    expect_number(PQsendDescribePrepared(first, "q"), 1);
    result = PQgetResult(first);
    expect_number(PQnparams(result), 2);
    PQclear(result);
    no_more(first);
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(unnamed, "", "the unnamed statement is its handle's until its next query") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "", "SELECT 'first'"), "");
    expect_text(execute(second, ""), "!26000");
    expect_text(prepare(second, "", "SELECT 'second'"), "");
    for (int i = 0; i < 3; i++) {
        expect_text(execute(first, ""), "first");
        expect_text(execute(second, ""), "second");
    }
    expect_text(prepare(first, "", "SELECT 'again'"), "");
    expect_text(execute(first, ""), "again");
    expect_text(prepare(first, "named", "SELECT 'named'"), "");
    expect_text(execute(first, "named"), "named");
    expect_text(execute(first, ""), "again");
    ask(first, "SELECT 1");
    expect_text(execute(first, ""), "!26000");
    expect_text(prepare(first, "", "SELECT 'last'"), "");
    expect_text(prepare(first, "", "SELEC"), "!42601");
    expect_text(execute(first, ""), "!26000");
    expect_text(execute(second, ""), "second");
    PQclear(PQexecParams(second, "SELECT 'params'", 0, NULL, NULL, NULL, NULL, 0));
    expect_text(execute(second, ""), "params");
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(errors, "", "what the server refuses is not prepared") {
    PGconn *handle = open_handle();
    expect_text(prepare(handle, "q", "SELECT * FROM no_such_table"), "!42P01");
    expect_text(execute(handle, "q"), "!26000");
    expect_text(prepare(handle, "q", "SELEC"), "!42601");
    expect_text(prepare(handle, "q", "SELECT 1; SELECT 2"), "!42601");
    expect_text(prepare(handle, "q", "SELECT $1::int"), "");
    expect_text(execute(handle, "q"), "!08P01");
    expect_text(execute_with(handle, "q", "x"), "!22P02");
    expect_text(execute_with(handle, "q", "7"), "7");
    expect_number(PQsendPrepare(handle, "sent", "SELECT * FROM no_such_table", 0, NULL), 1);
    expect_text(drain(handle), "42P01");
    expect_text(execute(handle, "sent"), "!26000");
    expect_number(PQsendPrepare(handle, "sent", "SELECT 'sent'", 0, NULL), 1);
    expect_text(drain(handle), "");
    expect_text(execute(handle, "sent"), "sent");
    expect(PQprepare(handle, NULL, "SELECT 1", 0, NULL) == NULL);
    expect(PQprepare(handle, "null", NULL, 0, NULL) == NULL);
    expect(PQexecPrepared(handle, NULL, 0, NULL, NULL, NULL, 0) == NULL);
    expect_text(execute(handle, "null"), "!26000");
    PQfinish(handle);
}

CASE(taken, "", "a name that is in use is refused, and keeps its statement") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT 'old'"), "");
    expect_text(prepare(first, "q", "SELECT 'new'"), "!42P05");
    expect_text(execute(first, "q"), "old");
    expect_number(PQsendPrepare(first, "q", "SELECT 'new'", 0, NULL), 1);
    expect_text(drain(first), "42P05");
    elsewhere(neighbour, true);
    expect_text(prepare(first, "q", "SELECT 'new'"), "!42P05");
    expect_text(execute(first, "q"), "old");
    elsewhere(neighbour, false);
    ask(first, "BEGIN");
    expect_text(prepare(first, "q", "SELECT 'new'"), "!42P05");
    expect_text(execute(first, "q"), "!25P02");
    ask(first, "ROLLBACK");
    expect_text(execute(first, "q"), "old");
    nobody_pinned();
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(taken_elsewhere, "", "a name in use is refused by a connection that has nothing of it, too") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT 'old'"), "");
    elsewhere(neighbour, true);
    expect_number(PQsendPrepare(first, "q", "SELECT 'new'", 0, NULL), 1);
    expect_text(drain(first), "42P05");
    expect_text(execute(first, "q"), "old");
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(long_names, "", "names are told apart as the server does, by 63 bytes") {
    PGconn *first = open_handle();
    char one[80], other[80];
    memset(one, 'a', 79);
    memset(other, 'a', 79);
    one[70] = other[71] = '\0';
    expect_text(prepare(first, one, "SELECT 'one'"), "");
    expect_text(prepare(first, other, "SELECT 'other'"), "!42P05");
    expect_text(execute(first, other), "one");
    one[62] = '\0';
    expect_text(execute(first, one), "!26000");
    PQfinish(first);
}

CASE(transactions, "", "a rollback takes no statement away, and an aborted transaction prepares none") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    expect_text(prepare(first, "q", "SELECT 'kept'"), "");
    ask(first, "ROLLBACK");
    expect_text(ask(second, "SELECT 1"), "1");
    expect_text(execute(first, "q"), "kept");
    expect_text(prepare(first, "commit", "COMMIT"), "");
    expect_text(prepare(first, "end", "ROLLBACK"), "");
    ask(first, "BEGIN");
    refused(first, "SELECT 1/0");
    expect_text(prepare(first, "late", "SELECT 'late'"), "!25P02");
    expect_text(execute(first, "q"), "!25P02");
    expect_text(execute(first, "end"), "ROLLBACK");
    expect_text(execute(first, "late"), "!26000");
    ask(first, "BEGIN");
    expect_text(execute(first, "q"), "kept");
    expect_text(execute(first, "commit"), "COMMIT");
    expect_number(PQtransactionStatus(first), PQTRANS_IDLE);
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(aborted_elsewhere, "", "a statement that ends a transaction does so where it is not prepared, too") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "end", "ROLLBACK"), "");
    expect_text(prepare(first, "q", "SELECT 'kept'"), "");
    elsewhere(neighbour, true);
    ask(first, "BEGIN");
    refused(first, "SELECT 1/0");
    expect_text(execute(first, "q"), "!25P02");
    expect_text(execute(first, "end"), "ROLLBACK");
    expect_text(execute(first, "q"), "kept");
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

static void new_goods(void) {
    control("DROP TABLE IF EXISTS wares; CREATE TABLE wares AS SELECT 1 AS a; GRANT ALL ON wares TO PUBLIC");
}

CASE(tables_change, "", "a table is changed, dropped and made anew between two executions") {
    new_goods();
    PGconn *first = open_handle(), *second = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "one", "SELECT a FROM wares"), "");
    expect_text(prepare(second, "one", "SELECT a FROM wares"), "");
    expect_text(prepare(first, "all", "SELECT * FROM wares"), "");
    control("ALTER TABLE wares ADD COLUMN b int");
    expect_text(execute(first, "one"), "1");
    /* Bare, it stays refused until it is prepared anew. */
    expect_text(execute(first, "all"), sharing() ? "1" : "!0A000");
    ask(second, "BEGIN");
    expect_text(execute(second, "one"), "1");
    ask(second, "COMMIT");
    expect_text(prepare(second, "all", "SELECT * FROM wares"), "");
    PGresult *result = PQexecPrepared(second, "all", 0, NULL, NULL, NULL, 0);
    expect_number(PQnfields(result), 2);
    PQclear(result);
    control("DROP TABLE wares");
    expect_text(execute(first, "one"), "!42P01");
    elsewhere(neighbour, true);
    expect_text(execute(second, "one"), "!42P01");
    ask(second, "BEGIN");
    expect_text(execute(second, "one"), "!42P01");
    expect_number(PQtransactionStatus(second), PQTRANS_INERROR);
    ask(second, "ROLLBACK");
    new_goods();
    expect_text(execute(first, "one"), "1");
    expect_text(execute(second, "one"), "1");
    elsewhere(neighbour, false);
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
    PQfinish(neighbour);
}

CASE(columns_changed, "",
     "prepared after a column came, it sees the column, whatever others prepared before") {
    new_goods();
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    expect_text(prepare(first, "q", "SELECT * FROM wares"), "");
    expect_text(execute(first, "q"), "1");
    control("ALTER TABLE wares ADD COLUMN b int");
    expect_text(prepare(second, "q", "SELECT * FROM wares"), "");
    ask(second, "BEGIN");
    PGresult *result = PQexecPrepared(second, "q", 0, NULL, NULL, NULL, 0);
    expect_number(PQnfields(result), 2);
    PQclear(result);
    expect_text(prepare(third, "q", "SELECT * FROM wares"), "");
    ask(second, "COMMIT");
    ask(third, "BEGIN");
    result = PQexecPrepared(third, "q", 0, NULL, NULL, NULL, 0);
    expect_number(PQnfields(result), 2);
    PQclear(result);
    ask(third, "COMMIT");
    PQfinish(first);
    PQfinish(second);
    PQfinish(third);
}

CASE(deallocate, "", "DEALLOCATE drops one statement of the handle, however it is written") {
    PGconn *first = open_handle(), *second = open_handle(), *neighbour = open_handle();
    static const char *const ways[] = {"DEALLOCATE q", "deallocate prepare Q ;", "DEALLOCATE \"q\"",
                                       "/* one */ DEALLOCATE -- and\n q;;"};
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    for (int away = 0; away < 2; away++)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            expect_text(prepare(first, "q", "SELECT 'first'"), "");
            elsewhere(neighbour, away);
            expect_text(try_sql(first, ways[i]), "DEALLOCATE");
            expect_text(execute(first, "q"), "!26000");
            expect_text(execute(second, "q"), "second");
            expect_text(try_sql(first, ways[i]), "!26000");
            ask(neighbour, "ROLLBACK");
        }
    expect_text(prepare(first, "Q", "SELECT 'great'"), "");
    expect_text(try_sql(first, "DEALLOCATE Q"), "!26000");
    expect_text(execute(first, "Q"), "great");
    expect_text(try_sql(first, "DEALLOCATE \"Q\""), "DEALLOCATE");
    expect_text(prepare(first, "prepare", "SELECT 1"), "");
    expect_text(try_sql(first, "DEALLOCATE prepare"), "DEALLOCATE");
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    ask(first, "BEGIN");
    expect_text(try_sql(first, "DEALLOCATE q"), "DEALLOCATE");
    ask(first, "ROLLBACK");
    expect_text(execute(first, "q"), "!26000");
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    ask(first, "BEGIN");
    refused(first, "SELECT 1/0");
    expect_text(try_sql(first, "DEALLOCATE q"), "!25P02");
    ask(first, "ROLLBACK");
    expect_text(execute(first, "q"), "first");
    send_query(first, "DEALLOCATE q");
    only_reply(first, "DEALLOCATE");
    expect_text(execute(first, "q"), "!26000");
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    expect_text(came_to(first, PQexecParams(first, "DEALLOCATE q", 0, NULL, NULL, NULL, NULL, 0)),
                "DEALLOCATE");
    expect_text(execute(first, "q"), "!26000");
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
    PQfinish(neighbour);
}

CASE(deallocate_all, "", "DEALLOCATE ALL drops those of its handle alone") {
    PGconn *first = open_handle(), *second = open_handle();
    for (int i = 0; i < 3; i++) {
        expect_text(prepare(first, "q", "SELECT 'first'"), "");
        expect_text(prepare(first, "", "SELECT 'unnamed'"), "");
        if (i == 0)
            expect_text(prepare(second, "q", "SELECT 'second'"), "");
        expect_text(try_sql(first, i == 1 ? "DEALLOCATE PREPARE ALL" : "DEALLOCATE ALL"), "DEALLOCATE ALL");
        expect_text(execute(first, "q"), "!26000");
        expect_text(execute(first, ""), "!26000");
        expect_text(execute(second, "q"), "second");
    }
    send_query(second, "DEALLOCATE ALL");
    only_reply(second, "DEALLOCATE ALL");
    expect_text(execute(second, "q"), "!26000");
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(discard_all, "", "DISCARD ALL drops all of its handle's, and only where it may run") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    for (int sent = 0; sent < 2; sent++) {
        expect_text(prepare(first, "q", "SELECT 'first'"), "");
        ask(first, "BEGIN");
        expect_text(try_sql(first, "DISCARD ALL"), "!25001");
        ask(first, "ROLLBACK");
        expect_text(execute(first, "q"), "first");
        if (sent) {
            send_query(first, "DISCARD ALL");
            only_reply(first, "DISCARD ALL");
        } else {
            expect_text(try_sql(first, "DISCARD ALL"), "DISCARD ALL");
        }
        expect_text(execute(first, "q"), "!26000");
        expect_text(execute(second, "q"), "second");
    }
    expect_text(prepare(first, "q", "SELECT 'again'"), "");
    expect_text(execute(first, "q"), "again");
    PQfinish(first);
    PQfinish(second);
}

CASE(sql_execute, "", "EXECUTE finds what PQprepare made, and PREPARE collides with it") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    expect_text(prepare(second, "other", "SELECT 'other'"), "");
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    expect_text(ask(first, "EXECUTE q"), "first");
    expect_text(try_sql(first, "PREPARE q AS SELECT 'new'"), "!42P05");
    expect_text(try_sql(first, "EXECUTE other"), "!26000");
    expect_text(execute(first, "q"), "first");
    expect_text(execute(second, "q"), "second");
    ask(first, "PREPARE made AS SELECT 'made'");
    expect_text(execute(first, "made"), "made");
    expect_text(prepare(first, "made", "SELECT 'twice'"), "!42P05");
    expect_text(prepare(first, "api", "SELECT 'api'"), "");
    expect_text(ask(first, "EXECUTE api"), "api");
    expect_text(try_sql(first, "DEALLOCATE q; SELECT 1"), "1");
    expect_text(execute(first, "q"), "!26000");
    expect_text(try_sql(first, "DISCARD ALL"), "DISCARD ALL");
    expect_text(execute(first, "api"), "!26000");
    expect_text(prepare(first, "api", "SELECT 'carried'"), "");
    expect_text(execute(first, "api"), "carried");
    expect_text(execute(second, "other"), "other");
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(sql_in_transaction, "",
     "EXECUTE in a transaction: a statement whose table is gone takes nothing along") {
    new_goods();
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "gone", "SELECT a FROM wares"), "");
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    control("DROP TABLE wares");
    ask(first, "BEGIN");
    ask(first, "SELECT 'before'");
    expect_text(ask(first, "EXECUTE q"), "first");
    expect_number(PQtransactionStatus(first), PQTRANS_INTRANS);
    ask(first, "COMMIT");
    send_query(second, "PREPARE s AS SELECT 'sql'");
    expect_text(drain(second), "");
    send_query(second, "EXECUTE s");
    only_reply(second, "sql");
    PQfinish(first);
    PQfinish(second);
}

CASE(catalogue, "", "pg_prepared_statements shows a handle its own, by its own names") {
    PGconn *first = open_handle(), *second = open_handle();
    const char *sql = "SELECT string_agg(name, ',' ORDER BY name) FROM pg_prepared_statements";
    expect_text(prepare(first, "b", "SELECT 1"), "");
    expect_text(prepare(first, "a", "SELECT 2"), "");
    expect_text(prepare(second, "c", "SELECT 3"), "");
    PGconn *third = open_handle();
    send_query(third, "SET work_mem = '5MB'"); /* has its session to itself from here on */
    expect_text(drain(third), "");
    expect_text(prepare(third, "d", "SELECT 4"), "");
    ask(third, "BEGIN");
    expect_text(ask(third, sql), "d");
    ask(third, "COMMIT");
    expect_text(execute(third, "d"), "4");
    expect_text(ask(first, sql), "a,b");
    expect_text(ask(second, sql), "c");
    expect_text(execute(first, "a"), "2");
    PQfinish(first);
    PQfinish(second);
    PQfinish(third);
}

CASE(own_names, "", "a program may call its statements what we call ours") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    expect_text(execute(first, "pqone_1"), "!26000");
    expect_text(prepare(first, "pqone_1", "SELECT 'mine'"), "");
    expect_text(execute(first, "pqone_1"), "mine");
    expect_text(prepare(second, "pqone_1", "SELECT 'other'"), "");
    expect_text(execute(first, "pqone_1"), "mine");
    /* Also the very name that an error shows. */
    PGresult *result = PQprepare(second, "q", "SELECT 1", 0, NULL);
    char name[64] = "";
    sscanf(PQresultErrorMessage(result), "%*[^\"]\"%63[^\"]", name);
    PQclear(result);
    expect_text(execute(first, name), "!26000");
    PQfinish(first);
    PQfinish(second);
}

CASE(settings, "", "a literal is what it was when its statement was prepared") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    const char *sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::bigint";
    ask(first, "SELECT 1");
    expect_text(prepare(first, "q", sql), "");
    expect_text(prepare(neighbour, "q", sql), "");
    const char *before = execute(first, "q");
    for (int local = 0; local < 2; local++) {
        elsewhere(neighbour, true);
        ask(first, "BEGIN");
        ask(first, local ? "SELECT set_config('TimeZone', 'Asia/Tokyo', true)"
                         : "SET LOCAL TimeZone = 'Asia/Tokyo'");
        expect_text(execute(first, "q"), before);
        expect_text(prepare(first, local ? "two" : "one", sql), "");
        ask(first, "COMMIT");
        ask(neighbour, "COMMIT");
        expect(strcmp(execute(first, local ? "two" : "one"), before) != 0);
        expect_text(execute(neighbour, "q"), before);
    }
    elsewhere(neighbour, true);
    ask(first, "SET TimeZone = 'America/New_York'");
    expect_text(execute(first, "q"), before);
    ask(neighbour, "COMMIT");
    expect_text(execute(neighbour, "q"), before);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(set_after, "", "a setting made on a connection that lacks the statement does not change it") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    const char *sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::bigint";
    for (int sent = 0; sent < 2; sent++) {
        PGconn *handle = open_handle();
        expect_text(prepare(handle, "q", sql), "");
        const char *before = execute(handle, "q");
        elsewhere(neighbour, true);
        if (sent) {
            send_query(handle, "SET TimeZone = 'Asia/Tokyo'");
            only_reply(handle, "SET");
        } else {
            ask(handle, "SET TimeZone = 'Asia/Tokyo'");
        }
        expect_text(execute(handle, "q"), before);
        expect_text(prepare(handle, "then", sql), "");
        expect(strcmp(execute(handle, "then"), before) != 0);
        ask(neighbour, "COMMIT");
        PQfinish(handle);
    }
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(encoding, "", "a text is in the encoding that it was prepared in") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_number(PQsetClientEncoding(neighbour, "UTF8"), 0);
    expect_text(prepare(first, "q", "SELECT length('\xc3\xa9')"), "");
    expect_text(execute(first, "q"), "1");
    ask(neighbour, "SELECT 1");
    PGconn *third = open_handle();
    elsewhere(third, true);
    expect_number(PQsetClientEncoding(first, "LATIN1"), 0);
    expect_text(execute(first, "q"), "1");
    expect_text(prepare(first, "latin", "SELECT length('\xc3\xa9')"), "");
    expect_text(execute(first, "latin"), "2");
    elsewhere(third, false);
    PQfinish(first);
    PQfinish(neighbour);
    PQfinish(third);
}

CASE(ordinary_texts, "", "words and backslashes in literals are no reason to keep a connection") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "q", "SELECT 'unknown', 'a1' ~ '^\\w\\d$', 'know' LIKE 'k\\%'"), "");
    expect_text(ask(second, "SELECT 1"), "1");
    expect_text(execute(first, "q"), "unknown");
    expect_backends(2, 1);
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(setting_first, "", "a setting at the start of a transaction asks nothing of the prepared tables") {
    PGconn *owner = open_handle(), *first = open_handle(), *neighbour = open_handle(), *third = open_handle();
    ask(owner, "CREATE TABLE wares (n int)");
    expect_text(prepare(first, "q", "SELECT count(*) FROM wares"), "");
    elsewhere(neighbour, true);
    /* A snapshot would be too early for the first, and make the second miss what is locked away from it. */
    ask(first, "BEGIN");
    ask(first, "SET LOCAL TimeZone = 'UTC'");
    expect_text(try_sql(first, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"), "SET");
    ask(owner, "INSERT INTO wares VALUES (1)");
    ask(first, "LOCK TABLE wares");
    expect_text(execute(first, "q"), "1");
    ask(first, "COMMIT");
    /* Nor does it wait for a table, or keep one. */
    ask(owner, "BEGIN");
    ask(owner, "LOCK TABLE wares");
    ask(first, "SET statement_timeout = '5s'");
    ask(first, "BEGIN");
    ask(first, "SET LOCAL TimeZone = 'UTC'");
    ask(owner, "COMMIT");
    ask(third, "SET lock_timeout = '2s'");
    expect_text(try_sql(third, "ALTER TABLE wares ADD COLUMN size int"), "ALTER TABLE");
    ask(first, "COMMIT");
    expect_text(execute(first, "q"), "1");
    elsewhere(neighbour, false);
    ask(owner, "DROP TABLE wares");
    PQfinish(owner);
    PQfinish(first);
    PQfinish(neighbour);
    PQfinish(third);
}

CASE(locks, "", "what a setting makes the shim prepare holds no lock") {
    PGconn *owner = open_handle(), *first = open_handle(), *neighbour = open_handle();
    ask(owner, "CREATE TABLE wares (n int)");
    expect_text(prepare(first, "q", "SELECT count(*) || 'x' FROM wares"), "");
    elsewhere(neighbour, true);
    ask(first, "BEGIN");
    ask(first, "SET LOCAL TimeZone = 'UTC'");
    ask(owner, "SET lock_timeout = '2s'");
    expect_text(try_sql(owner, "ALTER TABLE wares ADD COLUMN size int"), "ALTER TABLE");
    expect_text(execute(first, "q"), "0x");
    ask(first, "COMMIT");
    elsewhere(neighbour, false);
    ask(owner, "DROP TABLE wares");
    PQfinish(owner);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(local_encoding, "", "a text keeps its encoding when a transaction sets another") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT length('\xc3\xa9')"), "");
    elsewhere(neighbour, true);
    ask(first, "BEGIN");
    ask(first, "SET LOCAL client_encoding = 'LATIN1'");
    expect_text(execute(first, "q"), "1");
    ask(first, "COMMIT");
    expect_text(execute(first, "q"), "1");
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(undone_setting, "", "a literal prepared under a setting that is rolled back keeps it") {
    PGconn *first = open_handle();
    const char *sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::bigint";
    expect_text(prepare(first, "none", "SELECT 1"), "");
    ask(first, "BEGIN");
    ask(first, "SET TimeZone = 'Asia/Tokyo'");
    expect_text(prepare(first, "q", sql), "");
    const char *before = execute(first, "q");
    ask(first, "ROLLBACK");
    ask(first, "SET TimeZone = 'America/New_York'");
    expect_text(execute(first, "q"), before);
    expect_text(execute(first, "none"), "1");
    PQfinish(first);
}

CASE(setting_then_pipeline, "", "a setting in a pipeline takes away no statement that it does not concern") {
    static const char *const settings[] = {"SET LOCAL TimeZone = 'UTC'", "SET LOCAL app.tenant = '1'",
                                           "SET statement_timeout = '5s'", "SET TimeZone = 'UTC'"};
    PGconn *neighbour = open_handle();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        PGconn *handle = open_handle();
        expect_text(prepare(handle, "q", "SELECT 42"), "");
        elsewhere(neighbour, true);
        expect_number(PQenterPipelineMode(handle), 1);
        expect_number(PQsendQueryParams(handle, settings[i], 0, NULL, NULL, NULL, NULL, 0), 1);
        expect_number(PQsendQueryPrepared(handle, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQpipelineSync(handle), 1);
        expect_text(came_to(handle, PQgetResult(handle)), "SET");
        no_more(handle);
        expect_text(came_to(handle, PQgetResult(handle)), "42");
        no_more(handle);
        reply_is(handle, PGRES_PIPELINE_SYNC);
        expect_number(PQexitPipelineMode(handle), 1);
        expect_text(execute(handle, "q"), "42");
        elsewhere(neighbour, false);
        PQfinish(handle);
    }
    PQfinish(neighbour);
}

CASE(no_end, "", "a lease that does not end piles no unnamed statements up on its connection") {
    PGconn *handle = open_handle();
    control("GRANT pg_read_all_stats TO app"); /* to look at its own memory */
    ask(handle, "BEGIN");
    for (int i = 0; i < 1000; i++) {
        char sql[32], wanted[16];
        snprintf(sql, sizeof sql, "SELECT %d", i);
        snprintf(wanted, sizeof wanted, "%d", i);
        expect_text(prepare(handle, "", sql), "");
        expect_text(execute(handle, ""), wanted);
    }
    expect_text(
        ask(handle, "SELECT count(*) < 300 FROM pg_backend_memory_contexts WHERE name = 'CachedPlanSource'"),
        "t");
    ask(handle, "COMMIT");
    PQfinish(handle);
}

CASE(settings_in_pipeline, "", "nor does a setting in a pipeline change it: what cannot be had is refused") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::bigint"),
                "");
    const char *before = execute(first, "q");
    for (int i = 0; i < 2; i++) {
        elsewhere(neighbour, i == 0);
        expect_number(PQenterPipelineMode(first), 1);
        static const char *const sql[] = {"BEGIN", "SET LOCAL TimeZone = 'Asia/Tokyo'"};
        for (int j = 0; j < 2; j++)
            expect_number(PQsendQueryParams(first, sql[j], 0, NULL, NULL, NULL, NULL, 0), 1);
        expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQpipelineSync(first), 1);
        expect_text(reply(first), "BEGIN");
        no_more(first);
        expect_text(reply(first), "SET");
        no_more(first);
        const char *came = came_to(first, PQgetResult(first));
        expect(strcmp(came, before) == 0 || (sharing() && strcmp(came, "!26000") == 0));
        no_more(first);
        reply_is(first, PGRES_PIPELINE_SYNC);
        expect_number(PQexitPipelineMode(first), 1);
        ask(first, "ROLLBACK");
    }
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(moments, "", "'now' is when the statement was prepared") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_text(prepare(first, "q", "SELECT 'now'::timestamptz"), "");
    const char *then = execute(first, "q");
    elsewhere(neighbour, true);
    sleep_ms(5);
    expect_text(execute(first, "q"), then);
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(state, "", "what a prepared statement does to its session stays with its handle") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "set", "SET work_mem = '7MB'"), "");
    expect_text(prepare(first, "show", "SHOW work_mem"), "");
    expect_text(prepare(second, "show", "SHOW work_mem"), "");
    const char *usual = execute(second, "show");
    expect_text(execute(first, "set"), "SET");
    for (int i = 0; i < 3; i++) {
        expect_text(execute(first, "show"), "7MB");
        expect_text(execute(second, "show"), usual);
    }
    PQfinish(first);
    first = open_handle();
    expect_text(prepare(first, "lock", "SELECT pg_try_advisory_lock(4711)"), "");
    expect_text(prepare(second, "lock", "SELECT pg_try_advisory_lock(4711)"), "");
    expect_text(execute(first, "lock"), "t");
    expect_text(execute(second, "lock"), "f");
    expect_number(PQsendQueryPrepared(first, "lock", 0, NULL, NULL, NULL, 0), 1);
    only_reply(first, "t");
    expect_backends(2, 2);
    PQfinish(first);
    PQfinish(second);
}

CASE(sent_state, "", "and so does what a sent one does") {
    control("DROP SEQUENCE IF EXISTS ticket; CREATE SEQUENCE ticket; GRANT ALL ON SEQUENCE ticket TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "temp", "CREATE TEMP TABLE basket AS SELECT 42 AS n"), "");
    expect_text(prepare(first, "next", "SELECT nextval('ticket')"), "");
    expect_text(prepare(second, "next", "SELECT nextval('ticket')"), "");
    expect_text(execute(first, "next"), "1");
    expect_text(execute(second, "next"), "2");
    expect_text(ask(first, "SELECT currval('ticket')"), "1");
    expect_number(PQsendQueryPrepared(first, "temp", 0, NULL, NULL, NULL, 0), 1);
    expect_text(drain(first), "");
    expect_text(ask(first, "SELECT n FROM basket"), "42");
    expect_text(refused(second, "SELECT n FROM basket"), "42P01");
    expect_text(execute(first, "next"), "3");
    PQfinish(first);
    PQfinish(second);
}

CASE(sending, "", "prepared, described and executed without waiting, row by row as well") {
    PGconn *first = open_handle(), *second = open_handle();
    const char *values[] = {"3"};
    expect_number(PQsendPrepare(first, "up", "SELECT generate_series(1, $1::int)", 1, NULL), 1);
    expect_text(drain(first), "");
    for (int i = 0; i < 4; i++) {
        elsewhere(second, i % 2 == 0);
        expect_number(PQsendQueryPrepared(first, "up", 1, values, NULL, NULL, 0), 1);
        expect_number(PQsetSingleRowMode(first), 1);
        for (int row = 1; row <= 3; row++)
            reply_is(first, PGRES_SINGLE_TUPLE);
        reply_is(first, PGRES_TUPLES_OK);
        no_more(first);
    }
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(unread, "", "an answer to PQsendPrepare that nobody reads leaves no doubt") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_number(PQsendPrepare(first, "good", "SELECT 'good'", 0, NULL), 1);
    expect_text(ask(first, "SELECT 'next'"), "next");
    expect_number(PQsendPrepare(first, "bad", "SELEC", 0, NULL), 1);
    expect_text(ask(first, "SELECT 'next'"), "next");
    elsewhere(neighbour, true);
    expect_text(execute(first, "good"), "good");
    expect_text(execute(first, "bad"), "!26000");
    elsewhere(neighbour, false);
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(pipeline, "", "prepared and executed in one flight; later on another connection, in a pipeline too") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQsendPrepare(first, "q", "SELECT 'first'", 0, NULL), 1);
    expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
    expect_number(PQsendDescribePrepared(first, "q"), 1);
    expect_number(PQpipelineSync(first), 1);
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    only_reply(first, "first");
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    for (int i = 0; i < 2; i++) {
        elsewhere(neighbour, i == 0);
        expect_number(PQenterPipelineMode(first), 1);
        for (int j = 0; j < 3; j++)
            expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQsendQueryParams(first, "DEALLOCATE q", 0, NULL, NULL, NULL, NULL, 0), 1);
        expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQpipelineSync(first), 1);
        for (int j = 0; j < 3; j++)
            only_reply(first, "first");
        expect_part(reply(first), "DEALLOCATE");
        no_more(first);
        expect_text(reply_error(first), "26000");
        no_more(first);
        reply_is(first, PGRES_PIPELINE_SYNC);
        expect_number(PQexitPipelineMode(first), 1);
        if (i == 0)
            expect_text(prepare(first, "q", "SELECT 'first'"), "");
    }
    nobody_pinned();
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(pipeline_fails, "", "what a failed pipeline never prepared is unknown, what it did is known") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQsendPrepare(first, "before", "SELECT 'before'", 0, NULL), 1);
    expect_number(PQsendQueryParams(first, "SELECT 1/0", 0, NULL, NULL, NULL, NULL, 0), 1);
    expect_number(PQsendPrepare(first, "behind", "SELECT 'behind'", 0, NULL), 1);
    expect_number(PQpipelineSync(first), 1);
    expect_number(PQsendPrepare(first, "after", "SELECT 'after'", 0, NULL), 1);
    expect_number(PQpipelineSync(first), 1);
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    expect_text(reply_error(first), "22012");
    no_more(first);
    reply_is(first, PGRES_PIPELINE_ABORTED);
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    reply_is(first, PGRES_COMMAND_OK);
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    for (int i = 0; i < 2; i++) {
        elsewhere(neighbour, i == 0);
        expect_text(execute(first, "before"), "before");
        expect_text(execute(first, "behind"), "!26000");
        expect_text(execute(first, "after"), "after");
    }
    expect_text(prepare(first, "behind", "SELECT 'now'"), "");
    expect_text(execute(first, "behind"), "now");
    expect_text(prepare(first, "after", "SELECT 'twice'"), "!42P05");
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(pipeline_stays, "", "in pipeline mode throughout, prepared in one flight and executed in others") {
    PGconn *first = open_handle(), *neighbour = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    for (int i = 0; i < 6; i++) {
        if (i == 0 || i == 3) {
            expect_number(PQsendPrepare(first, i ? "bad" : "q",
                                        i ? "SELECT * FROM no_such_table" : "SELECT 'first'", 0, NULL),
                          1);
            expect_number(PQpipelineSync(first), 1);
            if (i)
                expect_text(reply_error(first), "42P01");
            else
                reply_is(first, PGRES_COMMAND_OK);
            no_more(first);
            reply_is(first, PGRES_PIPELINE_SYNC);
        }
        elsewhere(neighbour, i % 2 == 0);
        expect_number(PQsendQueryPrepared(first, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQpipelineSync(first), 1);
        only_reply(first, "first");
        reply_is(first, PGRES_PIPELINE_SYNC);
    }
    expect_number(PQsendQueryPrepared(first, "bad", 0, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(first), 1);
    expect_text(reply_error(first), "26000");
    no_more(first);
    reply_is(first, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(first), 1);
    expect_text(execute(first, "q"), "first");
    PQfinish(first);
    PQfinish(neighbour);
}

CASE(queued, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: prepared, executed, described, dropped, with a name in use") {
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    const char *values[] = {"41"};
    expect_text(came_to(second, PQprepare(second, "plus", "SELECT $1::int + 1", 1, NULL)), "");
    ask(first, "SELECT 1");
    send_query(first, "SELECT pg_sleep(0.1)");
    expect_number(PQsendQueryPrepared(second, "plus", 1, values, NULL, NULL, 0), 1);
    expect_number(PQsendPrepare(third, "plus", "SELECT $1::int + 2", 1, NULL), 1);
    expect_text(drain(first), "");
    only_reply(second, "42");
    expect_text(drain(third), "");
    for (int i = 0; i < 2; i++) {
        send_query(first, "SELECT pg_sleep(0.1)");
        expect_number(PQsendQueryPrepared(third, "plus", 1, values, NULL, NULL, 0), 1);
        expect_number(PQsendPrepare(second, "plus", "SELECT 1", 0, NULL), 1);
        expect_text(drain(first), "");
        only_reply(third, "43");
        expect_text(drain(second), "42P05");
    }
    send_query(first, "SELECT pg_sleep(0.1)");
    send_query(second, "DEALLOCATE plus");
    expect_number(PQsendPrepare(third, "bad", "SELEC", 0, NULL), 1);
    expect_text(drain(first), "");
    only_reply(second, "DEALLOCATE");
    expect_text(drain(third), "42601");
    send_query(first, "SELECT pg_sleep(0.1)");
    expect_number(PQsendQueryPrepared(second, "plus", 1, values, NULL, NULL, 0), 1);
    expect_number(PQsendQueryPrepared(third, "bad", 1, values, NULL, NULL, 0), 1);
    expect_text(drain(first), "");
    expect_text(drain(second), "26000");
    expect_text(drain(third), "26000");
    send_query(first, "SELECT pg_sleep(0.1)");
    send_query(third, "DEALLOCATE ALL");
    expect_text(drain(first), "");
    only_reply(third, "DEALLOCATE ALL");
    expect_text(execute_with(third, "plus", "1"), "!26000");
    expect_backends(3, 1);
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
    PQfinish(third);
}

CASE(queued_pipeline, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1",
     "queued: a pipeline that prepares and executes; one that is never sent") {
    PGconn *first = open_handle(), *second = open_handle();
    for (int i = 0; i < 2; i++) {
        send_query(first, "SELECT pg_sleep(0.1)");
        expect_number(PQenterPipelineMode(second), 1);
        if (i == 0)
            expect_number(PQsendPrepare(second, "q", "SELECT 'second'", 0, NULL), 1);
        expect_number(PQsendQueryPrepared(second, "q", 0, NULL, NULL, NULL, 0), 1);
        expect_number(PQpipelineSync(second), 1);
        expect_text(drain(first), "");
        if (i == 0) {
            reply_is(second, PGRES_COMMAND_OK);
            no_more(second);
        }
        only_reply(second, "second");
        reply_is(second, PGRES_PIPELINE_SYNC);
        expect_number(PQexitPipelineMode(second), 1);
    }
    PGcancel *cancel = PQgetCancel(second);
    char problem[256];
    send_query(first, "SELECT pg_sleep(0.2)");
    expect_number(PQsendPrepare(second, "never", "SELECT pg_sleep(9)", 0, NULL), 1);
    if (sharing()) {
        expect_number(PQcancel(cancel, problem, sizeof problem), 1);
        expect_text(drain(second), "57014");
        expect_text(drain(first), "");
        expect_text(execute(second, "never"), "!26000");
    } else {
        expect_text(drain(second), "");
        expect_text(drain(first), "");
    }
    PQfreeCancel(cancel);
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
}

CASE(closed, "", "PQclosePrepared and PQsendClosePrepared close their handle's own") {
    PGresult *(*close_prepared)(PGconn *, const char *);
    int (*send_close)(PGconn *, const char *);
    *(void **)&close_prepared = dlsym(RTLD_DEFAULT, "PQclosePrepared");
    *(void **)&send_close = dlsym(RTLD_DEFAULT, "PQsendClosePrepared");
    if (PQlibVersion() < 170000)
        skip("PQclosePrepared came with libpq 17, this is older");
    PGconn *first = open_handle(), *second = open_handle(), *neighbour = open_handle();
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    for (int i = 0; i < 4; i++) {
        expect_text(prepare(first, "q", "SELECT 'first'"), "");
        elsewhere(neighbour, i % 2 == 0);
        if (i < 2) {
            expect_text(came_to(first, close_prepared(first, "q")), "");
        } else {
            expect_number(send_close(first, "q"), 1);
            expect_text(drain(first), "");
        }
        expect_text(execute(first, "q"), "!26000");
        expect_text(execute(second, "q"), "second");
        ask(neighbour, "ROLLBACK");
    }
    nobody_pinned();
    PQfinish(first);
    PQfinish(second);
    PQfinish(neighbour);
}

CASE(reset, "", "PQreset forgets what was prepared") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    expect_text(prepare(first, "", "SELECT 'unnamed'"), "");
    expect_text(prepare(second, "q", "SELECT 'second'"), "");
    PQreset(first);
    expect_text(execute(first, "q"), "!26000");
    expect_text(execute(first, ""), "!26000");
    expect_text(execute(second, "q"), "second");
    expect_text(prepare(first, "q", "SELECT 'again'"), "");
    expect_text(execute(first, "q"), "again");
    PQfinish(first);
    PQfinish(second);
}

CASE(killed, "", "a statement survives the idle connection that it was prepared on") {
    if (!sharing())
        skip("without sharing the handle's session is gone");
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(prepare(first, "q", "SELECT 'first'"), "");
    expect_text(ask(second, "SELECT 1"), "1");
    control("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'");
    sleep_ms(50);
    expect_text(execute(first, "q"), "first");
    PQfinish(first);
    PQfinish(second);
}

CASE(forked, "", "a forked child's own handle prepares its own") {
    PGconn *first = open_handle();
    expect_text(prepare(first, "q", "SELECT 'parent'"), "");
    int pid = fork();
    if (pid == 0) {
        PGconn *own = open_handle();
        expect_text(execute(own, "q"), "!26000");
        expect_text(prepare(own, "q", "SELECT 'child'"), "");
        expect_text(execute(own, "q"), "child");
        if (sharing()) /* the inherited handle gets a connection of the child's */
            expect_text(execute(first, "q"), "parent");
        PQfinish(own);
        _exit(0);
    }
    expect_number(child_status(pid), 0);
    expect_text(execute(first, "q"), "parent");
    PQfinish(first);
}

CASE(many, "", "three hundred statements, of which a connection keeps no more than some") {
    PGconn *first = open_handle(), *second = open_handle();
    char name[32], sql[64];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "s%d", i);
        snprintf(sql, sizeof sql, "SELECT %d", i);
        expect_text(prepare(i % 2 ? first : second, name, sql), "");
    }
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "s%d", i);
        snprintf(sql, sizeof sql, "%d", i);
        expect_text(execute(i % 2 ? first : second, name), sql);
        expect_text(execute(i % 2 ? second : first, name), "!26000");
    }
    expect_backends(2, 1);
    nobody_pinned();
    const char *there = ask(first, "SELECT count(*) FROM pg_prepared_statements");
    expect_text(there, "150");
    PQfinish(first);
    PQfinish(second);
}

/* A thread's own handle, with statements under names that all threads use. */
static void *works(void *argument) {
    const char *number = argument;
    char mine[64], wanted[64];
    PGconn *handle = open_handle();
    snprintf(mine, sizeof mine, "SELECT 'thread %s'", number);
    snprintf(wanted, sizeof wanted, "thread %s", number);
    for (int round = 0; round < 20; round++) {
        PGresult *result = NULL;
        expect_number(PQsendPrepare(handle, "mine", mine, 0, NULL), 1);
        expect_text(drain(handle), "");
        PQclear(PQprepare(handle, "all", "SELECT pg_sleep(0.001), $1::text", 1, NULL));
        for (int i = 0; i < 10; i++) {
            if (i % 2) {
                result = PQexecPrepared(handle, "all", 1, (const char *const[]){wanted}, NULL, NULL, 0);
                expect_text(PQgetvalue(result, 0, 1), wanted);
                PQclear(result);
            } else {
                expect_number(PQsendQueryPrepared(handle, "mine", 0, NULL, NULL, NULL, 0), 1);
                result = PQgetResult(handle);
                expect_text(PQgetvalue(result, 0, 0), wanted);
                PQclear(result);
                no_more(handle);
            }
        }
        send_query(handle, round % 2 ? "DEALLOCATE ALL" : "DEALLOCATE mine");
        expect_text(drain(handle), "");
        if (round % 2 == 0)
            PQclear(PQexec(handle, "DEALLOCATE \"all\""));
    }
    PQfinish(handle);
    return NULL;
}

CASE(threads, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3",
     "twelve threads on three connections, each executes its own") {
    static const char *const numbers[] = {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"};
    enum { THREADS = sizeof numbers / sizeof *numbers };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        expect_number(pthread_create(&threads[i], NULL, works, (void *)(uintptr_t)numbers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    nobody_pinned();
}

/* A model of six handles, each with what it has prepared; any order of operations has to agree with it. */
enum { MODELLED = 6, NAMES = 4, STEPS = 1500 };
struct model {
    PGconn *handle;
    int text[NAMES]; /* names[i] is prepared with this number; 0: not; names[0] is "" */
    bool open, aborted;
};
static const char *const names[NAMES] = {"", "a", "b", "pqone_2"};
static unsigned seed;

static unsigned roll(unsigned sides) {
    seed = seed * 1103515245 + 12345;
    return seed >> 16 & 0x7fff ? (seed >> 16 & 0x7fff) % sides : 0;
}

static void expect_step(const char *what, const char *got, const char *wanted, int step) {
    char said[300];
    snprintf(said, sizeof said, "step %d, %s", step, what);
    expect_text_at(__FILE__, __LINE__, said, got, wanted);
}

static void model_prepare(struct model *one, int name, int step, bool sent) {
    char sql[64];
    int text = 1 + (int)roll(3);
    const char *wanted = one->aborted ? "!25P02" : name && one->text[name] ? "!42P05" : "";
    snprintf(sql, sizeof sql, "SELECT %d", text);
    const char *got;
    if (sent) {
        expect_number(PQsendPrepare(one->handle, names[name], sql, 0, NULL), 1);
        got = came_to(one->handle, PQgetResult(one->handle));
        no_more(one->handle);
    } else {
        got = prepare(one->handle, names[name], sql);
    }
    expect_step(sent ? "PQsendPrepare" : "PQprepare", got, wanted, step);
    if (!*wanted)
        one->text[name] = text;
    else if (!name)
        one->text[name] = 0;
    one->aborted |= one->open && *wanted;
}

static void model_execute(struct model *one, int name, int step, bool sent) {
    char wanted[16] = "!26000";
    if (one->aborted && one->text[name])
        strcpy(wanted, "!25P02");
    else if (one->text[name])
        snprintf(wanted, sizeof wanted, "%d", one->text[name]);
    const char *got;
    if (sent) {
        expect_number(PQsendQueryPrepared(one->handle, names[name], 0, NULL, NULL, NULL, 0), 1);
        got = came_to(one->handle, PQgetResult(one->handle));
        no_more(one->handle);
    } else {
        got = execute(one->handle, names[name]);
    }
    expect_step(sent ? "PQsendQueryPrepared" : "PQexecPrepared", got, wanted, step);
    one->aborted |= one->open && *wanted == '!';
}

/* Prepares and executes in one flight, outside of transactions. */
static void model_pipeline(struct model *one, int name, int step) {
    char sql[64], wanted[16];
    int text = 1 + (int)roll(3);
    bool taken = name && one->text[name];
    snprintf(sql, sizeof sql, "SELECT %d", text);
    snprintf(wanted, sizeof wanted, "%d", text);
    expect_number(PQenterPipelineMode(one->handle), 1);
    expect_number(PQsendPrepare(one->handle, names[name], sql, 0, NULL), 1);
    expect_number(PQsendQueryPrepared(one->handle, names[name], 0, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(one->handle), 1);
    expect_step("a pipeline's PQsendPrepare", came_to(one->handle, PQgetResult(one->handle)),
                taken ? "!42P05" : "", step);
    no_more(one->handle);
    expect_step("a pipeline's PQsendQueryPrepared", came_to(one->handle, PQgetResult(one->handle)),
                taken ? "!aborted" : wanted, step);
    no_more(one->handle);
    reply_is(one->handle, PGRES_PIPELINE_SYNC);
    expect_number(PQexitPipelineMode(one->handle), 1);
    if (!taken)
        one->text[name] = text;
}

static void model_sql(struct model *one, const char *sql, const char *wanted, int step) {
    expect_step(sql, try_sql(one->handle, sql), wanted, step);
    one->text[0] = 0;
}

static void model_step(struct model *one, int step) {
    int name = (int)roll(NAMES);
    switch (roll(18)) {
    case 16:
        if (!one->open)
            model_pipeline(one, name, step);
        break;
    case 17:
        if (roll(12) == 0 && !one->aborted)
            model_sql(one, roll(2) ? "SET work_mem = '7MB'" : "SET LOCAL TimeZone = 'UTC'", "SET", step);
        break;
    case 0:
    case 1:
    case 2:
        model_prepare(one, name, step, false);
        break;
    case 3:
        model_prepare(one, name, step, true);
        break;
    case 4:
    case 5:
    case 6:
    case 7:
        model_execute(one, name, step, false);
        break;
    case 8:
    case 9:
        model_execute(one, name, step, true);
        break;
    case 10:
        if (!one->open)
            model_sql(one, "BEGIN", "BEGIN", step);
        one->open = true;
        break;
    case 11:
    case 12:
        if (one->open)
            model_sql(one, "COMMIT", one->aborted ? "ROLLBACK" : "COMMIT", step);
        one->open = one->aborted = false;
        break;
    case 13:
        if (name == 1 || name == 2) {
            char sql[32];
            snprintf(sql, sizeof sql, "DEALLOCATE %s", names[name]);
            const char *wanted = one->aborted ? "!25P02" : one->text[name] ? "DEALLOCATE" : "!26000";
            model_sql(one, sql, wanted, step);
            if (!one->aborted)
                one->text[name] = 0;
            one->aborted |= one->open && *wanted == '!';
        }
        break;
    case 14:
        if (roll(4) == 0 && !one->aborted) {
            model_sql(one, "DEALLOCATE ALL", "DEALLOCATE ALL", step);
            memset(one->text, 0, sizeof one->text);
        } else {
            model_sql(one, "SELECT 'between'", one->aborted ? "!25P02" : "between", step);
        }
        break;
    default:
        if (roll(6) == 0 && !one->open && name) { /* SQL's own */
            char sql[64], wanted[16] = "!26000";
            snprintf(sql, sizeof sql, "EXECUTE %s", names[name]);
            if (one->text[name])
                snprintf(wanted, sizeof wanted, "%d", one->text[name]);
            model_sql(one, sql, wanted, step);
        } else if (roll(3) == 0 && !one->open) {
            model_sql(one, "DISCARD ALL", "DISCARD ALL", step);
            memset(one->text, 0, sizeof one->text);
        }
    }
}

CASE(model, "", "six handles at random, each as a model of it says") {
    const char *given = getenv("PQONE_TEST_SEED"), *steps = getenv("PQONE_TEST_STEPS");
    struct model models[MODELLED] = {0};
    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)getpid();
    printf("seed %u\n", seed);
    for (int i = 0; i < MODELLED; i++)
        models[i].handle = open_handle();
    for (int step = 0; step < (steps ? atoi(steps) : STEPS); step++)
        model_step(&models[roll(MODELLED)], step);
    for (int i = 0; i < MODELLED; i++)
        PQfinish(models[i].handle);
}
