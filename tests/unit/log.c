/* log.c: log lines in every place they can go to, with readers that are gone, slow, replaced or hostile. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "settings.h"
#include "watch/call_site.h"
#include "watch/log.h"
#include "watch/outlet.h"
#include "watch/recorder.h"
#include "watch/watch.h"

static char directory[] = "/tmp/pqone-log-XXXXXX";
static char log_path[64];

static void enter(void) {
    cr_assert_not_null(mkdtemp(directory));
    snprintf(log_path, sizeof log_path, "%s/log", directory);
    setenv("PQONE_LEDGER_DIR", directory, 1);
    unsetenv("PQONE_RUN");
}

static void leave(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect(system(command) == 0);
}
TestSuite(log, .init = enter, .fini = leave);

static char text[1 << 16];

static const char *contents(const char *path) {
    int fd = open(path, O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    close(fd);
    return text;
}

/* Empties the log, which stays open in the process: an unlinked one would go on unseen. */
static bool empty_log(void) {
    return access(log_path, F_OK) != 0 || truncate(log_path, 0) == 0;
}

static size_t lines(const char *all) {
    size_t count = 0;
    for (; (all = strchr(all, '\n')); all++)
        count++;
    return count;
}

static const char *line(const char *format, const char *message) {
    static char wanted[4096];
    snprintf(wanted, sizeof wanted, format, (int)getpid(), message);
    return wanted;
}

/* Makes descriptor 2 `fd` and tells the log; what it was comes back at the test's end by the process's. */
static void become_stderr(int fd) {
    cr_assert(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
    log_start();
}

static int new_file(const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    cr_assert(fd >= 0);
    return fd;
}

static void log_to_file(void) {
    setenv("PQONE_LOG", log_path, 1);
}

Test(log, a_line_has_pid_event_and_message) {
    become_stderr(new_file("stderr"));
    errno = 77;
    log_event(LOG_DUPLICATE, UINT32_MAX, 0, "%s handle", "2nd");
    cr_expect(errno == 77, "errno is kept");
    snprintf(log_path, sizeof log_path, "%s/stderr", directory);
    cr_expect_str_eq(contents(log_path), line("pqone[%d] duplicate: %s\n", "2nd handle"));
    for (int kind = 0; kind < LOG_EVENT_KINDS; kind++)
        cr_expect(log_event_word((enum log_event_kind)kind)[0] >= 'a');
}

Test(log, none_is_none) {
    become_stderr(new_file("stderr"));
    setenv("PQONE_LOG", "none", 1);
    cr_expect_not(log_wanted());
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    snprintf(log_path, sizeof log_path, "%s/stderr", directory);
    cr_expect_str_eq(contents(log_path), "");
}

Test(log, nothing_goes_to_a_descriptor_that_was_replaced) {
    become_stderr(new_file("stderr"));
    int other = new_file("data");
    dup2(other, STDERR_FILENO);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "into the program's data?");
    close(STDERR_FILENO);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "into nothing?");
    become_stderr(new_file("stderr"));
    log_event(LOG_MISUSE, UINT32_MAX, 0, "last");
    snprintf(log_path, sizeof log_path, "%s/data", directory);
    cr_expect_str_eq(contents(log_path), "");
    snprintf(log_path, sizeof log_path, "%s/stderr", directory);
    cr_expect_str_eq(contents(log_path),
                     line("pqone[%d] misuse: %s\n", "last (2 lines before this one were lost)"));
}

Test(log, a_stderr_that_was_closed_at_start_is_never_written) {
    close(STDERR_FILENO);
    log_start();
    int fd = new_file("data");
    cr_assert(dup2(fd, STDERR_FILENO) == STDERR_FILENO, "the number is used again");
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    snprintf(log_path, sizeof log_path, "%s/data", directory);
    cr_expect_str_eq(contents(log_path), "");
}

