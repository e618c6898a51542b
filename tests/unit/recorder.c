/* recorder.c: the ledger as a reader finds it. Each test is a process of its own, with a directory of its
 * own. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "settings.h"
#include "watch/place.h"
#include "watch/recorder.h"
#include "watch/watch.h"

static char directory[] = "/tmp/pqone-recorder-XXXXXX";
static char log_file[64];

static void enter(void) {
    cr_assert_not_null(mkdtemp(directory));
    snprintf(log_file, sizeof log_file, "%s/log", directory);
    setenv("PQONE_LEDGER_DIR", directory, 1);
    setenv("PQONE_LOG", log_file, 1);
    unsetenv("PQONE_RUN");
}

static void leave(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect(system(command) == 0);
}
TestSuite(recorder, .init = enter, .fini = leave);

static int ledgers(char *last, size_t size) {
    int count = 0;
    DIR *list = opendir(directory);
    for (struct dirent *entry; (entry = readdir(list));)
        if (strstr(entry->d_name, LEDGER_SUFFIX)) {
            snprintf(last, size, "%s/%s", directory, entry->d_name);
            count++;
        }
    closedir(list);
    return count;
}

/* Maps the ledger of `pid` as a reader would: nothing but the file. */
static const struct ledger_header *read_ledger(int pid) {
    char start[32], path[512];
    const struct ledger_header *header = NULL;
    int length = snprintf(start, sizeof start, "%d-", pid);
    DIR *list = opendir(directory);
    for (struct dirent *entry; (entry = readdir(list));) {
        struct stat state;
        if (strncmp(entry->d_name, start, (size_t)length) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        int fd = open(path, O_RDONLY);
        cr_assert(fd >= 0 && fstat(fd, &state) == 0);
        header = mmap(NULL, (size_t)state.st_size, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
        cr_assert(header != MAP_FAILED && header->file_size == (uint64_t)state.st_size);
    }
    closedir(list);
    return header;
}

static const void *row_of(const struct ledger_header *header, const struct ledger_table *table,
                          uint32_t row) {
    cr_assert(row < table->capacity);
    return (const char *)header + table->offset + (size_t)row * table->row_size;
}

static size_t log_lines(const char *wanted) {
    char line[4096];
    size_t count = 0;
    FILE *file = fopen(log_file, "r");
    while (file && fgets(line, sizeof line, file))
        count += strstr(line, wanted) != NULL;
    if (file)
        fclose(file);
    return count;
}

Test(recorder, no_use_makes_no_file) {
    char last[512] = "";
    cr_expect_str_eq(recorder_file(), "");
    recorder_close();
    recorder_after_fork(1);
    cr_expect(ledgers(last, sizeof last) == 0);
}

Test(recorder, header_says_who_and_how) {
    char last[512] = "", exe[512] = "";
    struct stat state;
    setenv("PQONE_RUN", "some-run", 1);
    setenv("PQONE_MODE", "session", 1);
    umask(0777);
    errno = 77;
    struct ledger_header *own = recorder();
    cr_expect(errno == 77, "errno is kept");
    cr_expect(own == recorder());
    cr_assert(ledgers(last, sizeof last) == 1);
    cr_expect_str_eq(strrchr(last, '/') + 1, recorder_file());
    cr_assert(lstat(last, &state) == 0);
    cr_expect((state.st_mode & 07777) == 0600);
    cr_expect(state.st_blocks * 512 >= state.st_size, "allocated in full: %ld of %ld",
              (long)state.st_blocks * 512, (long)state.st_size);
    const struct ledger_header *header = read_ledger(getpid());
    cr_assert_not_null(header);
    cr_expect(memcmp(header->magic, LEDGER_MAGIC, 8) == 0 && header->version == LEDGER_VERSION);
    cr_expect(header->pid == getpid() && header->parent_pid == getppid() && header->forked_from == 0);
    cr_expect_str_eq(header->run, "some-run");
    cr_expect_str_eq(header->mode, "session");
    cr_expect(readlink("/proc/self/exe", exe, sizeof exe - 1) > 0);
    cr_expect_str_eq(header->program, exe);
    cr_expect(header->process_start > 0 && header->frames_wanted == 16);
    char name[64];
    snprintf(name, sizeof name, "%d-%llu-0" LEDGER_SUFFIX, getpid(),
             (unsigned long long)header->process_start);
    cr_expect_str_eq(recorder_file(), name);
    recorder_close();
    cr_expect(header->process_state == LEDGER_EXITED && header->closed_monotonic > header->opened_monotonic);
    cr_expect(ledgers(last, sizeof last) == 1, "the launcher will read it");
}

Test(recorder, a_name_that_is_taken_is_counted_past) {
    char path[512], name[64];
    recorder();
    snprintf(name, sizeof name, "%s", recorder_file());
    recorder_close();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    cr_assert(symlink("/etc/passwd", path) == 0, "the next image of this pid finds something at its name");
    recorder_after_fork(getpid());
    recorder();
    cr_assert(strlen(recorder_file()) == strlen(name));
    cr_expect_str_neq(recorder_file(), name);
    cr_expect_str_eq(strrchr(recorder_file(), '-'), "-1" LEDGER_SUFFIX);
}

Test(recorder, unread_ledgers_are_removed_only_when_nothing_is_open) {
    char last[512] = "";
    struct ledger_handle *open = recorder_handle_open(1, &last, UINT32_MAX, UINT32_MAX, LEDGER_HANDLE_OPEN);
    recorder_close();
    cr_expect(ledgers(last, sizeof last) == 1);
    recorder_handle_close(open);
    recorder_handle_open(2, &last, UINT32_MAX, UINT32_MAX, LEDGER_HANDLE_INHERITED);
    recorder_close();
    cr_expect(ledgers(last, sizeof last) == 0, "what was inherited is the parent's to finish");
    cr_expect_str_eq(recorder_file(), "");
}

Test(recorder, rows_are_used_again) {
    struct ledger_handle *rows[LEDGER_HANDLES + 3];
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < LEDGER_HANDLES + 3; i++)
            rows[i] = recorder_handle_open(i + 1, &rows[i], 5, 6, LEDGER_HANDLE_OPEN);
        cr_expect(rows[LEDGER_HANDLES] == rows[LEDGER_HANDLES + 2], "who finds no room shares a row");
        cr_expect(rows[LEDGER_HANDLES]->state == LEDGER_HANDLE_FREE);
        cr_expect(recorder()->counters.handles_unlisted == 3);
        cr_expect(recorder()->handles.used == LEDGER_HANDLES);
        for (size_t i = 0; i < LEDGER_HANDLES + 3; i++)
            recorder_handle_close(rows[i]);
        recorder_handle_close(rows[7]);
        cr_expect(recorder()->counters.handles_unlisted == 0);
    }
    struct ledger_handle *row = recorder_handle_open(99, rows, 5, 6, LEDGER_HANDLE_FAILED);
    const struct ledger_header *header = read_ledger(getpid());
    uint32_t index = (uint32_t)(((char *)row - (char *)recorder() - header->handles.offset) / sizeof *row);
    const struct ledger_handle *seen = row_of(header, &header->handles, index);
    cr_expect(seen->number == 99 && seen->address == (uintptr_t)rows && seen->site == 5 && seen->target == 6);
    cr_expect(seen->state == LEDGER_HANDLE_FAILED && seen->server == UINT32_MAX && seen->thread == gettid());
    cr_expect(seen->opened_monotonic > 0 && seen->last_used_monotonic == seen->opened_monotonic);
}

