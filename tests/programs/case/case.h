/*
 * case.h: what the C test programs are made of: named cases, expectations, and eyes on the server's side.
 *
 * A program lists its cases (--list) and runs one per process, so that every case starts with nothing
 * open. It is run with and without the shim by tests/run; where the two differ (the number of backends,
 * never an answer) a case says both.
 */
#ifndef CASE_H
#define CASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

struct test_case {
    const char *name, *environment, *sentence;
    void (*run)(void);
    struct test_case *next;
};
void case_register(struct test_case *one);

/* CASE(name, "settings in the environment", "what must hold") { ... } */
#define CASE(name, environment, sentence)                                                \
    static void name##_case(void);                                                       \
    __attribute__((constructor)) static void name##_register(void) {                     \
        static struct test_case one = {#name, environment, sentence, name##_case, NULL}; \
        case_register(&one);                                                             \
    }                                                                                    \
    static void name##_case(void)

/* Is the shim there, and in share mode? Everything but the number of backends is the same without. */
bool sharing(void);
/* Is the shim there at all? */
bool shimmed(void);

/* Ends the case as skipped; the reason is shown and counted. */
void skip(const char *reason) __attribute__((noreturn));

void expect_at(const char *file, int line, bool holds, const char *what);
void expect_number_at(const char *file, int line, const char *what, long long got, long long wanted);
void expect_text_at(const char *file, int line, const char *what, const char *got, const char *wanted);
void expect_part_at(const char *file, int line, const char *what, const char *got, const char *wanted);
#define expect(holds) expect_at(__FILE__, __LINE__, (holds), #holds)
#define expect_number(got, wanted) expect_number_at(__FILE__, __LINE__, #got, (got), (wanted))
#define expect_text(got, wanted) expect_text_at(__FILE__, __LINE__, #got, (got), (wanted))
/* `got` contains `wanted`. */
#define expect_part(got, wanted) expect_part_at(__FILE__, __LINE__, #got, (got), (wanted))

/* A connected handle: `words` is added to "dbname=shop user=app". Always through the same call site. */
PGconn *open_with(const char *words);
PGconn *open_handle(void);
/* The conninfo of the TCP side with the password, for the same database and user. */
const char *tcp_conninfo(const char *user, const char *password);

/* Runs `sql` and returns the first value, "" for none; valid until the 16th call after it. */
const char *ask_at(const char *file, int line, PGconn *handle, const char *sql);
#define ask(handle, sql) ask_at(__FILE__, __LINE__, (handle), (sql))
/* Runs `sql`, which must fail; returns the SQLSTATE ("" when the connection was lost). */
const char *refused_at(const char *file, int line, PGconn *handle, const char *sql);
#define refused(handle, sql) refused_at(__FILE__, __LINE__, (handle), (sql))

/* Asks the server as superuser, by a psql that is never preloaded; "" for no row. Not from two threads. */
const char *control(const char *sql);
/* In a forked child, before control(): a psql of its own. */
void control_restart(void);

/* Backends of this program (by application_name), and of a role. */
int backends(void);
int role_backends(const char *role);
/* Waits, at most some seconds, until the count is `wanted`: backends leave a little after PQfinish. */
void expect_backends_at(const char *file, int line, int bare, int shared);
#define expect_backends(bare, shared) expect_backends_at(__FILE__, __LINE__, (bare), (shared))

/* Lines of the shim's log that contain both texts (NULL: any). */
int log_lines(const char *one, const char *other);
/* The log whole. */
const char *log_text(void);

/* The program's private directory, for files. */
const char *case_directory(void);

void sleep_ms(int milliseconds);
double seconds_now(void);
/* Waits for the child and gives its exit status, 128 + n for a signal. */
int child_status(int pid);

#endif
