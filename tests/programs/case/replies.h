/*
 * replies.h: sending without waiting, and what comes back, for cases of asynchronous programs.
 *
 * Everything that is not as expected ends the case, at the caller's line.
 */
#ifndef REPLIES_H
#define REPLIES_H

#include "case.h"

/* PQsendQuery, which must take it. */
void send_query_at(const char *file, int line, PGconn *handle, const char *sql);
#define send_query(handle, sql) send_query_at(__FILE__, __LINE__, (handle), (sql))

/* PQsendQueryParams with one parameter of type text. */
void send_with_at(const char *file, int line, PGconn *handle, const char *sql, const char *value);
#define send_with(handle, sql, value) send_with_at(__FILE__, __LINE__, (handle), (sql), (value))

/* The next result, which must be rows or a command's success: its first value, else its command's tag. Valid
 * until the 16th after it. */
const char *reply_at(const char *file, int line, PGconn *handle);
#define reply(handle) reply_at(__FILE__, __LINE__, (handle))

/* The next result, which must be an error: its SQLSTATE. */
const char *reply_error_at(const char *file, int line, PGconn *handle);
#define reply_error(handle) reply_error_at(__FILE__, __LINE__, (handle))

/* The next result has this status. */
void reply_is_at(const char *file, int line, PGconn *handle, ExecStatusType wanted);
#define reply_is(handle, wanted) reply_is_at(__FILE__, __LINE__, (handle), (wanted))

/* PQgetResult gives NULL. */
void no_more_at(const char *file, int line, PGconn *handle);
#define no_more(handle) no_more_at(__FILE__, __LINE__, (handle))

/* One result, and then NULL: the usual case. */
#define only_reply(handle, wanted)          \
    do {                                    \
        expect_text(reply(handle), wanted); \
        no_more(handle);                    \
    } while (0)

/* Reads until PQgetResult gives NULL; the SQLSTATE of the last error, "" for none. */
const char *drain(PGconn *handle);

/* As an event loop does: waits for the number, PQconsumeInput, until PQisBusy says 0. */
void wait_while_busy_at(const char *file, int line, PGconn *handle);
#define wait_while_busy(handle) wait_while_busy_at(__FILE__, __LINE__, (handle))

/* Is PQsocket's number ready for these events of poll() within that time? */
bool is_ready(PGconn *handle, short events, int milliseconds);

/* The results of one call of a function in another thread, for what may block. */
struct answer {
    PGconn *handle;
    const char *sql;           /* PQexec; NULL: PQgetResult until it gives NULL */
    char value[256], state[8]; /* of the last result that had one; "none" for a failure without */
    double began, ended;
};
void *answer_in_thread(void *answer);

/* Calls made inside MEASURE() are timed: none of them blocked. One may have been held up by a busy machine.
 */
#define MEASURE(call)                                          \
    __extension__({                                            \
        double measured_from = seconds_now();                  \
        __typeof__(call) measured = (call);                    \
        measured_call(1000 * (seconds_now() - measured_from)); \
        measured;                                              \
    })
void measured_call(double milliseconds);
void expect_no_call_blocked_at(const char *file, int line);
#define expect_no_call_blocked() expect_no_call_blocked_at(__FILE__, __LINE__)

/* Waits, a few seconds at most, until a query of this program's is running that contains the text. */
void expect_running_at(const char *file, int line, const char *part);
#define expect_running(part) expect_running_at(__FILE__, __LINE__, (part))

#endif
