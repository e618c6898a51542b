/* exchanges.c: every way to talk to the server, with another handle on the same target all the while. */
#include "case/case.h"

#include <libpq/libpq-fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void rows(PGconn *handle, ExecStatusType each, int wanted) {
    int count = 0;
    PGresult *result;
    while ((result = PQgetResult(handle))) {
        if (PQresultStatus(result) == each)
            count += PQntuples(result);
        else
            expect_number(PQresultStatus(result), PGRES_TUPLES_OK);
        PQclear(result);
    }
    expect_number(count, wanted);
}

CASE(single_row, "", "single-row mode on one handle while another queries between the rows") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsendQuery(first, "SELECT generate_series(1, 100)"), 1);
    expect_number(PQsetSingleRowMode(first), 1);
    PGresult *result = PQgetResult(first);
    expect_number(PQresultStatus(result), PGRES_SINGLE_TUPLE);
    PQclear(result);
    expect_text(ask(second, "SELECT 'between'"), "between");
    rows(first, PGRES_SINGLE_TUPLE, 99);
    expect_text(ask(first, "SELECT 'after'"), "after");
    PQfinish(first);
    PQfinish(second);
}

CASE(asynchronous, "",
     "PQsendQuery, PQisBusy, PQconsumeInput and PQgetResult without PQsocket, two handles at once") {
    PGconn *handles[] = {open_handle(), open_handle()};
    for (int round = 0; round < 5; round++) {
        expect_number(PQsendQuery(handles[0], "SELECT 10; SELECT 11"), 1);
        expect_number(PQsendQuery(handles[1], "SELECT 20; SELECT 21"), 1);
        for (int i = 1; i >= 0; i--) {
            char wanted[16];
            for (int part = 0; part < 2; part++) {
                double deadline = seconds_now() + 10;
                while (PQisBusy(handles[i]) && seconds_now() < deadline) {
                    sleep_ms(1);
                    expect_number(PQconsumeInput(handles[i]), 1);
                }
                PGresult *result = PQgetResult(handles[i]);
                snprintf(wanted, sizeof wanted, "%d", 10 * (i + 1) + part);
                expect_text(PQgetvalue(result, 0, 0), wanted);
                PQclear(result);
            }
            expect(PQgetResult(handles[i]) == NULL);
        }
    }
    PQfinish(handles[0]);
    PQfinish(handles[1]);
}

CASE(by_socket, "", "the same with poll() on PQsocket") {
    PGconn *handle = open_handle(), *other = open_handle();
    expect_number(PQsetnonblocking(handle, 1), 0);
    for (int round = 0; round < 5; round++) {
        expect_number(PQsendQuery(handle, "SELECT pg_sleep(0.01), 5"), 1);
        while (PQflush(handle) == 1)
            sleep_ms(1);
        ask(other, "SELECT 1");
        while (PQisBusy(handle)) {
            struct pollfd wait = {PQsocket(handle), POLLIN, 0};
            expect_number(poll(&wait, 1, 5000), 1);
            expect_number(PQconsumeInput(handle), 1);
        }
        PGresult *result = PQgetResult(handle);
        expect_text(PQgetvalue(result, 0, 1), "5");
        PQclear(result);
        expect(PQgetResult(handle) == NULL);
    }
    PQfinish(handle);
    PQfinish(other);
}

