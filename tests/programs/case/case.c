/* case.c: runs one case, and looks at the server through a psql that the shim is not in. */
#include "case.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { SKIPPED = 77 };

static struct test_case *cases;

void case_register(struct test_case *one) {
    struct test_case **end = &cases;
    while (*end)
        end = &(*end)->next;
    *end = one;
}

bool shimmed(void) {
    return getenv("PQONE_TEST_SHIM") != NULL;
}

bool sharing(void) {
    const char *mode = getenv("PQONE_MODE");
    return shimmed() && (!mode || strcmp(mode, "share") == 0);
}

void skip(const char *reason) {
    printf("%s\n", reason);
    exit(SKIPPED);
}

static void failed(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void failed(const char *file, int line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stdout, "%s:%d: ", file, line);
    vfprintf(stdout, format, arguments);
    fputc('\n', stdout);
    fflush(stdout);
    va_end(arguments);
    exit(1);
}

void expect_at(const char *file, int line, bool holds, const char *what) {
    if (!holds)
        failed(file, line, "expected: %s", what);
}

void expect_number_at(const char *file, int line, const char *what, long long got, long long wanted) {
    if (got != wanted)
        failed(file, line, "%s: expected %lld, came %lld", what, wanted, got);
}

void expect_text_at(const char *file, int line, const char *what, const char *got, const char *wanted) {
    if (!got || strcmp(got, wanted) != 0)
        failed(file, line, "%s: expected \"%s\", came \"%s\"", what, wanted, got ? got : "(NULL)");
}

void expect_part_at(const char *file, int line, const char *what, const char *got, const char *wanted) {
    if (!got || !strstr(got, wanted))
        failed(file, line, "%s: expected to find \"%s\", came \"%s\"", what, wanted, got ? got : "(NULL)");
}

PGconn *open_with(const char *words) {
    char conninfo[1024];
    snprintf(conninfo, sizeof conninfo, "dbname=shop user=app %s", words);
    PGconn *handle = PQconnectdb(conninfo);
    if (PQstatus(handle) != CONNECTION_OK)
        failed(__FILE__, __LINE__, "PQconnectdb(%s): expected a connection, came %s", conninfo,
               PQerrorMessage(handle));
    return handle;
}

PGconn *open_handle(void) {
    return open_with("");
}

const char *tcp_conninfo(const char *user, const char *password) {
    static __thread char conninfo[256];
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=%s dbname=shop user=%s password=%s",
             getenv("PQONE_TEST_PORT"), user, password);
    return conninfo;
}

/* Sixteen answers stay valid, so that one expression may hold several. */
static char *keep(const char *text) {
    static __thread char answers[16][4096];
    static __thread unsigned next;
    char *answer = answers[next++ % 16];
    snprintf(answer, sizeof answers[0], "%s", text);
    return answer;
}

const char *ask_at(const char *file, int line, PGconn *handle, const char *sql) {
    PGresult *result = PQexec(handle, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        failed(file, line, "%s: expected success, came %s: %s", sql, PQresStatus(status),
               result ? PQresultErrorMessage(result) : PQerrorMessage(handle));
    const char *answer = keep(PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return answer;
}

const char *refused_at(const char *file, int line, PGconn *handle, const char *sql) {
    PGresult *result = PQexec(handle, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_FATAL_ERROR)
        failed(file, line, "%s: expected an error, came %s", sql, PQresStatus(status));
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *answer = keep(state ? state : "");
    PQclear(result);
    return answer;
}

static FILE *to_control, *from_control;

static char **without_shim(void) {
    static char *clean[512];
    size_t count = 0;
    for (char **entry = environ; *entry && count < 508; entry++)
        if (strncmp(*entry, "LD_PRELOAD=", 11) != 0 && strncmp(*entry, "PGAPPNAME=", 10) != 0 &&
            strncmp(*entry, "PQONE_RUN", 9) != 0)
            clean[count++] = *entry;
    clean[count] = NULL;
    return clean;
}

void control_restart(void) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        failed(__FILE__, __LINE__, "pipe: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    char *arguments[] = {"psql", "-XAtq", "-U", "owner", "-d", "shop", NULL};
    pid_t pid;
    int problem = posix_spawnp(&pid, "psql", &actions, NULL, arguments, without_shim());
    if (problem)
        failed(__FILE__, __LINE__, "psql: %s", strerror(problem));
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    to_control = fdopen(in[1], "w");
    from_control = fdopen(out[0], "r");
}

const char *control(const char *sql) {
    char line[4096], answer[4096] = "";
    if (!to_control)
        control_restart();
    fprintf(to_control, "%s;\n\\echo END-OF-ANSWER\n", sql);
    fflush(to_control);
    while (fgets(line, sizeof line, from_control)) {
        if (strcmp(line, "END-OF-ANSWER\n") == 0) {
            answer[strcspn(answer, "\n")] = '\0';
            return keep(answer);
        }
        if (!*answer)
            memcpy(answer, line, sizeof answer);
    }
    failed(__FILE__, __LINE__, "control psql ended at: %s", sql);
    return NULL;
}

static int count_backends(const char *column, const char *value) {
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND %s = '%s'",
             column, value);
    return atoi(control(sql));
}

int backends(void) {
    return count_backends("application_name", getenv("PGAPPNAME"));
}

int role_backends(const char *role) {
    return count_backends("usename", role);
}

void expect_backends_at(const char *file, int line, int bare, int shared) {
    const char *mode = getenv("PQONE_MODE");
    bool parks =
        shimmed() && mode && strcmp(mode, "session") == 0; /* what was finished may stay for the next */
    int wanted = sharing() ? shared : bare, got = -1;
    for (int tries = 0; tries < 250; tries++) {
        got = backends();
        if (got == wanted || (parks && got > wanted && wanted > 0))
            return;
        sleep_ms(20);
    }
    failed(file, line, "backends: expected %d, came %d", wanted, got);
}

const char *log_text(void) {
    static char text[1 << 20];
    const char *path = getenv("PQONE_LOG");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    text[length] = '\0';
    if (file)
        fclose(file);
    return text;
}

int log_lines(const char *one, const char *other) {
    static char text[1 << 20];
    int count = 0;
    snprintf(text, sizeof text, "%s", log_text());
    for (char *rest = NULL, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        if ((!one || strstr(line, one)) && (!other || strstr(line, other)))
            count++;
    return count;
}

const char *case_directory(void) {
    return getenv("PQONE_TEST_CASE_DIR");
}

void sleep_ms(int milliseconds) {
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR)
        ;
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int child_status(int pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "--list") == 0) {
        for (struct test_case *one = cases; one; one = one->next)
            printf("%s\t%s\t%s\n", one->name, *one->environment ? one->environment : "-", one->sentence);
        return 0;
    }
    for (struct test_case *one = cases; one; one = one->next)
        if (count == 2 && strcmp(arguments[1], one->name) == 0) {
            char application[64];
            snprintf(application, sizeof application, "%.40s-%d", one->name, (int)getpid());
            setenv("PGAPPNAME", application, 1);
            signal(SIGPIPE, SIG_IGN);
            one->run();
            return 0;
        }
    fprintf(stderr, "usage: %s --list | CASE\n", arguments[0]);
    return 2;
}
