/* caller.c: calls every function of the table on the fake libpq: caller
 * pass-through|handles|stale|results|connect|future.
 */
#include "fake.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_IN (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) extern uintptr_t name WORDS_IN;
#include "libpq_calls.def"
#undef CALL

struct row {
    const char *class, *answer, *name, *parameters, *arguments;
    uintptr_t(*call) WORDS_IN;
};

static const struct row rows[] = {
#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) \
    {#class, #return_type, #name, #parameters, #arguments, name},
#include "libpq_calls.def"
#undef CALL
};
enum { ROWS = sizeof rows / sizeof *rows };

static int passed, failed;
static bool shimmed;

/* One line per expectation; what was wanted and what came when it does not hold. */
static void expect(bool holds, const char *what, const char *name, const char *wanted) {
    if (holds) {
        passed++;
        return;
    }
    failed++;
    printf("not ok - fake/%s %s: expected %s\n", what, name, wanted);
}

static uintptr_t connect_to(const char *conninfo) {
    return PQconnectdb((uintptr_t)conninfo, 0, 0, 0, 0, 0, 0, 0);
}

/* The arguments of a call: `conn` where the PGconn goes, the address of some bytes for a pointer, else 0. */
static int fill(const struct row *row, uintptr_t conn, uintptr_t *words) {
    static char bytes[FAKE_ARGUMENTS][64];
    char parameters[512], *rest = NULL;
    int index = 0, found = -1;
    snprintf(parameters, sizeof parameters, "%s", row->parameters + 1);
    for (char *one = strtok_r(parameters, ",", &rest); one && index < FAKE_ARGUMENTS;
         one = strtok_r(NULL, ",", &rest), index++) {
        strcpy(bytes[index], strstr(one, "query") ? "SELECT 1" : "UTF8");
        bool pointer = strchr(one, '*') || strstr(one, "proc") || strstr(one, "PQnotice");
        words[index] = pointer ? (uintptr_t)bytes[index] : 0;
        if (strstr(one, "PGconn *")) {
            words[index] = conn;
            found = index;
        }
    }
    return found;
}

static uintptr_t make(const struct row *row, const uintptr_t *w) {
    return row->call(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]);
}

/* How many bits of the answer register mean something. */
static uintptr_t significant(const char *type) {
    if (strcmp(type, "void") == 0)
        return 0;
    return strchr(type, '*') || strstr(type, "size_t") || strstr(type, "int64") || strstr(type, "PQnotice")
               ? UINTPTR_MAX
               : UINT32_MAX;
}

/* A PGconn that the shim did not mint reaches libpq unchanged, as do all arguments and the answer. */
static void pass_through(void) {
    uintptr_t ours = connect_to("host=fake dbname=fake");
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        uintptr_t words[FAKE_ARGUMENTS] = {0};
        void *real = fake_connection();
        int conn = fill(row, (uintptr_t)real, words);
        if (conn < 0)
            continue;
        fake_forget();
        uintptr_t answer = make(row, words), bits = significant(row->answer);
        const struct fake_call *seen = fake_call_of(row->name);
        expect(seen->count == 1, "pass-through", row->name, "one call of the real function");
        expect(seen->count != 1 || seen->arguments[conn] == (uintptr_t)real, "pass-through", row->name,
               "the very PGconn that was passed");
        expect(seen->count != 1 || (answer & bits) == (seen->answer & bits), "pass-through", row->name,
               "the real function's answer");
        for (int j = 0; seen->count == 1 && j < FAKE_ARGUMENTS && words[j]; j++)
            expect(seen->arguments[j] == words[j], "pass-through", row->name, "arguments unchanged");
    }
    PQfinish(ours, 0, 0, 0, 0, 0, 0, 0);
}

static bool must_reach_libpq(const struct row *row) {
    return strcmp(row->class, "QUERY") == 0 || strcmp(row->class, "RUN") == 0 ||
           strcmp(row->class, "OFFLINE") == 0;
}

/* On a handle each function works, and libpq never sees the handle itself. */
static void handles(void) {
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        uintptr_t words[FAKE_ARGUMENTS] = {0};
        uintptr_t handle = connect_to("host=fake dbname=fake"), other = connect_to("host=fake dbname=fake");
        expect((int)PQstatus(handle, 0, 0, 0, 0, 0, 0, 0) == 0, "handles", row->name, "a connected handle");
        if (shimmed)
            expect(!fake_is_connection((void *)handle), "handles", row->name, "a handle, not a real PGconn");
        if (fill(row, handle, words) >= 0) {
            fake_forget();
            make(row, words);
            expect(!fake_deceived(), "handles", row->name, "only real pointers in libpq");
            if (must_reach_libpq(row) || !shimmed)
                expect(fake_call_of(row->name)->count >= 1, "handles", row->name, "the real function called");
        }
        PQexec(other, (uintptr_t) "SELECT 1", 0, 0, 0, 0, 0, 0);
        if (strcmp(row->name, "PQfinish") != 0)
            PQfinish(handle, 0, 0, 0, 0, 0, 0, 0);
        PQfinish(other, 0, 0, 0, 0, 0, 0, 0);
        expect(!fake_deceived(), "handles", row->name, "only real pointers in libpq until PQfinish");
    }
}

/* On a handle that was finished: libpq is asked about no connection, never about one that is not there. */
static void stale(void) {
    uintptr_t handle = connect_to("host=fake dbname=fake"), other = connect_to("host=fake dbname=fake");
    PQfinish(handle, 0, 0, 0, 0, 0, 0, 0);
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        uintptr_t words[FAKE_ARGUMENTS] = {0};
        int conn = fill(row, handle, words);
        if (conn < 0)
            continue;
        fake_forget();
        make(row, words);
        const struct fake_call *seen = fake_call_of(row->name);
        expect(!fake_deceived(), "stale", row->name, "only real pointers in libpq");
        expect(seen->count == 1 && seen->arguments[conn] == 0, "stale", row->name,
               "the real function, for NULL");
    }
    expect((int)PQstatus(other, 0, 0, 0, 0, 0, 0, 0) == 0, "stale", "PQstatus", "another handle untouched");
    PQfinish(other, 0, 0, 0, 0, 0, 0, 0);
}