Test(log, a_pipe_without_reader_sends_no_signal) {
    int ends[2], sockets[2];
    cr_assert(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
    signal(SIGPIPE, SIG_DFL);
    close(ends[0]);
    become_stderr(ends[1]);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    close(sockets[0]);
    become_stderr(sockets[1]);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    sigset_t now;
    sigpending(&now);
    cr_expect(sigismember(&now, SIGPIPE) == 0);
    pthread_sigmask(SIG_BLOCK, NULL, &now);
    cr_expect(sigismember(&now, SIGPIPE) == 0, "the program's mask is as it was");
}

Test(log, a_signal_that_was_pending_stays_pending) {
    int ends[2];
    sigset_t pipe_signal, now;
    cr_assert(pipe(ends) == 0);
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL);
    raise(SIGPIPE);
    close(ends[0]);
    become_stderr(ends[1]);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    sigpending(&now);
    cr_expect(sigismember(&now, SIGPIPE) == 1);
}

static void fill_pipe(int fd) {
    char page[4096] = {'x'};
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    while (write(fd, page, sizeof page) > 0)
        ;
    fcntl(fd, F_SETFL, flags);
}

Test(log, a_reader_that_stopped_costs_lines_and_not_time, .timeout = 10) {
    int ends[2];
    cr_assert(pipe(ends) == 0);
    fill_pipe(ends[1]);
    become_stderr(ends[1]);
    int64_t before = recorder_now();
    for (int i = 0; i < 50; i++)
        log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    cr_expect(recorder_now() - before < 2000000000, "%ld ms", (long)((recorder_now() - before) / 1000000));
    for (size_t got = 0; got < 65536;)
        got += (size_t)read(ends[0], text, sizeof text);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "y");
    ssize_t length = read(ends[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    cr_expect_str_eq(text, line("pqone[%d] misuse: %s\n", "y (50 lines before this one were lost)"));
}

Test(log, a_file_size_limit_kills_nobody) {
    struct rlimit limit = {10, 10};
    become_stderr(new_file("stderr"));
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    signal(SIGXFSZ, SIG_DFL);
    for (int i = 0; i < 3; i++)
        log_event(LOG_MISUSE, UINT32_MAX, 0, "longer than the limit");
    sigset_t now;
    sigpending(&now);
    cr_expect(sigismember(&now, SIGXFSZ) == 0);
}

Test(log, repeats_are_counted) {
    log_to_file();
    for (int i = 0; i < 1234; i++)
        log_event(LOG_PIN, 3, 1, "again");
    log_event(LOG_PIN, 3, 2, "other key");
    log_event(LOG_PIN, 4, 1, "other site");
    log_event(LOG_WAIT, 3, 1, "other kind");
    const char *all = contents(log_path);
    cr_expect(lines(all) == 7, "%s", all);
    cr_expect_not_null(strstr(all, "] pin: again\n"));
    cr_expect_not_null(strstr(all, "] pin: again (+9 more from here)\n"));
    cr_expect_not_null(strstr(all, "] pin: again (+99 more from here)\n"));
    cr_expect_not_null(strstr(all, "] pin: again (+999 more from here)\n"));
    for (int i = 0; i < 3; i++)
        log_event(LOG_PIN, UINT32_MAX, 1, "always");
    cr_expect(lines(contents(log_path)) == 10);
}

Test(log, more_kinds_of_events_than_room_are_no_flood) {
    log_to_file();
    for (uint32_t key = 0; key < 20000; key++)
        log_event(LOG_PIN, 1, key, "x");
    cr_expect(lines(contents(log_path)) > 1000);
    int before = (int)lines(contents(log_path));
    for (uint32_t key = 100000; key < 120000; key++)
        log_event(LOG_PIN, 1, key, "x");
    cr_expect((int)lines(contents(log_path)) - before < 200, "%d", (int)lines(contents(log_path)) - before);
}

Test(log, files_are_made_private_and_per_process) {
    char path[128];
    struct stat state;
    snprintf(path, sizeof path, "%s/log.%%p", directory);
    setenv("PQONE_LOG", path, 1);
    umask(0);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "parent");
    pid_t child = fork();
    if (child == 0) {
        log_event(LOG_MISUSE, UINT32_MAX, 0, "child");
        _exit(0);
    }
    cr_assert(waitpid(child, NULL, 0) == child);
    snprintf(path, sizeof path, "%s/log.%d", directory, getpid());
    cr_expect_str_eq(contents(path), line("pqone[%d] misuse: %s\n", "parent"));
    cr_assert(stat(path, &state) == 0);
    cr_expect((state.st_mode & 07777) == 0600);
    snprintf(path, sizeof path, "%s/log.%d", directory, child);
    cr_expect_not_null(strstr(contents(path), "misuse: child\n"));
}

