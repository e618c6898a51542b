/* looks.c: what the ledger says of handles that were left open: lost, held, left to a shutdown, handed over.
 */
#include "case/case.h"

#include <dirent.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "watch/ledger.h"

#define OBSERVE "PQONE_MODE=observe PQONE_ON_DUPLICATE=ignore PQONE_RUN=looks"
#define KEEP(value) __asm__ volatile("" : : "r"(value) : "memory")

struct app {
    long padding[4]; /* what malloc writes into a chunk that comes back does not reach the pointer */
    PGconn *conn;
};

static PGconn *kept;
static struct app *app;
static _Thread_local PGconn *of_thread;
static uintptr_t secret;

static PGconn *connect_shop(void) {
    PGconn *conn = PQconnectdb("dbname=shop user=app");
    PQclear(PQexec(conn, "SELECT 1"));
    return conn;
}

/* Runs in a child by fork, which comes to its end through exit(): its ledger is then read. The handles are
 * the child's own. */
struct ledger_view {
    struct ledger_header header;
    struct ledger_site sites[LEDGER_SITES];
    struct ledger_handle handles[LEDGER_HANDLES];
    unsigned handle_count;
};

static struct ledger_view view;

static bool read_table(FILE *file, const struct ledger_table *table, void *into, size_t size) {
    return table->row_size == size && fseek(file, table->offset, SEEK_SET) == 0 &&
           fread(into, size, table->used, file) == table->used;
}

static void read_ledger_of(int pid) {
    char prefix[32], path[1024] = "";
    snprintf(prefix, sizeof prefix, "%d-", pid);
    const char *directory = getenv("PQONE_LEDGER_DIR");
    DIR *stream = opendir(directory);
    for (struct dirent *entry; stream && (entry = readdir(stream));)
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    if (stream)
        closedir(stream);
    FILE *file = fopen(path, "r");
    expect(file != NULL);
    expect(fread(&view.header, sizeof view.header, 1, file) == 1);
    expect(read_table(file, &view.header.sites, view.sites, sizeof view.sites[0]));
    expect(read_table(file, &view.header.handles, view.handles, sizeof view.handles[0]));
    view.handle_count = view.header.handles.used;
    fclose(file);
}

static unsigned rows(uint32_t state, uint32_t verdict) {
    unsigned count = 0;
    for (unsigned i = 0; i < view.handle_count; i++)
        count += view.handles[i].state == state && view.handles[i].verdict == verdict;
    return count;
}

/* Each scene plays in a forked child that comes to its end through exit(), after which its ledger is read. */
static int start(void (*run)(void)) {
    int child = fork();
    if (child == 0) {
        alarm(30);
        run();
        exit(0);
    }
    return child;
}

/* glibc 2.42 keeps freed chunks in another way, which the search does not know: there what freed memory still
 * says counts as a pointer. */
static bool knows_freed_chunks(void) {
    int major = 0, minor = 0;
    sscanf(gnu_get_libc_version(), "%d.%d", &major, &minor);
    return major == 2 && minor < 42;
}

/* The verdict of the one handle that the child left open. */
static void expect_verdict(void (*run)(void), uint32_t wanted) {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(run);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.search, LEDGER_SEARCH_DONE);
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_LOST) + rows(LEDGER_HANDLE_OPEN, LEDGER_HELD) +
                      rows(LEDGER_HANDLE_OPEN, LEDGER_UNKNOWN),
                  1);
    expect_number(rows(LEDGER_HANDLE_OPEN, wanted), 1);
    expect(view.header.handle_range != 0 && view.header.handle_range_size != 0);
}

static void skip_under_sanitizers(void) {
    if (getenv("PQONE_TEST_RUNTIME"))
        skip("the sanitizer has a malloc and an address space of its own");
}

/* Not inlined, so that its frame is gone when it returns. */
#define CHILD(name) static __attribute__((noinline)) void name(void)

CHILD(forget) {
    connect_shop();
}
CASE(forgotten, OBSERVE, "a handle that its function forgot is lost") {
    expect_verdict(forget, LEDGER_LOST);
}

CHILD(keep_static) {
    kept = connect_shop();
}
CASE(in_static, OBSERVE, "a handle in a static variable is held") {
    expect_verdict(keep_static, LEDGER_HELD);
}

