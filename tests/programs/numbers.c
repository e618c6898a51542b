/* numbers.c: programs that close numbers they know nothing of, or use them for files of theirs. */
#include "case/case.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SELECT_SIZE = 1024, FILES = 24, PAIRS = 24 };

/* One answer as an event loop fetches it, or "failed"; both ends of a wait are the program's own. */
static const char *fetch(PGconn *handle, const char *sql) {
    static char answer[256];
    snprintf(answer, sizeof answer, "failed");
    if (!PQsendQuery(handle, sql))
        return answer;
    for (int flushed; (flushed = PQflush(handle)) != 0;) {
        struct pollfd wait = {.fd = PQsocket(handle), .events = POLLIN | POLLOUT};
        if (flushed < 0 || poll(&wait, 1, 5000) <= 0 || !PQconsumeInput(handle))
            return answer;
    }
    while (PQisBusy(handle)) {
        struct pollfd wait = {.fd = PQsocket(handle), .events = POLLIN};
        if (wait.fd < 0)
            break;
        expect(poll(&wait, 1, 5000) == 1);
        if (!PQconsumeInput(handle))
            break;
    }
    for (PGresult *result; (result = PQgetResult(handle)); PQclear(result))
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            snprintf(answer, sizeof answer, "%s", PQgetvalue(result, 0, 0));
    return answer;
}

/* Two handles that were used as event loops use them, and one of their numbers. */
static PGconn *first, *second;

static void open_two(void) {
    first = open_handle();
    second = open_handle();
    expect_text(fetch(first, "SELECT 'one'"), "one");
    expect_text(fetch(second, "SELECT 'two'"), "two");
    expect(PQsocket(first) >= 0 && PQsocket(first) != PQsocket(second));
}

/* The program's files, in whatever numbers are free now, and what must stay in them. */
static int files[FILES], pairs[PAIRS][2];
static const char PATTERN[] = "the program's own\n";

static void open_files(void) {
    for (int i = 0; i < FILES; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/file.%d", case_directory(), i);
        files[i] = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        expect(files[i] >= 0 && write(files[i], PATTERN, sizeof PATTERN) == (ssize_t)sizeof PATTERN);
    }
    for (int i = 0; i < PAIRS; i++)
        expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pairs[i]) == 0);
}

/* Nothing was written into them, nothing was read, nothing closed. */
static void expect_untouched(void) {
    for (int i = 0; i < FILES; i++) {
        char text[256];
        expect_number(lseek(files[i], 0, SEEK_CUR), sizeof PATTERN);
        expect_number(pread(files[i], text, sizeof text, 0), sizeof PATTERN);
        expect(memcmp(text, PATTERN, sizeof PATTERN) == 0);
    }
    for (int i = 0; i < PAIRS; i++) {
        char byte;
        expect_number(recv(pairs[i][0], &byte, 1, 0), -1);
        expect_number(errno, EAGAIN);
        expect_number(recv(pairs[i][1], &byte, 1, 0), -1);
        expect_number(errno, EAGAIN);
    }
}

static void close_files(void) {
    for (int i = 0; i < FILES; i++)
        expect(close(files[i]) == 0);
    for (int i = 0; i < PAIRS; i++)
        expect(close(pairs[i][0]) == 0 && close(pairs[i][1]) == 0);
}

/* After everything was closed: new files are the program's, new handles work, and the old ones do not hang.
 */
static void expect_life_after(void) {
    open_files();
    PGconn *third = open_handle();
    for (int i = 0; i < 20; i++)
        expect_text(fetch(third, "SELECT 'three'"), "three");
    sleep_ms(300);
    expect_untouched();
    PQfinish(third);
    expect_untouched();
    close_files();
    const char *answer = fetch(first, "SELECT 'again'");
    expect(strcmp(answer, "again") == 0 || strcmp(answer, "failed") == 0);
    PQfinish(first);
    PQfinish(second);
}