static void cleared(uintptr_t result, const char *what) {
    fake_forget();
    PQclear(result, 0, 0, 0, 0, 0, 0, 0);
    const struct fake_call *seen = fake_call_of("PQclear");
    expect(seen->count == 1 && seen->arguments[0] == result, "results", what,
           "libpq's PQclear, once, for that result");
}

/* Whoever a result is from, PQclear reaches libpq. */
static void results(void) {
    uintptr_t handle = connect_to("host=fake dbname=fake");
    char stranger;
    cleared(0, "NULL");
    cleared((uintptr_t)&stranger, "a result that the shim never saw");
    for (int i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        uintptr_t words[FAKE_ARGUMENTS] = {0};
        if (strcmp(row->answer, "PGresult *") != 0 || fill(row, handle, words) < 0)
            continue;
        uintptr_t result = make(row, words);
        cleared(result, row->name);
        cleared(result, row->name); /* by mistake: as libpq would see it */
    }
    PQfinish(handle, 0, 0, 0, 0, 0, 0, 0);
    cleared((uintptr_t)&stranger, "after PQfinish");
}

static void connect_and_cancel(void) {
    const char *words[] = {"host", "dbname", NULL}, *values[] = {"fake", "fake", NULL};
    uintptr_t made[] = {
        connect_to("host=fake dbname=fake"),
        PQconnectdbParams((uintptr_t)words, (uintptr_t)values, 0, 0, 0, 0, 0, 0),
        PQsetdbLogin((uintptr_t) "fake", 0, 0, 0, (uintptr_t) "fake", 0, 0, 0),
    };
    for (int i = 0; i < 3; i++)
        expect((int)PQstatus(made[i], 0, 0, 0, 0, 0, 0, 0) == 0, "connect", "PQstatus", "CONNECTION_OK");
    expect(fake_open_connections() == (shimmed ? 1 : 3), "connect", "open connections",
           shimmed ? "one for three handles" : "three for three handles");

    uintptr_t cancel = PQgetCancel(made[0], 0, 0, 0, 0, 0, 0, 0);
    char problem[64] = "";
    PQcancel(cancel, (uintptr_t)problem, sizeof problem, 0, 0, 0, 0, 0);
    PQfreeCancel(cancel, 0, 0, 0, 0, 0, 0, 0);
    uintptr_t newer = PQcancelCreate(made[0], 0, 0, 0, 0, 0, 0, 0);
    PQcancelStatus(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelStart(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelPoll(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelSocket(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelErrorMessage(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelReset(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelBlocking(newer, 0, 0, 0, 0, 0, 0, 0);
    PQcancelFinish(newer, 0, 0, 0, 0, 0, 0, 0);
    expect(!fake_deceived(), "connect", fake_deceived() ? fake_deceived() : "cancel",
           "only libpq's own pointers");

    uintptr_t refused = connect_to("host=fake dbname=refused");
    expect((int)PQstatus(refused, 0, 0, 0, 0, 0, 0, 0) == 1, "connect", "refused", "CONNECTION_BAD");
    expect(strcmp((char *)PQerrorMessage(refused, 0, 0, 0, 0, 0, 0, 0), "the fake refuses\n") == 0, "connect",
           "refused", "libpq's own message");
    PQfinish(refused, 0, 0, 0, 0, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        PQfinish(made[i], 0, 0, 0, 0, 0, 0, 0);
    expect(!fake_deceived(), "connect", "PQfinish", "only real pointers in libpq");
}

/* A libpq with a function that the table does not know: real pointers, for it would be given a handle. */
static void future(void) {
    uintptr_t first = connect_to("host=fake dbname=fake"), second = connect_to("host=fake dbname=fake");
    expect(fake_is_connection((void *)first), "future", "PQconnectdb", "a real PGconn");
    expect(fake_is_connection((void *)second), "future", "PQconnectdb", "a second real PGconn");
    expect(first != second, "future", "PQconnectdb", "two connections");
    PQexec(first, (uintptr_t) "SELECT 1", 0, 0, 0, 0, 0, 0);
    expect(fake_call_of("PQexec")->arguments[0] == first, "future", "PQexec", "the PGconn that was passed");
    PQfinish(first, 0, 0, 0, 0, 0, 0, 0);
    PQfinish(second, 0, 0, 0, 0, 0, 0, 0);
    expect(!fake_deceived(), "future", "PQfinish", "only real pointers");
}

int main(int count, char **arguments) {
    const char *what = count == 2 ? arguments[1] : "";
    shimmed = getenv("PQONE_TEST_SHIM") != NULL;
    if (strcmp(what, "pass-through") == 0)
        pass_through();
    else if (strcmp(what, "handles") == 0)
        handles();
    else if (strcmp(what, "stale") == 0)
        stale();
    else if (strcmp(what, "results") == 0)
        results();
    else if (strcmp(what, "connect") == 0)
        connect_and_cancel();
    else if (strcmp(what, "future") == 0)
        future();
    else
        return fprintf(stderr, "usage: %s pass-through|handles|stale|results|connect|future\n", arguments[0]),
               2;
    if (passed == 0)
        failed++;
    printf("%s - fake/%s: %d expectations, %d failed\n", failed ? "not ok" : "ok", what, passed + failed,
           failed);
    return failed != 0;
}