CHILD(keep_in_heap) {
    app = malloc(sizeof *app);
    app->conn = connect_shop();
    KEEP(&app);
}
CASE(in_heap, OBSERVE, "a handle in a malloc'ed structure is held") {
    expect_verdict(keep_in_heap, LEDGER_HELD);
}

CHILD(free_holder) {
    struct app *mine = malloc(sizeof *mine);
    mine->conn = connect_shop();
    KEEP(mine);
    free(mine);
}
CASE(in_freed_heap, OBSERVE, "a handle whose structure was freed is lost, whatever the chunk still holds") {
    if (!knows_freed_chunks())
        skip("this C library's freed chunks are not known, so what they still say counts as held");
    skip_under_sanitizers();
    expect_verdict(free_holder, LEDGER_LOST);
}

CHILD(free_big_holder) {
    char *big = malloc(4000), *after;
    ((struct app *)(big + 2000))->conn = connect_shop();
    after = malloc(100);
    KEEP(big);
    free(big);
    KEEP(after);
}
CASE(in_freed_large_chunk, OBSERVE, "a handle in a freed chunk too large for the thread's cache is lost") {
    skip_under_sanitizers();
    expect_verdict(free_big_holder, LEDGER_LOST);
}

CHILD(free_many) {
    enum { MANY = 40 };
    struct app *all[MANY];
    for (int i = 0; i < MANY; i++) {
        all[i] = malloc(sizeof *all[i]);
        all[i]->conn = connect_shop();
    }
    for (int i = 0; i < MANY; i += 2) {
        KEEP(all[i]);
        free(all[i]);
    }
    memset(all, 0, sizeof all);
    KEEP(all);
}
CASE(in_many_freed, OBSERVE, "of forty structures every second one is freed: twenty are lost, twenty held") {
    skip_under_sanitizers();
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(free_many);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    uint32_t lost = rows(LEDGER_HANDLE_OPEN, LEDGER_LOST), held = rows(LEDGER_HANDLE_OPEN, LEDGER_HELD);
    expect_number(lost + held, 40);
    expect(held >= 20);
    if (!knows_freed_chunks())
        skip("this C library's freed chunks are not known, so what they still say counts as held");
    expect_number(lost, 20);
}

CHILD(exit_inside) {
    PGconn *conn = connect_shop();
    exit(PQstatus(conn) == CONNECTION_OK ? 0 : (PQfinish(conn), 1));
}
CASE(in_frame_of_exit, OBSERVE, "a handle in the frame that calls exit() is held") {
    expect_verdict(exit_inside, LEDGER_HELD);
}

CHILD(keep_in_thread_local) {
    of_thread = connect_shop();
    KEEP(&of_thread);
}
CASE(in_thread_local, OBSERVE, "a handle in a thread-local variable is held") {
    expect_verdict(keep_in_thread_local, LEDGER_HELD);
}

static void *wait_with_it(void *ready) {
    PGconn *conn = connect_shop();
    atomic_store((atomic_bool *)ready, true);
    while (*(atomic_bool *)ready)
        pause();
    PQfinish(conn);
    return ready;
}
CHILD(keep_in_thread) {
    static atomic_bool ready;
    pthread_t thread;
    pthread_create(&thread, NULL, wait_with_it, &ready);
    while (!ready)
        sleep_ms(1);
}
CASE(in_thread, OBSERVE, "a handle that only a waiting thread has is not lost") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(keep_in_thread);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.search, LEDGER_SEARCH_DONE);
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_LOST), 0);
}

static void *forget_it(void *unused) {
    connect_shop();
    return unused;
}
CHILD(forget_in_thread) {
    pthread_t thread;
    pthread_create(&thread, NULL, forget_it, NULL);
    pthread_join(thread, NULL);
}
CASE(forgotten_by_thread, OBSERVE,
     "what a thread that has ended forgot is lost, whatever its stack still holds") {
    expect_verdict(forget_in_thread, LEDGER_LOST);
}

CHILD(keep_in_shared_memory) {
    PGconn **shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared[7] = connect_shop();
}
CASE(in_shared_memory, OBSERVE, "a handle in shared memory is held") {
    expect_verdict(keep_in_shared_memory, LEDGER_HELD);
}

CHILD(keep_in_read_only) {
    PGconn **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[9] = connect_shop();
    mprotect(page, 4096, PROT_READ);
}
CASE(in_read_only, OBSERVE, "a handle in memory that was made read-only is held") {
    expect_verdict(keep_in_read_only, LEDGER_HELD);
}