CASE(close_everything, "", "a program that closes 3 to 1023 has its new files to itself") {
    open_two();
    for (int number = 3; number < SELECT_SIZE; number++)
        close(number);
    expect_life_after();
}
CASE(close_range_everything, "", "close_range(3, ~0U) leaves a program that goes on") {
    open_two();
    expect_number(close_range(3, ~0U, 0), 0);
    expect_life_after();
}
CASE(closefrom_everything, "", "closefrom(3) leaves a program that goes on") {
    open_two();
    closefrom(3);
    expect_life_after();
}
CASE(close_range_refused, "", "close_range() with wrong arguments says what it says") {
    open_two();
    expect(close_range(10, 3, 0) == -1 && errno == EINVAL);
    expect(close_range(2000, 3000, 1 << 20) == -1 && errno == EINVAL);
    expect(close(-1) == -1 && errno == EBADF);
    expect(close(1 << 30) == -1 && errno == EBADF);
    expect(dup2(-1, 5) == -1 && errno == EBADF);
    expect(dup3(1, 1, 0) == -1 && errno == EINVAL);
    expect_number(dup2(1, 1), 1);
    PQfinish(first);
    PQfinish(second);
}

/* A daemon's clean-up that was told which number to spare (python-daemon's files_preserve). */
static void by_close(int spared) {
    for (int number = 3; number < 4 * SELECT_SIZE; number++)
        if (number != spared)
            close(number);
}
static void by_close_range(int spared) {
    if (spared > 3)
        expect_number(close_range(3, (unsigned)spared - 1, 0), 0);
    expect_number(close_range((unsigned)spared + 1, ~0U, 0), 0);
}
static void by_closefrom(int spared) {
    for (int number = 3; number < spared; number++)
        close(number);
    closefrom(spared + 1);
}

/* Which it is: it closes what it does not own. */
static void skip_if_called_a_race(void) {
#ifdef __SANITIZE_THREAD__
    skip("the thread sanitizer takes a program that closes all numbers for a race with whoever uses them");
#endif
}

/* At rest, with a query under way, and in a transaction; the number is watched for all of that. */
static void spare_one(void (*close_the_others)(int spared)) {
    skip_if_called_a_race();
    first = open_handle();
    expect_text(fetch(first, "SELECT 'one'"), "one");
    int spared = PQsocket(first);
    struct pollfd wait = {.fd = spared, .events = POLLIN};
    close_the_others(spared);
    expect_number(poll(&wait, 1, 20), 0);
    expect_text(ask(first, "SELECT 'directly'"), "directly");
    expect_text(fetch(first, "SELECT 'later'"), "later");
    expect_number(PQsendQuery(first, "SELECT 'slowly' FROM pg_sleep(0.2)"), 1);
    close_the_others(spared);
    open_files();
    expect_number(poll(&wait, 1, 5000), 1);
    expect_number(wait.revents, POLLIN);
    PGresult *result = PQgetResult(first);
    expect_text(PQgetvalue(result, 0, 0), "slowly");
    PQclear(result);
    expect(!PQgetResult(first));
    close_files();
    ask(first, "BEGIN");
    close_the_others(spared);
    open_files();
    expect_text(fetch(first, "SELECT 'in a transaction'"), "in a transaction");
    ask(first, "COMMIT");
    expect_number(PQsocket(first), spared);
    PQfinish(first);
    expect_untouched();
    close_files();
}

CASE(close_all_but_one, "", "a program that closes all numbers but PQsocket's goes on") {
    spare_one(by_close);
}
CASE(close_range_but_one, "", "a program that closes the ranges around PQsocket's number goes on") {
    spare_one(by_close_range);
}
CASE(closefrom_but_one, "", "a program that closes all from PQsocket's number on goes on") {
    spare_one(by_closefrom);
}

