/* neighbours.c: nobody ever gets another's rows: every query carries its handle's tag, and neighbours do
 * their worst: pinned, queued, cancelled, killed and forked. */
#define _GNU_SOURCE
#include "case/replies.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What may happen to a handle besides a right answer. */
enum { MAY_BE_CANCELLED = 1, MAY_BE_KILLED = 2, CANCELS = 4, PINS = 8, FORKS = 16, FINISHES = 32 };

enum { WORKERS = 4, EACH = 6 };
static atomic_bool stop;
static pthread_barrier_t opened;
static atomic_long right, excused;

struct tagged {
    PGconn *handle;
    int number, query, kind;
    unsigned seed, traits;
    bool in_flight, by_exec, wants_error;
    char sent[32], notice[64];
};

/* A notice names a table that its own handle asked for. */
static void hear(void *tagged, const PGresult *notice) {
    const struct tagged *one = tagged;
    const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY), *severity;
    severity = PQresultErrorField(notice, PG_DIAG_SEVERITY_NONLOCALIZED);
    if (severity && strcmp(severity, "NOTICE") == 0)
        expect_part(text, one->notice);
}

static void open_tagged(struct tagged *one) {
    one->handle = PQconnectdb("dbname=shop user=app");
    while (PQstatus(one->handle) == CONNECTION_BAD && one->traits & MAY_BE_KILLED && !atomic_load(&stop)) {
        PQfinish(one->handle);
        one->handle = PQconnectdb("dbname=shop user=app");
    }
    expect_text(PQerrorMessage(one->handle), "");
    PQsetNoticeReceiver(one->handle, hear, one);
    if (one->seed % 3 == 0)
        expect_number(PQsetnonblocking(one->handle, 1), 0);
}

/* Two queries and a sync, of which the second may fail; true if libpq took it all. */
static bool ask_in_pipeline(struct tagged *one) {
    const char *value = one->sent, *sql = one->wants_error ? "SELECT $1::int" : "SELECT $1";
    return PQenterPipelineMode(one->handle) &&
           PQsendQueryParams(one->handle, "SELECT $1", 1, NULL, &value, NULL, NULL, 0) &&
           PQsendQueryParams(one->handle, sql, 1, NULL, &value, NULL, NULL, 0) && PQpipelineSync(one->handle);
}

enum { PARAMETER, SLEEP, ERROR, NOTICE, TRANSACTION, ROWS, COPY, PIPELINE, KINDS };

static void write_query(const struct tagged *one, char *sql, size_t size) {
    switch (one->kind) {
    case SLEEP:
        snprintf(sql, size, "SELECT '%s' FROM pg_sleep(%s)", one->sent,
                 one->traits & CANCELS ? "0.03" : "0.003");
        break;
    case ERROR:
        snprintf(sql, size, "SELECT '%s'::int", one->sent);
        break;
    case NOTICE:
        snprintf(sql, size, "DROP TABLE IF EXISTS t%d_%d_; SELECT '%s'", one->number, one->query, one->sent);
        break;
    case TRANSACTION:
        snprintf(sql, size, "BEGIN; SELECT '%s' FROM pg_sleep(0.001); COMMIT", one->sent);
        break;
    case COPY:
        snprintf(sql, size, "COPY (SELECT '%s' FROM generate_series(1, 20)) TO STDOUT", one->sent);
        break;
    default:
        snprintf(sql, size, "SELECT '%s', repeat('x', 3000) FROM generate_series(1, 30)", one->sent);
    }
}

/* Sends one query of a random kind; false if the handle is lost. */
static bool ask_tagged(struct tagged *one) {
    char sql[256];
    const char *value = one->sent;
    one->kind = rand_r(&one->seed) % KINDS;
    snprintf(one->sent, sizeof one->sent, "h%d-q%d", one->number, ++one->query);
    snprintf(one->notice, sizeof one->notice, "t%d_%d_", one->number, one->query);
    one->wants_error = one->kind == ERROR || (one->kind == PIPELINE && one->query % 3 == 0);
    if (one->kind == PIPELINE) {
        one->in_flight = ask_in_pipeline(one);
    } else if (one->kind == PARAMETER) {
        one->in_flight = PQsendQueryParams(one->handle, "SELECT $1 FROM generate_series(1, 40)", 1, NULL,
                                           &value, NULL, NULL, 0);
    } else {
        write_query(one, sql, sizeof sql);
        one->in_flight = PQsendQuery(one->handle, sql);
        if (one->in_flight && one->kind == ROWS)
            PQsetSingleRowMode(one->handle);
    }
    return one->in_flight;
}