CHILD(keep_in_no_access) {
    PGconn **page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    page[9] = connect_shop();
    mprotect(page, 4096, PROT_NONE);
}
CASE(in_no_access, OBSERVE, "a handle in memory that was locked away is held") {
    expect_verdict(keep_in_no_access, LEDGER_HELD);
}

CHILD(keep_in_environment) {
    static char *pointers[] = {"one", NULL, "three", NULL};
    pointers[1] = (char *)connect_shop();
    KEEP(pointers);
}
CASE(in_environment, OBSERVE, "a handle among pointers to text is held") {
    expect_verdict(keep_in_environment, LEDGER_HELD);
}

CHILD(keep_encrypted) {
    secret = (uintptr_t)connect_shop() ^ UINT64_C(0x5bd1e995a5c3d2e1);
    KEEP(&secret);
}
CASE(encrypted, OBSERVE, "a handle that is only kept encrypted counts as lost, as documented") {
    expect_verdict(keep_encrypted, LEDGER_LOST);
}

CHILD(keep_tagged) {
    secret = (uintptr_t)connect_shop() | UINT64_C(0xfff1000000000003);
    KEEP(&secret);
}
CASE(tagged, OBSERVE, "a handle with tags in the bits that addresses do not use is held") {
    expect_verdict(keep_tagged, LEDGER_HELD);
}

CHILD(keep_as_fixnum) {
    secret = (uintptr_t)connect_shop() << 1 | 1;
    KEEP(&secret);
}
CASE(as_fixnum, OBSERVE, "a handle in a small integer of Ruby's is held") {
    expect_verdict(keep_as_fixnum, LEDGER_HELD);
}

/* As Python has one: count of references, type, size, digits. */
static uint64_t integer[4] = {1, 0, 2, 0};
CHILD(keep_as_digits) {
    uintptr_t address = (uintptr_t)connect_shop();
    integer[3] = (address & 0x3fffffff) | address >> 30 << 32;
    KEEP(integer);
}
CASE(as_digits, OBSERVE, "a handle in an integer of Python's is held") {
    expect_verdict(keep_as_digits, LEDGER_HELD);
}

CHILD(free_digits) {
    keep_as_digits();
    integer[0] = (uintptr_t)integer;
    KEEP(integer);
}
CASE(as_freed_digits, OBSERVE, "a handle in an integer that Python has freed is lost") {
    expect_verdict(free_digits, LEDGER_LOST);
}

CASE(not_in_share, "PQONE_MODE=share", "who shares does not wait at its exit for a look through memory") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(forget);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.search, LEDGER_SEARCH_NONE);
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_UNKNOWN), 1);
}

CHILD(fail_to_connect) {
    PQconnectdb("host=/nonexistent dbname=shop");
}
CASE(never_connected, OBSERVE, "a failed connect that was never finished is lost") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(fail_to_connect);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(rows(LEDGER_HANDLE_FAILED, LEDGER_LOST), 1);
}

enum { MANY_HANDLES = 10000 };
static PGconn *many[MANY_HANDLES];
CHILD(open_many) {
    for (int i = 0; i < MANY_HANDLES; i++) {
        PGconn *conn = PQconnectdb("host=/nonexistent dbname=shop");
        many[i] = i % 2 ? conn : NULL;
    }
}
CASE(ten_thousand, OBSERVE,
     "ten thousand handles: those that have a row get their verdict, the others count") {
    skip_under_sanitizers();
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(open_many);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.search, LEDGER_SEARCH_DONE);
    expect_number(view.header.counters.handles_alive, MANY_HANDLES);
    expect_number(view.header.counters.handles_unlisted, MANY_HANDLES - LEDGER_HANDLES);
    expect_number(rows(LEDGER_HANDLE_FAILED, LEDGER_HELD), LEDGER_HANDLES / 2);
    expect_number(rows(LEDGER_HANDLE_FAILED, LEDGER_LOST), LEDGER_HANDLES / 2);
    unsigned alive = 0, peak = 0;
    for (unsigned i = 0; i < view.header.sites.used; i++) {
        alive += view.sites[i].alive;
        peak += view.sites[i].alive_peak;
    }
    expect_number(alive, MANY_HANDLES);
    expect_number(peak, MANY_HANDLES);
}