Test(recorder, servers_have_rows_and_numbers) {
    struct ledger_server *rows[LEDGER_SERVERS + 1];
    for (int i = 0; i <= LEDGER_SERVERS; i++)
        rows[i] = recorder_server_open(1000 + i, 3);
    for (uint32_t i = 0; i < LEDGER_SERVERS; i++)
        cr_expect(recorder_server_index(rows[i]) == i && rows[i]->backend_pid == 1000 + (int)i);
    cr_expect(recorder_server_index(rows[LEDGER_SERVERS]) == UINT32_MAX);
    recorder_server_close(rows[LEDGER_SERVERS]);
    recorder_server_close(rows[40]);
    cr_expect(rows[40]->state == LEDGER_SERVER_FREE);
    cr_expect(recorder_server_open(7, 3) == rows[40]);
}

Test(recorder, targets_and_sites_are_found_again) {
    char name[300];
    uint64_t frames[LEDGER_FRAMES] = {11, 22, 33};
    cr_expect(recorder_target("me@host:5432/a") == 0 && recorder_target("me@host:5432/b") == 1);
    cr_expect(recorder_target("me@host:5432/a") == 0);
    for (uint32_t i = 2; i < LEDGER_TARGETS; i++) {
        snprintf(name, sizeof name, "target %u", i);
        cr_expect(recorder_target(name) == i);
    }
    cr_expect(recorder_target("one too many") == UINT32_MAX && recorder_target("me@host:5432/b") == 1);
    cr_expect_null(recorder_target_row(LEDGER_TARGETS));
    cr_expect_null(recorder_target_row(UINT32_MAX));
    cr_expect_str_eq(recorder_target_row(1)->name, "me@host:5432/b");
    cr_expect_null(recorder_site(0));
    cr_expect(recorder_site_row(frames, 3, NULL, "f+0x1 (m)") == 0 &&
              recorder_site_row(frames, 2, NULL, "") == 1);
    cr_expect(recorder_site_row(frames, 3, NULL, "f+0x1 (m)") == 0);
    cr_expect_str_eq(recorder_site(0)->name, "f+0x1 (m)");
    cr_expect_null(recorder_site(2));
    for (uint32_t i = 2; i < LEDGER_SITES; i++) {
        frames[0] = 1000 + i;
        cr_expect(recorder_site_row(frames, 3, NULL, "") == i);
    }
    frames[0] = 1;
    cr_expect(recorder_site_row(frames, 3, NULL, "") == UINT32_MAX);
    for (uint32_t i = 0; i < LEDGER_MODULES; i++) {
        struct ledger_module module = {.base = i};
        cr_expect(recorder_module(&module) == i && recorder_module(&module) == i);
    }
    struct ledger_module one_more = {.base = 1u << 20};
    cr_expect(recorder_module(&one_more) == LEDGER_NO_MODULE);
}