static bool is_excused(const struct tagged *one, const PGresult *result) {
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (one->traits & MAY_BE_CANCELLED && state && strcmp(state, "57014") == 0)
        return true;
    return one->traits & MAY_BE_KILLED && (!state || strncmp(state, "57P", 3) == 0);
}

/* The lines of a COPY, and then the results go on. */
static void check_lines(struct tagged *one) {
    char *line;
    int length;
    while ((length = PQgetCopyData(one->handle, &line, 0)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        expect_text(line, one->sent);
        PQfreemem(line);
    }
}

/* Every row and every error is this handle's own. */
static void check(struct tagged *one, const PGresult *result) {
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE) {
        for (int row = 0; row < PQntuples(result); row++)
            expect_text(PQgetvalue(result, row, 0), one->sent);
    } else if (status == PGRES_FATAL_ERROR) {
        const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        if (one->wants_error && message && strstr(message, one->sent))
            return;
        if (is_excused(one, result))
            atomic_fetch_add(&excused, 1);
        else
            expect_text(PQresultErrorMessage(result), one->sent);
    } else if (status == PGRES_COPY_OUT) {
        check_lines(one);
    } else if (status != PGRES_PIPELINE_ABORTED) {
        expect_number(status, PGRES_COMMAND_OK);
    }
}

/* All results to the end; of a pipeline to its sync. */
static void take_results(struct tagged *one) {
    bool pipeline = PQpipelineStatus(one->handle) != PQ_PIPELINE_OFF, synced = false;
    for (int ends = 0; !synced && ends < (pipeline ? 3 : 1);) {
        PGresult *result = PQgetResult(one->handle);
        synced = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        ends += !result;
        if (result && !synced)
            check(one, result);
        PQclear(result);
    }
    if (PQstatus(one->handle) == CONNECTION_OK && pipeline)
        expect_number(PQexitPipelineMode(one->handle), 1);
}

/* A handle that was killed opens again. */
static void take_tagged(struct tagged *one) {
    take_results(one);
    one->in_flight = false;
    atomic_fetch_add(&right, 1);
    if (one->traits & MAY_BE_CANCELLED && PQtransactionStatus(one->handle) == PQTRANS_INERROR)
        PQclear(PQexec(one->handle, "ROLLBACK"));
    if (PQstatus(one->handle) == CONNECTION_BAD) {
        expect((one->traits & MAY_BE_KILLED) != 0);
        PQfinish(one->handle);
        open_tagged(one);
    }
}

/* A setting of its own, which it finds again unless it was lost with its session. */
static void pin(struct tagged *one) {
    char sql[64];
    snprintf(one->sent, sizeof one->sent, "h%d", one->number);
    snprintf(sql, sizeof sql, "SET my.tag = 'h%d'", one->number);
    PGresult *result = PQexec(one->handle, sql);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQexec(one->handle, "SHOW my.tag");
    }
    check(one, result);
    PQclear(result);
}

static void child_uses_inherited(struct tagged *all) {
    PGconn *own = open_handle();
    expect_text(ask(own, "SELECT 'child'"), "child");
    PQfinish(own);
    for (int i = 0; sharing() && i < EACH; i++) {
        if (!all[i].in_flight && i % 2 == 0)
            expect_text(ask(all[i].handle, "SELECT 'inherited'"), "inherited");
        PQfinish(all[i].handle);
    }
    _exit(0);
}

static void misbehave(struct tagged *all, struct tagged *one) {
    int dice = rand_r(&one->seed) % 100;
    if (one->traits & CANCELS && dice < 30) {
        char problem[256];
        PGcancel *cancel = PQgetCancel(one->handle);
        PQcancel(cancel, problem, sizeof problem);
        PQfreeCancel(cancel);
    }
    if (one->traits & FINISHES && dice < 10) {
        if (dice < 3)
            PQreset(one->handle);
        if (dice >= 3 || PQstatus(one->handle) != CONNECTION_OK) {
            PQfinish(one->handle);
            open_tagged(one);
        }
        one->in_flight = false;
    }
    if (one->traits & PINS && dice < 3 && !one->in_flight) {
        pin(one);
        if (dice == 0) {
            PQfinish(one->handle);
            open_tagged(one);
        }
    }
    if (one->traits & FORKS && dice < 2) {
        int child = fork();
        if (child == 0)
            child_uses_inherited(all);
        expect_number(child_status(child), 0);
    }
}

