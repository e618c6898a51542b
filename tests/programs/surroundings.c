/* surroundings.c: modes, settings, descriptors, logs and ledgers: what is around the sharing. */
#include "case/case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void two_separate(void) {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SET work_mem = '3MB'");
    expect_text(ask(second, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_number(backends(), 2);
    PQfinish(first);
    expect_text(ask(second, "SELECT 1"), "1");
    PQfinish(second);
}

CASE(mode_observe, "PQONE_MODE=observe",
     "observe: every handle is its own connection; duplicates are logged") {
    two_separate();
    expect_backends(0, 0);
    if (shimmed())
        expect(log_lines("duplicate:", NULL) >= 1);
}
CASE(mode_off, "PQONE_MODE=off", "off: nothing is changed and nothing is logged") {
    two_separate();
    expect_backends(0, 0);
    expect_text(log_text(), "");
}
CASE(disabled, "PQONE_DISABLE=1", "PQONE_DISABLE=1 switches everything off") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_number(backends(), 2);
    PQfinish(first);
    PQfinish(second);
    expect_text(log_text(), "");
}
CASE(mode_session, "PQONE_MODE=session PQONE_LINGER=1min",
     "session: a connection per open handle; PQfinish parks it, reset, for the next connect") {
    two_separate();
    char sql[256], before[32];
    snprintf(sql, sizeof sql, "SELECT max(pid) FROM pg_stat_activity WHERE application_name = '%s'",
             getenv("PGAPPNAME"));
    PGconn *one = open_handle();
    ask(one, "SET work_mem = '3MB'");
    snprintf(before, sizeof before, "%s", ask(one, "SELECT pg_backend_pid()"));
    PQfinish(one);
    for (int i = 0; i < 5; i++) {
        PGconn *next = open_handle();
        expect_text(ask(next, "SELECT current_setting('work_mem') = '3MB'"), "f");
        PQfinish(next);
    }
    if (shimmed())
        expect(backends() >= 1 && backends() <= 2);
    expect(*before != '\0');
}
CASE(session_over_the_cap, "PQONE_MODE=session PQONE_MAX_CONNECTIONS=1",
     "session: a handle's own connection goes over MAX_CONNECTIONS, and the log says so") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    if (shimmed())
        expect_number(log_lines("over PQONE_MAX_CONNECTIONS=1", "PQONE_MODE=session"), 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(duplicate_fails, "PQONE_ON_DUPLICATE=fail",
     "ON_DUPLICATE=fail: a CONNECTION_BAD handle with a clear message") {
    PGconn *first = open_handle(), *second = PQconnectdb("dbname=shop user=app");
    if (shimmed()) {
        expect_number(PQstatus(second), CONNECTION_BAD);
        expect_part(PQerrorMessage(second), "duplicate");
        PQfinish(second);
        expect_text(ask(first, "SELECT 1"), "1");
        PQfinish(first);
        first = open_handle();
        second = NULL;
    } else {
        expect_number(PQstatus(second), CONNECTION_OK);
    }
    expect_text(ask(first, "SELECT 1"), "1");
    PQfinish(first);
    PQfinish(second);
}
CASE(duplicate_aborts, "PQONE_ON_DUPLICATE=abort",
     "ON_DUPLICATE=abort: the process ends by SIGABRT at the second connect") {
    int child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        PGconn *first = open_handle(), *second = open_handle();
        PQfinish(first);
        PQfinish(second);
        _exit(0);
    }
    expect_number(child_status(child), shimmed() ? 128 + SIGABRT : 0);
}
CASE(duplicate_ignored, "PQONE_ON_DUPLICATE=ignore", "ON_DUPLICATE=ignore: shared, and not a word of it") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "SELECT 1");
    ask(second, "SELECT 2");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
    expect_number(log_lines("duplicate:", NULL), 0);
}

CASE(via, "PQONE_VIA=host=@SOCKET@@_@port=@PORT@",
     "VIA replaces the program's host and port by its own words") {
    PGconn *handle = PQconnectdb("host=nowhere.invalid port=1 dbname=shop user=app");
    if (shimmed()) {
        expect_text(PQerrorMessage(handle), "");
        expect_text(ask(handle, "SELECT current_user || '@' || current_database()"), "app@shop");
    } else {
        expect_number(PQstatus(handle), CONNECTION_BAD);
    }
    PQfinish(handle);
}
CASE(via_password, "PQONE_VIA=host=@SOCKET@@_@password=geheim",
     "a password in VIA is refused, and never repeated") {
    PGconn *handle = open_handle();
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
    if (shimmed())
        expect(log_lines("setting:", "VIA") >= 1);
    expect_number(log_lines("geheim", NULL), 0);
}