Test(log, a_log_descriptor_that_the_program_reused_is_left_alone) {
    log_to_file();
    log_event(LOG_MISUSE, UINT32_MAX, 0, "one");
    int data = new_file("data");
    for (int fd = 3; fd < 256; fd++) {
        char link[64], target[256] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, target, sizeof target - 1) > 0 && strcmp(target, log_path) == 0) {
            cr_expect(fd >= 64, "low numbers are the program's");
            cr_assert(dup2(data, fd) == fd);
        }
    }
    log_event(LOG_MISUSE, UINT32_MAX, 0, "two");
    cr_expect(lines(contents(log_path)) == 2);
    snprintf(log_path, sizeof log_path, "%s/data", directory);
    cr_expect_str_eq(contents(log_path), "");
}

static void expect_complaint(const char *place, const char *reason) {
    setenv("PQONE_LOG", place, 1);
    become_stderr(new_file("stderr"));
    for (int i = 0; i < 5; i++)
        log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    snprintf(log_path, sizeof log_path, "%s/stderr", directory);
    const char *all = contents(log_path);
    cr_expect(lines(all) == 1 && strstr(all, "setting: PQONE_LOG") && strstr(all, reason), "%s", all);
}

Test(log, an_unwritable_log_is_one_line) {
    expect_complaint("/no/such/directory/log", "No such file");
}

Test(log, a_log_that_is_a_link_is_refused) {
    char link[128];
    snprintf(link, sizeof link, "%s/link", directory);
    cr_assert(symlink("/etc/passwd", link) == 0);
    expect_complaint(link, "symbolic links");
}

Test(log, a_fifo_nobody_reads_does_not_hang, .timeout = 10) {
    char fifo[128];
    snprintf(fifo, sizeof fifo, "%s/fifo", directory);
    cr_assert(mkfifo(fifo, 0600) == 0);
    expect_complaint(fifo, "No such device");
}

Test(log, a_bad_setting_is_one_line) {
    setenv("PQONE_MODE", "sh\033[31mar", 1);
    setenv("PQONE_VIA", "password=hunter2", 1);
    become_stderr(new_file("stderr"));
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    snprintf(log_path, sizeof log_path, "%s/stderr", directory);
    const char *all = contents(log_path);
    cr_expect(lines(all) == 3 && !strstr(all, "hunter2") && !strchr(all, '\033'), "%s", all);
    cr_expect_not_null(strstr(all, "setting: PQONE_MODE \"sh?[31mar\" is not accepted"));
}

/* One line of nothing but readable UTF-8, whatever goes in; as JSON it comes back as one object. */
static void expect_readable(const char *all) {
    cr_expect(lines(all) == 1, "%s", all);
    for (const char *at = all; *at && *at != '\n'; at++)
        cr_expect((unsigned char)*at >= ' ' && *at != 0x7f);
    json_t *as_string = json_stringn(all, strcspn(all, "\n"));
    cr_expect_not_null(as_string, "not UTF-8");
    json_decref(as_string);
    cr_expect(strlen(all) <= 4096);
}

static void log_hostile(int round) {
    char *huge = malloc(1 << 20);
    for (size_t i = 0; i < (1 << 20) - 1; i++)
        huge[i] = (char)(round == 0   ? i % 255 + 1
                         : round == 1 ? '"'
                         : round == 2 ? (i % 2 ? 0xa4 : 0xc3)
                                      : '\\');
    huge[(1 << 20) - 1] = '\0';
    log_event(LOG_MISUSE, UINT32_MAX, 0, round == 3 ? "\xed\xa0\x80 %s" : "%s", huge);
    free(huge);
}