/* One thread's loop: some handles in flight at once, some that block. */
static void *neighbour(void *first) {
    struct tagged *all = first;
    for (int i = 0; i < EACH; i++)
        open_tagged(&all[i]);
    pthread_barrier_wait(&opened);
    while (!atomic_load(&stop)) {
        struct pollfd wait[EACH];
        for (int i = 0; i < EACH; i++) {
            misbehave(all, &all[i]);
            if (!all[i].in_flight && ask_tagged(&all[i]) && all[i].by_exec)
                take_tagged(&all[i]);
            else if (!all[i].in_flight)
                take_tagged(&all[i]); /* lost before it was sent */
            misbehave(all, &all[i]);
        }
        for (int i = 0; i < EACH; i++)
            wait[i] = (struct pollfd){all[i].in_flight ? PQsocket(all[i].handle) : -1, POLLIN, 0};
        poll(wait, EACH, 1000);
        for (int i = 0; i < EACH; i++) {
            struct tagged *one = &all[i];
            if (!one->in_flight || !wait[i].revents)
                continue;
            PQflush(one->handle);
            if (!PQconsumeInput(one->handle) || !PQisBusy(one->handle))
                take_tagged(one);
        }
    }
    for (int i = 0; i < EACH; i++)
        PQfinish(all[i].handle);
    return NULL;
}

static void kill_some(void) {
    char sql[300];
    snprintf(sql, sizeof sql,
             "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' AND "
             "random() < 0.2",
             getenv("PGAPPNAME"));
    control(sql);
}

/* `all` holds for everybody's handles, `some` for every third besides. */
static void live_with(unsigned all, unsigned some, bool threads, bool killer) {
    static struct tagged tagged[WORKERS * EACH];
    pthread_t thread[WORKERS];
    const char *wish = getenv("NEIGHBOUR_SECONDS");
    int workers = threads ? WORKERS : 1;
    pthread_barrier_init(&opened, NULL, (unsigned)workers + 1);
    for (int i = 0; i < workers * EACH; i++)
        tagged[i] = (struct tagged){.number = i,
                                    .seed = (unsigned)i + 1,
                                    .traits = all | (i % 3 == 1 ? some : 0),
                                    .by_exec = i % EACH == EACH - 1};
    control("SELECT 1");
    for (int i = 0; i < workers; i++)
        pthread_create(&thread[i], NULL, neighbour, &tagged[i * EACH]);
    pthread_barrier_wait(&opened);
    double end = seconds_now() + (wish ? atof(wish) : sharing() ? 1 : 0.3);
    while (seconds_now() < end) {
        sleep_ms(50);
        if (killer)
            kill_some();
    }
    atomic_store(&stop, true);
    for (int i = 0; i < workers; i++)
        pthread_join(thread[i], NULL);
    printf("%ld answers, %ld excused\n", atomic_load(&right), atomic_load(&excused));
    expect(atomic_load(&right) > WORKERS * EACH);
    if (some & CANCELS || killer)
        expect(atomic_load(&excused) > 0);
    else
        expect_number(atomic_load(&excused), 0);
}

CASE(queued, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none",
     "24 handles of four threads that queue for three connections get their own rows") {
    live_with(0, 0, true, false);
}

CASE(queued_for_one, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_LOG=none",
     "the same for a single connection") {
    live_with(0, 0, true, false);
}

CASE(uncapped, "PQONE_MODE=share PQONE_LOG=none",
     "the same with as many connections as there are queries in flight") {
    live_with(0, 0, true, false);
}

CASE(pinned, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none",
     "the same beside handles that pin themselves, finish and come back") {
    live_with(0, PINS, true, false);
}

CASE(cancelled, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none",
     "the same beside handles that are cancelled at any time; a cancel hits nobody else") {
    live_with(0, CANCELS | MAY_BE_CANCELLED, true, false);
}

CASE(cancelled_on_one, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=1 PQONE_LOG=none",
     "the same on a single connection") {
    live_with(0, CANCELS | MAY_BE_CANCELLED, true, false);
}

CASE(finished, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=2 PQONE_LOG=none",
     "the same beside handles that are finished or reset at any time, queued or in the middle") {
    live_with(0, FINISHES, true, false);
}

CASE(killed, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none",
     "the same while connections are killed; who is hit fails, and nobody gets another's rows") {
    live_with(MAY_BE_KILLED, 0, true, true);
}

CASE(forked, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none",
     "the same with children that use and finish what they inherited") {
    live_with(0, FORKS, false, false);
}

CASE(everything, "PQONE_MODE=share PQONE_MAX_CONNECTIONS=3 PQONE_LOG=none", "all of that at once") {
    live_with(MAY_BE_KILLED, PINS | CANCELS | MAY_BE_CANCELLED | FINISHES, true, true);
}