CASE(dup2_high, "", "dup2() onto all high numbers leaves a query and its wait alone") {
    struct rlimit limit;
    expect(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 8 * SELECT_SIZE)
        skip("RLIMIT_NOFILE allows too few numbers");
    limit.rlim_cur = 8 * SELECT_SIZE;
    expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    open_two();
    struct stat wanted, got;
    int zero = open("/dev/zero", O_RDONLY);
    expect(fstat(zero, &wanted) == 0);
    struct pollfd wait = {.fd = PQsocket(first), .events = POLLIN};
    expect_number(PQsendQuery(first, "SELECT 'slowly' FROM pg_sleep(0.2)"), 1);
    for (int number = 512; number < 3 * SELECT_SIZE; number++)
        expect_number(number % 2 ? dup2(zero, number) : dup3(zero, number, O_CLOEXEC), number);
    expect_number(poll(&wait, 1, 5000), 1);
    expect_number(wait.revents, POLLIN);
    PGresult *result = PQgetResult(first);
    expect_text(PQgetvalue(result, 0, 0), "slowly");
    PQclear(result);
    expect(!PQgetResult(first));
    expect_text(fetch(second, "SELECT 'two'"), "two");
    expect_number(PQsocket(first), wait.fd);
    PQfinish(first);
    PQfinish(second);
    for (int number = 512; number < 3 * SELECT_SIZE; number++)
        expect(fstat(number, &got) == 0 && got.st_rdev == wanted.st_rdev);
}

CASE(raw_close_everything, "", "numbers that a raw system call closed are not taken for ours") {
    skip_if_called_a_race();
    open_two();
    for (int number = 3; number < 4 * SELECT_SIZE; number++)
        syscall(SYS_close, number);
    expect_life_after();
}

CASE(dup2_onto_everything, "", "dup2() onto every number up to 3071 puts the program's file there") {
    struct rlimit limit;
    expect(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 8 * SELECT_SIZE)
        skip("RLIMIT_NOFILE allows too few numbers");
    limit.rlim_cur = 8 * SELECT_SIZE;
    expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    open_two();
    struct stat wanted, got;
    int zero = open("/dev/zero", O_RDONLY);
    expect(fstat(zero, &wanted) == 0);
    for (int number = 3; number < 3 * SELECT_SIZE; number++)
        expect_number(number % 2 || number == zero ? dup2(zero, number) : dup3(zero, number, O_CLOEXEC),
                      number);
    sleep_ms(100);
    PGconn *third = open_handle();
    expect_text(fetch(third, "SELECT 'three'"), "three");
    PQfinish(third);
    for (int number = 3; number < 3 * SELECT_SIZE; number++)
        expect(fstat(number, &got) == 0 && got.st_rdev == wanted.st_rdev);
}

CASE(daemon_goes_on, "", "a daemon that closes everything after its fork uses the handle it was given") {
    int report[2];
    expect(pipe(report) == 0);
    first = open_handle();
    expect_text(fetch(first, "SELECT 'before'"), "before");
    int child = fork();
    if (child == 0) {
        if (daemon(1, 1) != 0)
            _exit(1);
        int spared = PQsocket(first);
        for (int number = 3; number < 4 * SELECT_SIZE; number++)
            if (number != report[1] && number != spared)
                close(number);
        char answer[300];
        int length = snprintf(answer, sizeof answer, "%s", fetch(first, "SELECT 'behind'"));
        _exit(write(report[1], answer, (size_t)length) == length ? 0 : 1);
    }
    expect_number(child_status(child), 0);
    close(report[1]);
    char answer[300];
    ssize_t length = read(report[0], answer, sizeof answer - 1);
    answer[length > 0 ? length : 0] = '\0';
    expect_text(answer, "behind");
}

/* In the child of vfork memory is the parent's: what it closes there, the parent keeps. */
static int run_after(void (*clean_up)(void)) {
    int child = vfork();
    if (child == 0) {
        clean_up();
        execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
        _exit(127);
    }
    return child_status(child);
}

static void close_by_range(void) {
    close_range(3, ~0U, 0);
}
static void close_one_by_one(void) {
    for (int number = 3; number < 2 * SELECT_SIZE; number++)
        close(number);
}
static void put_elsewhere(void) {
    for (int number = 3; number < 200; number++)
        dup2(1, number);
    for (int number = SELECT_SIZE; number < SELECT_SIZE + 100; number++)
        dup2(1, number);
    close_range(3, ~0U, 0);
}