CHILD(grow_big) {
    size_t size = (size_t)500 << 20, reserved = (size_t)1 << 40;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(mmap(NULL, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) !=
           MAP_FAILED);
    memset(memory, 1, size);
    *(PGconn **)(memory + size - 8) = connect_shop();
}
CASE(half_a_gigabyte, OBSERVE, "the last word of 500 MB, beside a reserved terabyte, is found in time") {
    skip_under_sanitizers();
    expect_verdict(grow_big, LEDGER_HELD);
}

void finish_kept(void);
void finish_kept(void) {
    PQfinish(kept);
    kept = NULL;
}
CHILD(finish_at_exit) {
    atexit(finish_kept);
    kept = connect_shop();
}
CASE(finished_at_exit, OBSERVE,
     "what an atexit function finishes is noted with the place, for the report to judge") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(finish_at_exit);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.counters.left, 1);
    expect_number(rows(LEDGER_HANDLE_LEFT, LEDGER_UNKNOWN), 1);
    expect_number(view.handles[0].runtime, LEDGER_AT_EXIT);
    expect(view.handles[0].ended < view.header.sites.used && view.handles[0].ended_monotonic > 0);
    expect_part(view.sites[view.handles[0].ended].name, "finish_kept");
}

CHILD(finish_many_at_exit) {
    for (int i = 0; i < 10; i++)
        many[i] = PQconnectdb("host=/nonexistent dbname=shop");
}
static void finish_all(void) {
    for (int i = 0; i < 10; i++)
        PQfinish(many[i]);
}
CHILD(finish_ten_at_exit) {
    atexit(finish_all);
    finish_many_at_exit();
}
CASE(left_is_bounded, OBSERVE,
     "of many handles of one place that a shutdown finished four stay listed, all count") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(finish_ten_at_exit);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.counters.left, 10);
    expect_number(rows(LEDGER_HANDLE_LEFT, LEDGER_UNKNOWN), LEDGER_LEFT_LISTED);
}

CASE(handed_over, OBSERVE,
     "a handle that only a child uses and finishes is the child's: taken, then handed over") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    PGconn *conn = connect_shop();
    int child = fork();
    if (child == 0) {
        expect_text(ask(conn, "SELECT 'child'"), "child");
        PQfinish(conn);
        exit(0);
    }
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(view.header.forked_from, getpid());
    expect_number(rows(LEDGER_HANDLE_HANDED, LEDGER_UNKNOWN), 1);
    expect(view.handles[0].address == (uintptr_t)conn && view.handles[0].ended_monotonic > 0);
    expect_number(view.header.counters.handles_opened, 0);
    read_ledger_of(getpid());
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_UNKNOWN), 1);
}

CASE(taken_and_kept, OBSERVE,
     "a handle that a child uses and leaves open is taken, and has a verdict there") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    kept = connect_shop();
    int child = fork();
    if (child == 0) {
        expect_text(ask(kept, "SELECT 'child'"), "child");
        exit(0);
    }
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(rows(LEDGER_HANDLE_TAKEN, LEDGER_HELD), 1);
}

CASE(only_inherited, OBSERVE, "a handle that a child only inherits is nothing of the child's") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    kept = connect_shop();
    int child = fork();
    if (child == 0) {
        PGconn *own = connect_shop();
        PQfinish(own);
        exit(0);
    }
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(rows(LEDGER_HANDLE_INHERITED, LEDGER_UNKNOWN), 1);
    expect_number(view.header.search, LEDGER_SEARCH_NONE);
}

CHILD(leave_abruptly) {
    kept = connect_shop();
    _exit(0);
}
CHILD(be_killed) {
    kept = connect_shop();
    raise(SIGKILL);
}
CASE(abrupt_ends, OBSERVE, "after _exit and SIGKILL the rows are there, and nobody claims to have looked") {
    if (!shimmed())
        skip("there is no ledger without the shim");
    int child = start(leave_abruptly);
    expect_number(child_status(child), 0);
    read_ledger_of(child);
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_UNKNOWN), 1);
    expect_number(view.header.search, LEDGER_SEARCH_NONE);
    child = start(be_killed);
    expect_number(child_status(child), 128 + SIGKILL);
    read_ledger_of(child);
    expect_number(rows(LEDGER_HANDLE_OPEN, LEDGER_UNKNOWN), 1);
}
