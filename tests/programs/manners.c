/* manners.c: what libpq keeps per PGconn is kept per handle, however many share a server connection. */
#include "case/case.h"

#include <libpq-events.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct heard {
    int count;
    char last[256];
};

static void receive(void *argument, const PGresult *result) {
    struct heard *heard = argument;
    heard->count++;
    snprintf(heard->last, sizeof heard->last, "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
}

static void process(void *argument, const char *message) {
    struct heard *heard = argument;
    heard->count++;
    snprintf(heard->last, sizeof heard->last, "%s", message);
}

CASE(notice_receivers, "", "a notice reaches the receiver of the handle whose statement raised it") {
    struct heard one = {0, ""}, two = {0, ""};
    PGconn *first = open_handle(), *second = open_handle();
    PQnoticeReceiver usual = PQsetNoticeReceiver(first, receive, &one);
    expect(usual != NULL);
    expect(PQsetNoticeReceiver(second, receive, &two) == usual);
    for (int i = 1; i <= 3; i++) {
        ask(first, "DROP TABLE IF EXISTS nothing_of_first");
        ask(second, "DROP TABLE IF EXISTS nothing_of_second");
        expect_number(one.count, i);
        expect_number(two.count, i);
    }
    expect_text(one.last, "table \"nothing_of_first\" does not exist, skipping");
    expect_text(two.last, "table \"nothing_of_second\" does not exist, skipping");
    expect(PQsetNoticeReceiver(first, usual, NULL) == receive);
    PQfinish(first);
    ask(second, "DROP TABLE IF EXISTS nothing_of_second");
    expect_number(one.count, 3);
    expect_number(two.count, 4);
    PQfinish(second);
}

CASE(notice_processors, "", "a notice reaches the processor of the handle whose statement raised it") {
    struct heard one = {0, ""}, two = {0, ""};
    PGconn *first = open_handle(), *second = open_handle();
    PQnoticeProcessor usual = PQsetNoticeProcessor(first, process, &one);
    expect(usual != NULL);
    expect(PQsetNoticeProcessor(first, process, &one) == process);
    PQsetNoticeProcessor(second, process, &two);
    ask(first, "DROP TABLE IF EXISTS nothing_of_first");
    expect_number(one.count, 1);
    expect_number(two.count, 0);
    expect_part(one.last, "NOTICE:  table \"nothing_of_first\"");
    PQfinish(first);
    PQfinish(second);
}

static struct heard inner;
static void query_inside(void *other, const PGresult *result) {
    (void)result;
    inner.count++;
    expect_text(ask(other, "SELECT 'inside'"), "inside");
}

CASE(query_inside_receiver, "", "a notice receiver may query another handle") {
    PGconn *first = open_handle(), *second = open_handle();
    PQsetNoticeReceiver(first, query_inside, second);
    ask(first, "DROP TABLE IF EXISTS nothing_of_first");
    expect_number(inner.count, 1);
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}

CASE(error_messages, "", "PQerrorMessage is the handle's own until its next call") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(PQerrorMessage(first), "");
    refused(first, "SELECT 1/0");
    expect_text(PQerrorMessage(first), "ERROR:  division by zero\n");
    expect_text(PQerrorMessage(second), "");
    refused(second, "SELEKT");
    ask(second, "SELECT 1");
    expect_text(PQerrorMessage(second), "");
    expect_text(PQerrorMessage(first), "ERROR:  division by zero\n");
    ask(first, "SELECT 1");
    expect_text(PQerrorMessage(first), "");
    PQfinish(first);
    PQfinish(second);
}

static const char *message_of(PGconn *handle, const char *sql) {
    static char text[2][1024];
    static int turn;
    PGresult *result = PQexec(handle, sql);
    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "%s", PQresultErrorMessage(result));
    PQclear(result);
    return text[turn];
}

CASE(verbosity, "", "PQsetErrorVerbosity counts for its handle only") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQsetErrorVerbosity(first, PQERRORS_SQLSTATE), PQERRORS_DEFAULT);
    for (int i = 0; i < 2; i++) {
        expect_text(message_of(first, "SELECT 1/0"), "ERROR:  22012\n");
        expect_text(message_of(second, "SELECT 1/0"), "ERROR:  division by zero\n");
    }
    expect_number(PQsetErrorVerbosity(second, PQERRORS_VERBOSE), PQERRORS_DEFAULT);
    expect_part(message_of(second, "SELECT 1/0"), "LOCATION:");
    expect_number(PQsetErrorVerbosity(first, PQERRORS_DEFAULT), PQERRORS_SQLSTATE);
    expect_text(message_of(first, "SELECT 1/0"), "ERROR:  division by zero\n");
    PQfinish(second);
    PGconn *third = open_handle();
    expect_text(message_of(third, "SELECT 1/0"), "ERROR:  division by zero\n");
    PQfinish(third);
    PQfinish(first);
}