Test(log, a_megabyte_of_bytes_is_one_readable_line) {
    log_to_file();
    for (int round = 0; round < 4; round++) {
        cr_assert(empty_log());
        log_hostile(round);
        expect_readable(contents(log_path));
        cr_expect(strcmp(text + strlen(text) - 4, "...\n") == 0, "a cut is shown");
    }
}

Test(log, json_is_json) {
    setenv("PQONE_LOG_FORMAT", "json", 1);
    log_to_file();
    for (int round = 0; round < 5; round++) {
        cr_assert(empty_log());
        if (round < 4)
            log_hostile(round);
        else
            log_event(LOG_DUPLICATE, UINT32_MAX, 0,
                      "a \"b\" \\ \n\002"
                      "1\003 \xff \xc3\xa4");
        const char *all = contents(log_path);
        expect_readable(all);
        json_t *object = json_loads(all, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(object, "%s", all);
        cr_expect(json_object_size(object) == 4 &&
                  json_integer_value(json_object_get(object, "pid")) == getpid());
        int year, rest;
        cr_expect(sscanf(json_string_value(json_object_get(object, "time")), "%4d-%2d-", &year, &rest) == 2);
        cr_expect(year > 2023 && rest >= 1 && rest <= 12);
        if (round == 4) {
            cr_expect_str_eq(json_string_value(json_object_get(object, "event")), "duplicate");
            cr_expect_str_eq(json_string_value(json_object_get(object, "message")),
                             "a \"b\" \\ ??1? ? \xc3\xa4");
        }
        json_decref(object);
    }
}

Test(log, the_time_is_utc) {
    char wanted[64], seen[64] = "";
    setenv("PQONE_LOG_FORMAT", "json", 1);
    log_to_file();
    time_t before = time(NULL);
    log_event(LOG_MISUSE, UINT32_MAX, 0, "x");
    cr_expect(sscanf(contents(log_path), "{\"time\":\"%19[^.]", seen) == 1);
    bool found = false;
    for (time_t second = before; second <= time(NULL); second++) {
        strftime(wanted, sizeof wanted, "%Y-%m-%dT%H:%M:%S", gmtime(&second));
        found |= strcmp(wanted, seen) == 0;
    }
    cr_expect(found, "%s", seen);
}

Test(log, sites_are_named_and_tokens_cannot_be_forged) {
    char buffer[16], other[16];
    uint64_t frames[1] = {1};
    log_to_file();
    uint32_t site = recorder_site_row(frames, 1, NULL, "route_brands+0x1c (\"shop\")");
    log_event(LOG_DUPLICATE, UINT32_MAX, 0, "opened at %s, not at %s; %s", log_site(site, buffer),
              "\002"
              "0\003",
              log_site(CALL_SITE_NONE, other));
    cr_expect_str_eq(contents(log_path),
                     line("pqone[%d] duplicate: %s\n",
                          "opened at route_brands+0x1c (\"shop\"), not at ?0?; an unknown place"));
}

Test(log, a_token_is_not_cut_in_two) {
    char buffer[16], filler[LOG_MESSAGE_MAX];
    uint64_t frames[1] = {1};
    log_to_file();
    uint32_t site = recorder_site_row(frames, 1, NULL, "here");
    memset(filler, 'x', sizeof filler);
    for (size_t length = LOG_MESSAGE_MAX - 24; length < LOG_MESSAGE_MAX - 1; length++) {
        cr_assert(empty_log());
        log_event(LOG_PIN, UINT32_MAX, 0, "%.*s%s|", (int)length, filler, log_site(site, buffer));
        const char *end = strrchr(contents(log_path), 'x') + 1;
        cr_expect(strcmp(end, "here|\n") == 0 || strcmp(end, "here...\n") == 0 || strcmp(end, "...\n") == 0,
                  "%s", end);
    }
}

static int listen_at(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static const char *receive(int fd) {
    ssize_t length = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[length > 0 ? length : 0] = '\0';
    return text;
}

Test(log, lines_go_to_the_launcher_with_their_tokens) {
    char path[128], wanted[512], buffer[16];
    uint64_t frames[1] = {1};
    setenv("PQONE_RUN", "run7", 1);
    log_to_file();
    snprintf(path, sizeof path, "%s/run7.sock", directory);
    int fd = listen_at(path);
    log_event(LOG_PIN, UINT32_MAX, 0, "before there is a ledger");
    snprintf(wanted, sizeof wanted, "%d \npqone[%d] pin: before there is a ledger\n", getpid(), getpid());
    cr_expect_str_eq(receive(fd), wanted);
    uint32_t site = recorder_site_row(frames, 1, NULL, "here");
    log_event(LOG_PIN, UINT32_MAX, 0, "at %s and %s", log_site(site, buffer),
              "\002"
              "0\003");
    snprintf(wanted, sizeof wanted, "%d %s\npqone[%d] pin: at \002%u\003 and ?0?\n", getpid(),
             recorder_file(), getpid(), site);
    cr_expect_str_eq(receive(fd), wanted);
    cr_expect_str_eq(contents(log_path), "");
    close(fd);
    log_event(LOG_PIN, UINT32_MAX, 0, "at %s", log_site(site, buffer));
    cr_expect_str_eq(contents(log_path), line("pqone[%d] pin: %s\n", "at here"), "the launcher is gone");
}

Test(log, a_launcher_that_stopped_is_waited_for_once, .timeout = 20) {
    char path[128];
    setenv("PQONE_RUN", "run7", 1);
    log_to_file();
    snprintf(path, sizeof path, "%s/run7.sock", directory);
    int fd = listen_at(path);
    int64_t before = recorder_now();
    for (int i = 0; i < 5000; i++)
        log_event(LOG_PIN, UINT32_MAX, 0, "%d", i);
    cr_expect(recorder_now() - before < 3000000000, "%ld ms", (long)((recorder_now() - before) / 1000000));
    size_t received = 0;
    while (receive(fd)[0])
        received++;
    int written = 0, log = open(log_path, O_RDONLY);
    for (ssize_t got; (got = read(log, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < got; i++)
            written += text[i] == '\n';
    cr_expect(received + (size_t)written == 5000, "%zu sent, %d written", received, written);
    close(fd);
}

Test(log, datagrams_need_a_listener) {
    char path[128];
    snprintf(path, sizeof path, "%s/socket", directory);
    cr_expect_not(outlet_datagram(path, "x", 1));
    memset(text, 'a', 200);
    text[200] = '\0';
    cr_expect_not(outlet_datagram(text, "x", 1));
    int fd = listen_at(path);
    cr_expect(outlet_datagram(path, "line", 4));
    cr_expect_str_eq(receive(fd), "line");
}

static void *log_often(void *number) {
    char buffer[16];
    for (unsigned i = 0; i < 300; i++) {
        log_event(LOG_PIN, UINT32_MAX, 0, "thread %u line %u at %s.", (unsigned)(uintptr_t)number, i,
                  log_site(0, buffer));
        log_event(LOG_WAIT, 1, i % 7, "counted.");
    }
    return NULL;
}

Test(log, threads_write_whole_lines, .timeout = 60) {
    pthread_t threads[4];
    char wanted[32];
    uint64_t frames[1] = {1};
    log_to_file();
    recorder_site_row(frames, 1, NULL, "here");
    snprintf(wanted, sizeof wanted, "pqone[%d] ", getpid());
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, log_often, (void *)i) == 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    FILE *file = fopen(log_path, "r");
    char got[512];
    size_t whole = 0, counted = 0, other = 0;
    while (fgets(got, sizeof got, file)) {
        bool starts = strncmp(got, wanted, strlen(wanted)) == 0;
        if (starts && strstr(got, "pin: thread") && strcmp(strchr(got, '\n') - 8, "at here.\n") == 0)
            whole++;
        else if (starts && strstr(got, "wait: counted."))
            counted++;
        else
            other++;
    }
    fclose(file);
    cr_expect(whole == 1200 && counted == 21 && other == 0, "%zu %zu %zu", whole, counted, other);
}