Test(recorder, a_long_target_is_cut_between_characters) {
    char name[1001] = "";
    for (int i = 0; i < 500; i++)
        strcat(name, "\xc3\xa4");
    memmove(name + 1, name, 999);
    name[0] = 'x';
    struct ledger_target *row = recorder_target_row(recorder_target(name));
    cr_assert_not_null(row);
    cr_expect(strlen(row->name) == 223 && (unsigned char)row->name[222] == 0xa4);
    memmove(name, name + 1, strlen(name));
    row = recorder_target_row(recorder_target(name));
    cr_expect(strlen(row->name) == 222, "%zu", strlen(row->name));
}

enum { THREADS = 8, ROUNDS = 3000, HELD = 40 };

static void *open_and_close(void *number) {
    struct ledger_handle *held[HELD] = {0};
    size_t wrong = 0;
    for (uintptr_t i = 0; i < ROUNDS; i++) {
        uint64_t mine = (uintptr_t)number * 1000000 + i;
        struct ledger_handle **slot = &held[i % HELD];
        if (*slot) {
            wrong += (*slot)->number + HELD != mine || (*slot)->address != (uintptr_t)slot;
            recorder_handle_close(*slot);
        }
        *slot = recorder_handle_open(mine, slot, 0, 0, LEDGER_HANDLE_OPEN);
        if (i % 100 == 0)
            recorder_target(i % 200 ? "one" : "other");
    }
    for (int i = 0; i < HELD; i++)
        recorder_handle_close(held[i]);
    return (void *)wrong;
}

static size_t run_threads(void) {
    pthread_t threads[THREADS];
    size_t wrong = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        cr_assert(pthread_create(&threads[i], NULL, open_and_close, (void *)(i + 1)) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (size_t)result;
    }
    return wrong;
}

Test(recorder, threads_never_share_a_row) {
    char last[512] = "";
    cr_expect(run_threads() == 0, "a row was handed out twice");
    cr_expect(recorder()->handles.used <= THREADS * HELD, "%u rows", recorder()->handles.used);
    cr_expect(recorder()->targets.used == 2 && ledgers(last, sizeof last) == 1);
    for (uint32_t i = 0; i < recorder()->handles.used; i++) {
        const struct ledger_handle *row = row_of(recorder(), &recorder()->handles, i);
        cr_expect(row->state == LEDGER_HANDLE_FREE);
    }
}

Test(recorder, peaks_stay) {
    struct ledger_counters *counters = &recorder()->counters;
    recorder_count_up(&counters->busy, &counters->busy_peak);
    recorder_count_up(&counters->busy, &counters->busy_peak);
    counters->busy--;
    recorder_count_up(&counters->busy, &counters->busy_peak);
    cr_expect(counters->busy == 2 && counters->busy_peak == 2);
    cr_expect(recorder_now() > 0);
}

static void fork_handlers(void) {}