CASE(nonblocking, "", "PQsetnonblocking counts for its handle only") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(PQisnonblocking(first), 0);
    expect_number(PQsetnonblocking(first, 1), 0);
    for (int i = 0; i < 2; i++) {
        expect_number(PQisnonblocking(first), 1);
        expect_number(PQisnonblocking(second), 0);
        expect_text(ask(first, "SELECT 1"), "1");
        expect_text(ask(second, "SELECT 2"), "2");
    }
    expect_number(PQsetnonblocking(first, 0), 0);
    expect_number(PQisnonblocking(first), 0);
    PQfinish(first);
    PQfinish(second);
}

static int count_events(PGEventId id, void *info, void *argument) {
    int *counts = argument;
    (void)info;
    counts[id]++;
    return 1;
}

CASE(event_procedures, "", "event procedures and instance data belong to their handle") {
    int one[8] = {0}, two[8] = {0}, data = 7;
    PGconn *first = open_handle(), *second = open_handle(), *third = open_handle();
    expect(PQregisterEventProc(first, count_events, "one", one) != 0);
    expect(PQregisterEventProc(second, count_events, "two", two) != 0);
    expect(PQsetInstanceData(first, count_events, &data) != 0);
    ask(third, "SELECT 3");
    ask(first, "SELECT 1");
    ask(first, "SELECT 1");
    ask(second, "SELECT 2");
    expect(PQinstanceData(first, count_events) == &data);
    expect(PQinstanceData(second, count_events) == NULL);
    expect(PQinstanceData(third, count_events) == NULL);
    expect_number(one[PGEVT_REGISTER], 1);
    expect_number(one[PGEVT_RESULTCREATE], 2);
    expect_number(two[PGEVT_RESULTCREATE], 1);
    PQfinish(first);
    expect_number(one[PGEVT_CONNDESTROY], 1);
    expect_number(two[PGEVT_CONNDESTROY], 0);
    PQfinish(second);
    expect_number(two[PGEVT_CONNDESTROY], 1);
    ask(third, "SELECT 3");
    PQfinish(third);
    expect_number(one[PGEVT_RESULTCREATE], 2);
}

CASE(facts, "", "what a handle says of its connection is what a bare PGconn says") {
    PGconn *first = PQconnectdb(tcp_conninfo("app", "app")),
           *second = PQconnectdb(tcp_conninfo("app", "app"));
    PGconn *both[] = {first, second};
    for (int i = 0; i < 2; i++) {
        expect_text(PQdb(both[i]), "shop");
        expect_text(PQuser(both[i]), "app");
        expect_text(PQpass(both[i]), "app");
        expect_text(PQhost(both[i]), "127.0.0.1");
        expect_text(PQhostaddr(both[i]), "127.0.0.1");
        expect_text(PQport(both[i]), getenv("PQONE_TEST_PORT"));
        expect_text(PQoptions(both[i]), "");
        expect_number(PQprotocolVersion(both[i]), 3);
        expect(PQserverVersion(both[i]) >= 120000);
        expect_text(PQparameterStatus(both[i], "server_encoding"), "UTF8");
        expect_text(PQparameterStatus(both[i], "application_name"), getenv("PGAPPNAME"));
        expect(PQparameterStatus(both[i], "no_such_parameter") == NULL);
        expect_number(PQconnectionNeedsPassword(both[i]), 0);
        expect_number(PQsslInUse(both[i]), 0);
        expect_number(PQtransactionStatus(both[i]), PQTRANS_IDLE);
        expect_number(PQpipelineStatus(both[i]), PQ_PIPELINE_OFF);
        PQconninfoOption *options = PQconninfo(both[i]);
        int found = 0;
        for (PQconninfoOption *one = options; one->keyword; one++)
            if (strcmp(one->keyword, "dbname") == 0 && one->val && strcmp(one->val, "shop") == 0)
                found++;
        PQconninfoFree(options);
        expect_number(found, 1);
    }
    PQfinish(first);
    PQfinish(second);
}