CASE(parameters, "", "PQexecParams, PQsendQueryParams and the describe calls, text and binary") {
    const char *values[] = {"41", NULL};
    PGconn *first = open_handle(), *second = open_handle();
    ask(second, "SELECT 1");
    PGresult *result =
        PQexecParams(first, "SELECT $1::int + 1, $2::text IS NULL", 2, NULL, values, NULL, NULL, 0);
    expect_text(PQgetvalue(result, 0, 0), "42");
    expect_text(PQgetvalue(result, 0, 1), "t");
    PQclear(result);
    result = PQexecParams(first, "SELECT 1::int", 0, NULL, NULL, NULL, NULL, 1);
    expect_number(PQfformat(result, 0), 1);
    expect_number(PQgetlength(result, 0, 0), 4);
    PQclear(result);
    expect_number(PQsendQueryParams(first, "SELECT $1::int", 1, NULL, values, NULL, NULL, 0), 1);
    rows(first, PGRES_TUPLES_OK, 1);
    PQclear(PQprepare(first, "q", "SELECT $1::int, 'x'::text", 1, NULL));
    result = PQdescribePrepared(first, "q");
    expect_number(PQnparams(result), 1);
    expect_number(PQnfields(result), 2);
    PQclear(result);
    expect_number(PQsendQueryPrepared(first, "q", 1, values, NULL, NULL, 0), 1);
    rows(first, PGRES_TUPLES_OK, 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(copy, "", "COPY in and out on one handle while another queries") {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int); GRANT ALL ON crate TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle();
    PGresult *result = PQexec(first, "COPY crate FROM STDIN");
    expect_number(PQresultStatus(result), PGRES_COPY_IN);
    PQclear(result);
    for (int i = 0; i < 100; i++) {
        char line[16];
        int length = snprintf(line, sizeof line, "%d\n", i);
        expect_number(PQputCopyData(first, line, length), 1);
        if (i % 25 == 0)
            expect_text(ask(second, "SELECT count(*) FROM crate"), "0");
    }
    expect_number(PQputCopyEnd(first, NULL), 1);
    result = PQgetResult(first);
    expect_text(PQcmdTuples(result), "100");
    PQclear(result);
    expect(PQgetResult(first) == NULL);
    result = PQexec(second, "COPY (SELECT n FROM crate ORDER BY n) TO STDOUT");
    expect_number(PQresultStatus(result), PGRES_COPY_OUT);
    PQclear(result);
    int lines = 0, length;
    char *buffer;
    while ((length = PQgetCopyData(second, &buffer, 0)) > 0) {
        expect_number(atoi(buffer), lines++);
        PQfreemem(buffer);
        if (lines == 50)
            expect_text(ask(first, "SELECT 'between'"), "between");
    }
    expect_number(length, -1);
    expect_number(lines, 100);
    result = PQgetResult(second);
    expect_number(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    expect(PQgetResult(second) == NULL);
    expect_number(PQputCopyData(first, "1\n", 2), -1);
    expect_part(PQerrorMessage(first), "no COPY in progress");
    PQfinish(first);
    PQfinish(second);
}

CASE(copy_fails, "",
     "a COPY that fails, and one that the program ends with an error, leave the handle usable") {
    control("DROP TABLE IF EXISTS crate; CREATE TABLE crate (n int); GRANT ALL ON crate TO PUBLIC");
    PGconn *first = open_handle(), *second = open_handle();
    PQclear(PQexec(first, "COPY crate FROM STDIN"));
    expect_number(PQputCopyData(first, "no number\n", 10), 1);
    expect_number(PQputCopyEnd(first, NULL), 1);
    PGresult *result = PQgetResult(first);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "22P02");
    PQclear(result);
    expect(PQgetResult(first) == NULL);
    PQclear(PQexec(first, "COPY crate FROM STDIN"));
    expect_number(PQputCopyEnd(first, "changed my mind"), 1);
    result = PQgetResult(first);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "57014");
    PQclear(result);
    expect(PQgetResult(first) == NULL);
    expect_text(ask(second, "SELECT count(*) FROM crate"), "0");
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline, "", "pipeline mode on one handle, plain calls on another") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQpipelineStatus(first), PQ_PIPELINE_ON);
    expect_number(PQpipelineStatus(second), PQ_PIPELINE_OFF);
    for (int i = 0; i < 3; i++)
        expect_number(PQsendQueryParams(first, "SELECT 'piped'", 0, NULL, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(first), 1);
    expect_text(ask(second, "SELECT 'plain'"), "plain");
    for (int i = 0; i < 3; i++) {
        PGresult *result = PQgetResult(first);
        expect_text(PQgetvalue(result, 0, 0), "piped");
        PQclear(result);
        expect(PQgetResult(first) == NULL);
    }
    PGresult *result = PQgetResult(first);
    expect_number(PQresultStatus(result), PGRES_PIPELINE_SYNC);
    PQclear(result);
    expect_number(PQexitPipelineMode(first), 1);
    expect_number(PQpipelineStatus(first), PQ_PIPELINE_OFF);
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(pipeline_abort, "", "an error in a pipeline aborts the rest of it and nobody else's work") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQenterPipelineMode(first), 1);
    expect_number(PQsendQueryParams(first, "SELECT 1/0", 0, NULL, NULL, NULL, NULL, 0), 1);
    expect_number(PQsendQueryParams(first, "SELECT 1", 0, NULL, NULL, NULL, NULL, 0), 1);
    expect_number(PQpipelineSync(first), 1);
    PGresult *result = PQgetResult(first);
    expect_text(PQresultErrorField(result, PG_DIAG_SQLSTATE), "22012");
    PQclear(result);
    expect_text(ask(second, "SELECT 'plain'"), "plain");
    expect(PQgetResult(first) == NULL);
    result = PQgetResult(first);
    expect_number(PQresultStatus(result), PGRES_PIPELINE_ABORTED);
    PQclear(result);
    expect(PQgetResult(first) == NULL);
    result = PQgetResult(first);
    expect_number(PQresultStatus(result), PGRES_PIPELINE_SYNC);
    PQclear(result);
    expect_number(PQexitPipelineMode(first), 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(reset, "", "PQreset gives this handle a fresh session and touches no other") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET work_mem = '3MB'; BEGIN");
    ask(second, "CREATE TEMP TABLE basket (n int)");
    PQreset(first);
    expect_number(PQstatus(first), CONNECTION_OK);
    expect_number(PQtransactionStatus(first), PQTRANS_IDLE);
    expect_text(ask(first, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_text(ask(second, "SELECT count(*) FROM basket"), "0");
    PQfinish(first);
    PQfinish(second);
}

CASE(reset_start, "", "PQresetStart and PQresetPoll do the same without blocking") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET work_mem = '3MB'");
    expect_number(PQresetStart(first), 1);
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    double deadline = seconds_now() + 10;
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED && seconds_now() < deadline) {
        sleep_ms(2);
        state = PQresetPoll(first);
    }
    expect_number(state, PGRES_POLLING_OK);
    expect_text(ask(first, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
}

CASE(large_objects, "", "large object descriptors live in their handle's transaction") {
    char buffer[16] = "", path[512];
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    Oid object = lo_creat(first, INV_READ | INV_WRITE);
    expect(object != 0);
    int descriptor = lo_open(first, object, INV_READ | INV_WRITE);
    expect(descriptor >= 0);
    expect_number(lo_write(first, descriptor, "pqone", 5), 5);
    expect_text(ask(second, "SELECT 'between'"), "between");
    expect_number(lo_lseek(first, descriptor, 1, SEEK_SET), 1);
    expect_number(lo_read(first, descriptor, buffer, 3), 3);
    expect_text(buffer, "qon");
    expect_number(lo_tell64(first, descriptor), 4);
    expect_number(lo_truncate(first, descriptor, 2), 0);
    expect_number(lo_close(first, descriptor), 0);
    ask(first, "COMMIT");
    snprintf(path, sizeof path, "%s/object", case_directory());
    ask(second, "BEGIN");
    expect_number(lo_export(second, object, path), 1);
    Oid copy = lo_import(second, path);
    expect(copy != 0 && copy != object);
    ask(second, "COMMIT");
    expect_number(lo_unlink(first, object), 1);
    expect_number(lo_unlink(first, copy), 1);
    ask(second, "BEGIN");
    expect_number(lo_open(second, object, INV_READ), -1);
    ask(second, "ROLLBACK");
    PQfinish(first);
    PQfinish(second);
}

CASE(fast_path, "", "PQfn calls its function on the handle's own session") {
    int answer = 0, length = 0;
    PQArgBlock argument = {.len = 4, .isint = 1, .u.integer = -5};
    PGconn *first = open_handle(), *second = open_handle();
    int number = atoi(ask(second, "SELECT 'pg_catalog.int4abs'::regproc::oid"));
    PGresult *result = PQfn(first, number, &answer, &length, 1, &argument, 1);
    expect_number(PQresultStatus(result), PGRES_COMMAND_OK);
    expect_number(answer, 5);
    PQclear(result);
    PQfinish(first);
    PQfinish(second);
}

CASE(big_result, "", "a result of some megabytes, and a statement of one") {
    PGconn *handle = open_handle(), *other = open_handle();
    expect_text(ask(handle, "SELECT length(string_agg(md5(i::text), '')) FROM generate_series(1, 100000) i"),
                "3200000");
    PGresult *result = PQexec(handle, "SELECT md5(i::text) FROM generate_series(1, 100000) i");
    expect_number(PQntuples(result), 100000);
    PQclear(result);
    size_t size = 1 << 20;
    char *sql = malloc(size + 64);
    memcpy(sql, "SELECT length('", 15);
    memset(sql + 15, 'x', size);
    strcpy(sql + 15 + size, "')");
    expect_text(ask(handle, sql), "1048576");
    free(sql);
    expect_text(ask(other, "SELECT 1"), "1");
    PQfinish(handle);
    PQfinish(other);
}