CASE(vfork_and_exec, "", "a child of vfork closes and moves what it likes, and its parent goes on") {
    open_two();
    int number = PQsocket(first);
    void (*const ways[])(void) = {close_by_range, close_one_by_one, put_elsewhere};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        expect_number(run_after(ways[i]), 0);
        expect_text(fetch(first, "SELECT 'one'"), "one");
        expect_text(fetch(second, "SELECT 'two'"), "two");
        expect_number(PQsocket(first), number);
    }
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}

extern char **environ;

CASE(spawned, "", "posix_spawn() that closes and moves numbers leaves its parent's alone") {
    open_two();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 1, PQsocket(first));
    posix_spawn_file_actions_adddup2(&actions, 1, 900);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    char *arguments[] = {"true", NULL};
    for (int i = 0; i < 5; i++) {
        pid_t pid;
        expect_number(posix_spawnp(&pid, "true", &actions, NULL, arguments, environ), 0);
        expect_number(child_status(pid), 0);
        expect_text(fetch(first, "SELECT 'one'"), "one");
        expect_text(fetch(second, "SELECT 'two'"), "two");
    }
    posix_spawn_file_actions_destroy(&actions);
    PQfinish(first);
    PQfinish(second);
}

static volatile sig_atomic_t ticks;

/* Numbers that the program never had, as it sees it. */
static void tidy(int signal_number) {
    (void)signal_number;
    int saved_errno = errno;
    for (int number = 500; number < 540; number++)
        close(number);
    close_range(SELECT_SIZE, SELECT_SIZE + 100, 0);
    errno = saved_errno;
    ticks++;
}

CASE(closing_handler, "", "a signal handler that closes numbers disturbs no query") {
    open_two();
    struct sigaction action = {.sa_handler = tidy, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    expect(sigaction(SIGALRM, &action, NULL) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
    double until = seconds_now() + 1.0;
    for (int i = 0; seconds_now() < until; i++) {
        char sql[64], wanted[32];
        snprintf(wanted, sizeof wanted, "%d", i);
        snprintf(sql, sizeof sql, "SELECT %d", i);
        PGresult *result = PQexec(i % 2 ? first : second, sql);
        expect_text(PQgetvalue(result, 0, 0), wanted);
        PQclear(result);
        if (i % 50 == 0) { /* numbers come and go */
            PQfinish(first);
            first = open_handle();
            expect(PQsocket(first) >= 0);
        }
    }
    setitimer(ITIMER_REAL, &never, NULL);
    expect(ticks > 100);
    PQfinish(first);
    PQfinish(second);
}

CASE(all_numbers, "PQONE_MAX_CONNECTIONS=3",
     "under a low limit on descriptors as many handles have a number, and answers, as without the shim") {
    enum { HANDLES = 45, LIMIT = 64 };
    PGconn *handles[HANDLES];
    struct rlimit limit, after;
    char sql[40], wanted[32];
    expect(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 16384)
        skip("RLIMIT_NOFILE allows too few numbers");
    limit.rlim_cur = LIMIT;
    expect(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int i = 0; i < HANDLES; i++) {
        handles[i] = open_handle();
        expect(PQsocket(handles[i]) >= 0);
    }
    for (int i = 0; i < HANDLES; i++) {
        snprintf(sql, sizeof sql, "SELECT 'handle %d'", i);
        expect_number(PQsendQuery(handles[i], sql), 1);
    }
    for (int i = 0; i < HANDLES; i++) {
        struct pollfd wait = {PQsocket(handles[i]), POLLIN, 0};
        while (PQisBusy(handles[i])) {
            expect_number(poll(&wait, 1, 5000), 1);
            expect_number(PQconsumeInput(handles[i]), 1);
        }
        snprintf(wanted, sizeof wanted, "handle %d", i);
        PGresult *result = PQgetResult(handles[i]);
        expect_text(PQgetvalue(result, 0, 0), wanted);
        PQclear(result);
        expect(!PQgetResult(handles[i]));
    }
    expect(getrlimit(RLIMIT_NOFILE, &after) == 0);
    expect_number(after.rlim_cur, LIMIT);
    for (int i = 0; i < HANDLES; i++)
        PQfinish(handles[i]);
}