CASE(bad_settings,
     "PQONE_MAX_CONNECTIONS=-3 PQONE_WAIT_TIMEOUT=soon PQONE_STACK=many PQONE_ON_DUPLICATE=sing",
     "bad settings are one line each with what is accepted, and the defaults hold") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
    if (sharing()) {
        expect_number(log_lines("setting:", "MAX_CONNECTIONS"), 1);
        expect_number(log_lines("setting:", "WAIT_TIMEOUT"), 1);
        expect_number(log_lines("setting:", "STACK"), 1);
        expect_number(log_lines("log, ignore, fail or abort", "sing"), 1);
    }
}
CASE(unwritable_log, "PQONE_LOG=/nonexistent/directory/log", "a log that cannot be written changes nothing") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
}
CASE(full_log, "PQONE_LOG=/dev/full", "a log on a full disk changes nothing") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
}
CASE(unwritable_ledger, "PQONE_LEDGER_DIR=/nonexistent/directory",
     "a ledger that cannot be made changes nothing but one line") {
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
    if (sharing())
        expect_number(log_lines("ledger:", NULL), 1);
}

CASE(closed_stderr, "PQONE_LOG=stderr", "a file that the program opens as descriptor 2 stays its own") {
    char path[512];
    struct stat now;
    snprintf(path, sizeof path, "%s/data", case_directory());
    close(2);
    expect_number(open(path, O_CREAT | O_RDWR, 0600), 2);
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
    expect_number(fstat(2, &now), 0);
    expect_number(now.st_size, 0);
}
CASE(no_stderr, "PQONE_LOG=stderr",
     "without descriptor 2 at all everything works, and nothing takes the number") {
    close(2);
    PGconn *first = open_handle(), *second = open_handle();
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    PQfinish(first);
    PQfinish(second);
}
CASE(all_descriptors_closed, "",
     "a daemon that closes every descriptor gets an error or a new connection, and never a crash") {
    PGconn *handle = open_handle();
    ask(handle, "SELECT 1");
    int child = fork();
    if (child == 0) {
        for (int i = 0; i < 1024; i++)
            close(i);
        PGconn *own = PQconnectdb("dbname=shop user=app");
        PGresult *result = PQexec(own, "SELECT 1");
        _exit(PQresultStatus(result) == PGRES_TUPLES_OK ? 0 : 9);
    }
    expect_number(child_status(child), 0);
    expect_text(ask(handle, "SELECT 1"), "1");
    PQfinish(handle);
}

CASE(keeps_errno, "",
     "connecting a duplicate, answering and finishing keep errno as a bare libpq's success would") {
    PGconn *first = open_handle(), *second = open_handle();
    errno = EXDEV;
    expect_number(PQstatus(first), CONNECTION_OK);
    expect_text(PQdb(second), "shop");
    expect_number(PQtransactionStatus(first), PQTRANS_IDLE);
    expect_text(PQerrorMessage(first), "");
    expect_number(errno, EXDEV);
    PQfinish(first);
    PQfinish(second);
}

/* Files in a directory whose name ends so. */
static int files(const char *directory, const char *suffix) {
    DIR *stream = opendir(directory);
    int count = 0;
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        count += length > end && strcmp(entry->d_name + length - end, suffix) == 0;
    }
    if (stream)
        closedir(stream);
    return count;
}

CASE(ledger_is_private, "", "the ledger is there while handles are open, for its owner's eyes only") {
    char path[512];
    struct stat status;
    snprintf(path, sizeof path, "%s/ledger", case_directory());
    if (shimmed())
        expect_number(files(path, ".ledger"), 0);
    PGconn *handle = open_handle();
    if (shimmed()) {
        expect_number(files(path, ".ledger"), 1);
        DIR *stream = opendir(path);
        for (struct dirent *entry; (entry = readdir(stream));)
            if (strstr(entry->d_name, ".ledger")) {
                expect_number(fstatat(dirfd(stream), entry->d_name, &status, 0), 0);
                expect_number(status.st_mode & 07777, 0600);
            }
        closedir(stream);
    }
    PQfinish(handle);
}

CASE(secrets, "", "no password and no literal of a statement reaches the log or the ledger") {
    char path[512], found[1024];
    PGconn *first = PQconnectdb(tcp_conninfo("app", "app")),
           *second = PQconnectdb(tcp_conninfo("app", "app"));
    PGconn *wrong = PQconnectdb(tcp_conninfo("app", "geheim-password"));
    PQfinish(wrong);
    ask(first, "SET my.secret = 'geheim-literal'");
    ask(second, "SELECT set_config('my.other', 'geheim-argument', false)");
    refused(second, "ALTER ROLE app PASSWORD 'geheim-role");
    snprintf(path, sizeof path, "grep -rl geheim %s/log %s/ledger 2>/dev/null", case_directory(),
             case_directory());
    FILE *pipe = popen(path, "r");
    expect(fgets(found, sizeof found, pipe) == NULL);
    pclose(pipe);
    if (sharing())
        expect(log_lines("pin:", NULL) >= 1);
    PQfinish(first);
    PQfinish(second);
}

CASE(pins_are_explained, "", "a pin is logged once per place, with its reason and the statement's keywords") {
    PGconn *handle = open_handle();
    ask(handle, "SET search_path = pg_catalog");
    PQfinish(handle);
    if (sharing()) {
        expect(log_lines("pin:", "changes a session setting") >= 1);
        expect(log_lines("pin:", "search_path") >= 1);
    }
}