static int status_of(pid_t child) {
    int status;
    cr_assert(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What the child does; its exit status is the number of the first thing that is wrong. */
static int use_inherited(struct ledger_handle *inherited, struct ledger_header *parents) {
    if (recorder_file()[0])
        return 1;
    inherited->statements = 4711;
    recorder_handle_close(inherited);
    if (recorder() == parents || !recorder_file()[0])
        return 2;
    if (recorder_target("second") != 1 || recorder_target_row(1)->opened != 0)
        return 3;
    if (!recorder_site(0) || recorder_site(0)->opened != 0 || recorder_site(0)->frames[0] != 42)
        return 4;
    struct ledger_handle *row = recorder_handle_open(1, parents, 0, 1, LEDGER_HANDLE_INHERITED);
    return row->thread == gettid() ? 0 : 5;
}

Test(recorder, a_child_writes_a_ledger_of_its_own_with_its_parents_numbers) {
    uint64_t frames[1] = {42};
    fork_handlers();
    recorder_target("first");
    recorder_target_row(recorder_target("second"))->opened = 9;
    recorder_site(recorder_site_row(frames, 1, NULL, "here"))->opened = 9;
    struct ledger_handle *mine = recorder_handle_open(1, frames, 0, 1, LEDGER_HANDLE_OPEN);
    struct ledger_header *parents = recorder();
    pid_t child = fork();
    if (child == 0)
        _exit(use_inherited(mine, parents));
    cr_expect(status_of(child) == 0);
    cr_expect(mine->state == LEDGER_HANDLE_OPEN && mine->statements == 0,
              "the child wrote to its parent's rows");
    const struct ledger_header *seen = read_ledger(child);
    cr_assert_not_null(seen);
    cr_expect(seen->pid == child && seen->parent_pid == getpid() && seen->forked_from == getpid());
    cr_expect(seen->process_state == LEDGER_RUNNING, "_exit says nothing");
    cr_expect(seen->counters.handles_opened == 0 && seen->handles.used == 1);
}

Test(recorder, grandchildren_inherit_past_a_parent_that_did_nothing) {
    fork_handlers();
    recorder_target("first");
    recorder_target("second");
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(recorder_target("second") == 1 && recorder()->forked_from == getppid() ? 3 : 4);
        _exit(status_of(grandchild));
    }
    int status = status_of(child);
    cr_expect(status == 4, "forked_from is who had the ledger, not who only passed it on: %d", status);
}

Test(recorder, a_process_without_libpq_state_is_nobodys_heir) {
    fork_handlers();
    pid_t child = fork();
    if (child == 0)
        _exit(recorder()->forked_from == 0 && recorder_target("x") == 0 ? 0 : 1);
    cr_expect(status_of(child) == 0);
}

static atomic_bool stop;

static void *keep_busy(void *unused) {
    char name[64];
    for (unsigned i = 0; !atomic_load(&stop); i++) {
        snprintf(name, sizeof name, "target %u", i % LEDGER_TARGETS);
        recorder_target(name);
        recorder_handle_close(recorder_handle_open(i, name, 0, 0, LEDGER_HANDLE_OPEN));
    }
    return unused;
}

Test(recorder, forks_in_the_middle_of_other_threads_work, .timeout = 60) {
    pthread_t threads[3];
    fork_handlers();
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, keep_busy, NULL);
    for (int i = 0; i < 60; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            struct ledger_handle *row = recorder_handle_open(1, &child, 0, 0, LEDGER_HANDLE_OPEN);
            _exit(row->number == 1 && recorder()->handles.used == 1 && recorder()->pid == getpid() ? 0 : 1);
        }
        cr_expect(status_of(child) == 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

Test(recorder, the_ledger_outlives_sigkill) {
    pid_t child = fork();
    if (child == 0) {
        recorder_handle_open(8, &child, 0, recorder_target("left behind"), LEDGER_HANDLE_OPEN);
        raise(SIGKILL);
    }
    cr_expect(status_of(child) == 128 + SIGKILL);
    const struct ledger_header *seen = read_ledger(child);
    cr_assert_not_null(seen);
    const struct ledger_handle *row = row_of(seen, &seen->handles, 0);
    const struct ledger_target *target = row_of(seen, &seen->targets, row->target);
    cr_expect(row->state == LEDGER_HANDLE_OPEN && row->number == 8);
    cr_expect_str_eq(target->name, "left behind");
}

/* Everything works on the dummy; the log has one line, children add none. */
static void expect_dummy(const char *reason) {
    fork_handlers();
    struct ledger_handle *row =
        recorder_handle_open(1, directory, 0, recorder_target("t"), LEDGER_HANDLE_OPEN);
    cr_expect(row->state == LEDGER_HANDLE_OPEN && recorder()->handles.used == 1);
    cr_expect_str_eq(recorder_file(), "");
    pid_t child = fork();
    if (child == 0)
        _exit(recorder_target("t") == 0 && recorder()->handles.used == 0 && recorder()->pid == getpid() ? 0
                                                                                                        : 1);
    cr_expect(status_of(child) == 0);
    recorder_handle_close(row);
    recorder_close();
    cr_expect(log_lines("] ledger: ") == 1 && log_lines(reason) == 1, "no line with \"%s\"", reason);
}

Test(recorder, a_directory_open_to_others_is_refused) {
    char open[128];
    snprintf(open, sizeof open, "%s/open", directory);
    cr_assert(mkdir(open, 0700) == 0 && chmod(open, 0750) == 0);
    setenv("PQONE_LEDGER_DIR", open, 1);
    expect_dummy("others have access");
}

Test(recorder, a_link_to_a_directory_is_refused) {
    char link[128];
    snprintf(link, sizeof link, "%s/link", directory);
    cr_assert(symlink(directory, link) == 0);
    setenv("PQONE_LEDGER_DIR", link, 1);
    expect_dummy("not a directory");
}

Test(recorder, a_directory_that_cannot_be_made_is_one_line) {
    char missing[128];
    snprintf(missing, sizeof missing, "%s/no/such", directory);
    setenv("PQONE_LEDGER_DIR", missing, 1);
    expect_dummy("No such file or directory");
}

Test(recorder, another_users_directory_is_refused) {
    if (getuid() != 0)
        cr_skip_test("giving a directory away takes root");
    char foreign[128];
    snprintf(foreign, sizeof foreign, "%s/foreign", directory);
    cr_assert(mkdir(foreign, 0700) == 0 && chown(foreign, 65534, 65534) == 0);
    setenv("PQONE_LEDGER_DIR", foreign, 1);
    expect_dummy("belongs to another user");
}

Test(recorder, a_file_size_limit_is_one_line_and_no_signal) {
    struct rlimit limit = {100000, 100000};
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    expect_dummy("File too large");
    char last[512] = "";
    cr_expect(ledgers(last, sizeof last) == 0, "half a ledger was left");
}

Test(recorder, a_full_disk_is_one_line) {
    char disk[128], filler[160], junk[4096] = {1}, last[512] = "";
    snprintf(disk, sizeof disk, "%s/disk", directory);
    cr_assert(mkdir(disk, 0700) == 0);
    if (mount("pqone", disk, "tmpfs", 0, "size=1m,mode=0700") != 0)
        cr_skip_test("no tmpfs can be mounted here: %s", strerror(errno));
    snprintf(filler, sizeof filler, "%s/filler", disk);
    int fd = open(filler, O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 250 && write(fd, junk, sizeof junk) > 0; i++)
        ;
    close(fd);
    setenv("PQONE_LEDGER_DIR", disk, 1);
    expect_dummy("No space left on device");
    cr_expect(ledgers(last, sizeof last) == 0, "half a ledger was left");
    cr_expect(umount(disk) == 0);
}

Test(recorder, a_quarter_of_the_rows_is_for_the_living) {
    static struct ledger_handle *handles[LEDGER_HANDLES + 1];
    unsigned count = 0;
    for (unsigned i = 0; i <= LEDGER_HANDLES; i++) {
        handles[i] = recorder_handle_open(i + 1, NULL, UINT32_MAX, UINT32_MAX, LEDGER_HANDLE_OPEN);
        count += recorder_handle_may_stay(handles[i]);
    }
    cr_expect(count == LEDGER_HANDLES / 4 * 3, "%u may stay", count);
    cr_expect_not(recorder_handle_may_stay(handles[LEDGER_HANDLES]), "the row of all who found no room");
}

Test(recorder, places_follow_the_environment) {
    char path[256], why[256], wanted[256], sub[128];
    snprintf(sub, sizeof sub, "%s/runtime", directory);
    cr_assert(mkdir(sub, 0700) == 0);
    setenv("XDG_RUNTIME_DIR", sub, 1);
    snprintf(wanted, sizeof wanted, "%s/pqone", sub);
    cr_expect(place_of_ledgers(NULL, path, sizeof path, why, sizeof why), "%s", why);
    cr_expect_str_eq(path, wanted);
    cr_expect(place_of_ledgers(directory, path, sizeof path, why, sizeof why));
    cr_expect_str_eq(path, directory);
    snprintf(wanted, sizeof wanted, "/tmp/pqone-%u", (unsigned)geteuid());
    static const char *const not_ours[] = {"relative", "/no/such/directory", ""};
    for (int i = 0; i < 3; i++) {
        setenv("XDG_RUNTIME_DIR", not_ours[i], 1);
        place_of_ledgers(NULL, path, sizeof path, why, sizeof why);
        cr_expect_str_eq(path, wanted);
    }
    cr_expect_not(place_of_ledgers(directory, path, 10, why, sizeof why), "a path is never cut");
}