CASE(parameter_status, "", "PQparameterStatus follows its own handle's SET") {
    PGconn *first = open_handle(), *second = open_handle();
    const char *zone = PQparameterStatus(second, "TimeZone");
    char usual[64];
    snprintf(usual, sizeof usual, "%s", zone);
    ask(first, "SET timezone = 'Asia/Tokyo'");
    expect_text(PQparameterStatus(first, "TimeZone"), "Asia/Tokyo");
    ask(second, "SELECT 1");
    expect_text(PQparameterStatus(second, "TimeZone"), usual);
    expect_text(PQparameterStatus(first, "TimeZone"), "Asia/Tokyo");
    PQfinish(first);
    PGconn *third = open_handle();
    expect_text(PQparameterStatus(third, "TimeZone"), usual);
    PQfinish(third);
    PQfinish(second);
}

CASE(sockets, "",
     "PQsocket gives two handles two open descriptors, and PQbackendPID the backend that answers") {
    PGconn *first = open_handle(), *second = open_handle();
    char pid[32];
    expect(PQsocket(first) >= 0);
    expect(PQsocket(second) >= 0);
    expect(PQsocket(first) != PQsocket(second));
    snprintf(pid, sizeof pid, "%d", PQbackendPID(first));
    expect_text(ask(first, "SELECT pg_backend_pid()"), pid);
    ask(second, "SELECT 1");
    expect_text(ask(first, "SELECT pg_backend_pid()"), pid);
    expect_number(PQbackendPID(first), atoi(pid));
    expect(PQbackendPID(second) != PQbackendPID(first));
    PQfinish(first);
    PQfinish(second);
}

CASE(asked_for_pid, "", "SELECT pg_backend_pid() stays true for as long as the handle lives") {
    PGconn *first = open_handle(), *second = open_handle();
    char pid[32];
    snprintf(pid, sizeof pid, "%s", ask(first, "SELECT pg_backend_pid()"));
    ask(second, "BEGIN");
    expect_text(ask(first, "SELECT pg_backend_pid()"), pid);
    ask(second, "COMMIT");
    expect(strcmp(ask(second, "SELECT pg_backend_pid()"), pid) != 0);
    expect_text(ask(first, "SELECT pg_backend_pid()"), pid);
    PQfinish(first);
    PQfinish(second);
}

CASE(escaping, "", "escaping works on a handle that holds no connection, as libpq does it") {
    int problem = 9;
    char into[64];
    size_t length;
    PGconn *first = open_handle(), *second = open_handle();
    ask(second, "BEGIN");
    char *literal = PQescapeLiteral(first, "it's \\ here", 11);
    expect_text(literal, " E'it''s \\\\ here'");
    char *identifier = PQescapeIdentifier(first, "a\"b", 3);
    expect_text(identifier, "\"a\"\"b\"");
    expect_number((long long)PQescapeStringConn(first, into, "a'b", 3, &problem), 4);
    expect_number(problem, 0);
    expect_text(into, "a''b");
    unsigned char *bytes = PQescapeByteaConn(first, (const unsigned char *)"\x01z", 2, &length);
    expect_text((char *)bytes, "\\x017a");
    expect(PQescapeLiteral(first, "\xff\xff", 2) == NULL);
    expect_part(PQerrorMessage(first), "multibyte character");
    PQfreemem(literal);
    PQfreemem(identifier);
    PQfreemem(bytes);
    char *secret = PQencryptPasswordConn(first, "geheim", "app", "md5");
    expect_part(secret, "md5");
    PQfreemem(secret);
    ask(second, "COMMIT");
    PQfinish(first);
    PQfinish(second);
}

CASE(trace, "", "PQtrace writes down its own handle's messages only") {
    char path[512], line[512];
    int own = 0, others = 0;
    snprintf(path, sizeof path, "%s/trace", case_directory());
    FILE *file = fopen(path, "w+");
    PGconn *first = open_handle(), *second = open_handle();
    PQtrace(first, file);
    ask(first, "SELECT 'of the first'");
    ask(second, "SELECT 'of the second'");
    PQuntrace(first);
    ask(first, "SELECT 'after'");
    rewind(file);
    while (fgets(line, sizeof line, file)) {
        own += strstr(line, "of the first") != NULL;
        others += strstr(line, "of the second") != NULL || strstr(line, "after") != NULL;
    }
    expect(own > 0);
    expect_number(others, 0);
    fclose(file);
    PQfinish(first);
    PQfinish(second);
}
