/* replies.c: sends, and takes what comes back. */
#include "replies.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTICEABLE = 40, BLOCKED = 150 }; /* milliseconds */
static double longest_call;
static int noticeable_calls;

void measured_call(double milliseconds) {
    if (milliseconds > longest_call)
        longest_call = milliseconds;
    if (milliseconds > NOTICEABLE)
        noticeable_calls++;
}

void expect_no_call_blocked_at(const char *file, int line) {
    char sentence[100];
    snprintf(sentence, sizeof sentence, "no call blocked (%d longer than %d ms, the longest took %.0f ms)",
             noticeable_calls, NOTICEABLE, longest_call);
    expect_at(file, line, longest_call < BLOCKED && noticeable_calls <= 1, sentence);
}

static char *keep(const char *text) {
    static __thread char answers[16][512];
    static __thread unsigned next;
    char *answer = answers[next++ % 16];
    snprintf(answer, sizeof answers[0], "%s", text ? text : "");
    return answer;
}

static void must(const char *file, int line, bool holds, const char *what, const PGconn *handle) {
    char sentence[700];
    snprintf(sentence, sizeof sentence, "%s (%s)", what, PQerrorMessage(handle));
    expect_at(file, line, holds, sentence);
}

void send_query_at(const char *file, int line, PGconn *handle, const char *sql) {
    must(file, line, PQsendQuery(handle, sql) == 1, sql, handle);
}

void send_with_at(const char *file, int line, PGconn *handle, const char *sql, const char *value) {
    int sent = PQsendQueryParams(handle, sql, 1, NULL, &value, NULL, NULL, 0);
    must(file, line, sent == 1, sql, handle);
}

static const char *status_of(const PGresult *result) {
    return result ? PQresStatus(PQresultStatus(result)) : "NULL";
}

const char *reply_at(const char *file, int line, PGconn *handle) {
    PGresult *result = PQgetResult(handle);
    ExecStatusType status = PQresultStatus(result);
    char sentence[600];
    snprintf(sentence, sizeof sentence, "a result, and not %s: %s", status_of(result),
             result ? PQresultErrorMessage(result) : PQerrorMessage(handle));
    expect_at(file, line,
              status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE,
              sentence);
    const char *answer = keep(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : PQcmdStatus(result));
    PQclear(result);
    return answer;
}

const char *reply_error_at(const char *file, int line, PGconn *handle) {
    PGresult *result = PQgetResult(handle);
    char sentence[200];
    snprintf(sentence, sizeof sentence, "an error, and not %s", status_of(result));
    expect_at(file, line, PQresultStatus(result) == PGRES_FATAL_ERROR && result, sentence);
    const char *answer = keep(PQresultErrorField(result, PG_DIAG_SQLSTATE));
    PQclear(result);
    return answer;
}

void reply_is_at(const char *file, int line, PGconn *handle, ExecStatusType wanted) {
    PGresult *result = PQgetResult(handle);
    expect_text_at(file, line, "result", status_of(result), PQresStatus(wanted));
    PQclear(result);
}

void no_more_at(const char *file, int line, PGconn *handle) {
    PGresult *result = PQgetResult(handle);
    expect_text_at(file, line, "result", status_of(result), "NULL");
}

const char *drain(PGconn *handle) {
    char state[8] = "";
    PGresult *result;
    while ((result = PQgetResult(handle))) {
        const char *error = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (error)
            snprintf(state, sizeof state, "%s", error);
        PQclear(result);
    }
    return keep(state);
}

bool is_ready(PGconn *handle, short events, int milliseconds) {
    struct pollfd wait = {PQsocket(handle), events, 0};
    return poll(&wait, 1, milliseconds) == 1;
}

void wait_while_busy_at(const char *file, int line, PGconn *handle) {
    while (PQisBusy(handle)) {
        expect_at(file, line, is_ready(handle, POLLIN, 15000), "its number becomes readable in 15 s");
        must(file, line, PQconsumeInput(handle) == 1, "PQconsumeInput() == 1", handle);
    }
}

void *answer_in_thread(void *argument) {
    struct answer *answer = argument;
    answer->began = seconds_now();
    PGresult *result = answer->sql ? PQexec(answer->handle, answer->sql) : PQgetResult(answer->handle);
    if (!result)
        strcpy(answer->state, "none");
    for (; result; result = answer->sql ? NULL : PQgetResult(answer->handle)) {
        const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            snprintf(answer->state, sizeof answer->state, "%s", state ? state : "none");
        if (PQntuples(result) > 0)
            snprintf(answer->value, sizeof answer->value, "%s", PQgetvalue(result, 0, 0));
        PQclear(result);
    }
    answer->ended = seconds_now();
    return NULL;
}

void expect_running_at(const char *file, int line, const char *part) {
    char sql[400];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE application_name = '%s' AND state = 'active' "
             "AND strpos(query, '%s') > 0",
             getenv("PGAPPNAME"), part);
    int running = 0;
    for (int tries = 0; tries < 250 && running == 0; tries++) {
        running = atoi(control(sql));
        if (running == 0)
            sleep_ms(20);
    }
    expect_number_at(file, line, part, running, 1);
}
