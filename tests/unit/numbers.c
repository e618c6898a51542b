/* numbers.c: the table of descriptor numbers: what is hidden is found, moved and let go, and a file that
 * took the place of ours is never taken for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roads/real.h"
#include "sockets/numbers.h"

static int a_socket(void) {
    int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(number, 0);
    return number;
}

static uint64_t inode(int number) {
    struct stat status;
    return fstat(number, &status) == 0 ? status.st_ino : 0;
}

static bool is_open(int number) {
    return fcntl(number, F_GETFD) >= 0;
}

static struct handle *handle_at(uintptr_t address) {
    return (struct handle *)address;
}

Test(numbers, hidden_is_moved_up) {
    _Atomic int place = -1;
    int low = a_socket();
    uint64_t file = inode(low);
    cr_expect_not(numbers_is_hidden(low));
    int number = numbers_hide(low, &place);
    cr_expect_eq(number, place);
    cr_expect_geq(number, 256, "select() keeps the low numbers");
    cr_expect_not(is_open(low));
    cr_expect_eq(inode(number), file);
    cr_expect(fcntl(number, F_GETFD) & FD_CLOEXEC);
    cr_expect(numbers_is_hidden(number));
    cr_expect_not(numbers_is_hidden(number + 1));
    cr_expect_null(numbers_handle(number));
    numbers_close(number);
    cr_expect_not(is_open(number));
    cr_expect_not(numbers_is_hidden(number));
}

Test(numbers, no_room_above) {
    struct rlimit limit;
    _Atomic int place = -1;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int low = a_socket();
    limit.rlim_cur = limit.rlim_max = (rlim_t)low + 1;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    errno = 7;
    cr_expect_eq(numbers_hide(low, &place), low, "it stays where it is");
    cr_expect_eq(errno, 7);
    cr_expect(numbers_is_hidden(low));
    cr_expect_eq(numbers_hide(-1, &place), -1);
}

Test(numbers, hidden_is_beyond_a_low_limit) {
    struct rlimit limit, after;
    _Atomic int place = -1;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 16384)
        cr_skip_test("RLIMIT_NOFILE cannot be raised as far as this needs");
    limit.rlim_cur = 100;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int number = numbers_hide(a_socket(), &place);
    cr_expect_geq(number, 1024);
    cr_expect(numbers_is_hidden(number));
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &after), 0);
    cr_expect_eq(after.rlim_cur, 100, "the program's limit is as it was");
    cr_expect(numbers_move(number));
    cr_expect_geq(place, 1024);
    numbers_close(place);
    cr_expect_not(is_open(place));
}

Test(numbers, shown_knows_its_handle) {
    int number = a_socket();
    numbers_show(number, handle_at(0x1000));
    cr_expect_eq(numbers_handle(number), handle_at(0x1000));
    cr_expect_not(numbers_is_hidden(number));
    numbers_show(number, handle_at(0x2000));
    cr_expect_eq(numbers_handle(number), handle_at(0x2000));
    int copy = dup(number), other = a_socket();
    cr_expect_null(numbers_handle(copy));
    cr_expect_eq(numbers_handle_of_copy(copy), handle_at(0x2000));
    cr_expect_null(numbers_handle_of_copy(other));
    cr_expect_null(numbers_handle_of_copy(-1));
    numbers_forget(number);
    cr_expect_null(numbers_handle(number));
    cr_expect_null(numbers_handle_of_copy(copy));
    cr_expect(is_open(number));
}

static int not_libpq(void) {
    return 0;
}

Test(numbers, kept_for_libpq) {
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    struct libpq libpq = {.begin = here, .end = here + 1};
    int number = a_socket(), other = a_socket();
    numbers_keep(number, &libpq);
    numbers_keep(other, &libpq);
    cr_expect_not(numbers_guards(number, not_libpq), "before the program saw any number of ours");
    numbers_show(a_socket(), handle_at(0x1000));
    cr_expect(numbers_guards(number, not_libpq));
    cr_expect_not(numbers_guards(number, (const void *)here));
    cr_expect_eq(numbers_next_guarded(0, UINT32_MAX), number);
    cr_expect_not(numbers_is_hidden(number));
    cr_expect_null(numbers_handle(number));
    cr_expect(numbers_move(number));
    numbers_let_go(number, true);
    cr_expect(is_open(number));
    cr_expect_not(numbers_guards(number, not_libpq));
    numbers_let_go(other, false);
    cr_expect_not(is_open(other));
    numbers_let_go(number, false);
    cr_expect(is_open(number), "it is nothing of ours any more");
    numbers_let_go(-1, false);
}

/* The program closes a number past the guard, and opens a file that gets it. */
Test(numbers, another_file_is_not_ours) {
    _Atomic int place = -1;
    int number = numbers_hide(a_socket(), &place), shown = a_socket();
    numbers_show(shown, handle_at(0x1000));
    syscall(SYS_close, number);
    syscall(SYS_close, shown);
    cr_expect_not(numbers_is_hidden(number));
    cr_expect_null(numbers_handle(shown));
    int other = a_socket();
    syscall(SYS_dup3, other, number, 0);
    cr_expect_not(numbers_is_hidden(number));
    cr_expect_eq(other, shown, "the test needs the number that was just given back");
    cr_expect_null(numbers_handle(shown));
    numbers_close(number);
    numbers_close(shown);
    cr_expect(is_open(number), "a file of the program's is not closed");
    cr_expect(is_open(shown));
    _Atomic int second = -1;
    int again = numbers_hide(a_socket(), &second);
    cr_expect_neq(again, number);
    cr_expect(numbers_is_hidden(again));
}

Test(numbers, next_guarded_goes_through_all) {
    _Atomic int places[100];
    int last = -1, found = 0;
    for (int i = 0; i < 100; i++)
        numbers_hide(a_socket(), &places[i]);
    numbers_close(places[50]);
    for (int number = -1; (number = numbers_next_guarded((unsigned)number + 1, UINT32_MAX)) >= 0; found++) {
        cr_assert_gt(number, last);
        last = number;
    }
    cr_expect_eq(found, 99);
    cr_expect_eq(numbers_next_guarded(0, (unsigned)places[0] - 1), -1);
    cr_expect_eq(numbers_next_guarded((unsigned)places[7], (unsigned)places[7]), places[7]);
    cr_expect_eq(numbers_next_guarded(UINT32_MAX, UINT32_MAX), -1);
}

Test(numbers, moved_out_of_the_way) {
    _Atomic int place = -1;
    int number = numbers_hide(a_socket(), &place);
    uint64_t file = inode(number);
    cr_expect(numbers_move(number));
    cr_expect_neq(place, number);
    cr_expect_eq(inode(place), file);
    cr_expect(numbers_is_hidden(place));
    cr_expect_not(numbers_is_hidden(number));
    cr_expect(is_open(number), "dup2() is what takes it");
    cr_expect(numbers_move(number), "nothing of ours is there");
}

Test(numbers, nowhere_to_move) {
    struct rlimit limit, none;
    _Atomic int place = -1;
    int number = numbers_hide(a_socket(), &place);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_max = limit.rlim_cur = 1024; /* and no way beyond */
    none = limit;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool moved = numbers_move(number);
    setrlimit(RLIMIT_NOFILE, &limit);
    cr_expect_not(moved);
    cr_expect_eq(place, number);
    cr_expect(numbers_is_hidden(number));
}

/* A child has the numbers as well. One that shares its parent's memory must not move them there. */
Test(numbers, children) {
    _Atomic int place = -1;
    int number = numbers_hide(a_socket(), &place), status = -1;
    int child = fork();
    if (child == 0) {
        bool hidden = numbers_is_hidden(number);
        numbers_fork(FORK_CHILD);
        _exit(hidden && numbers_move(number) && place != number && numbers_is_hidden(place) ? 0 : 1);
    }
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
    cr_expect_eq(place, number);
    child = vfork();
    if (child == 0)
        _exit(numbers_is_hidden(number) && numbers_move(number) ? 0 : 1);
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
    cr_expect_eq(place, number, "the parent's number is where it was");
    cr_expect(numbers_is_hidden(number));
}

enum { THREADS = 4, ROUNDS = 20000 };
static _Atomic bool wrong;

/* Each opens, moves and closes its own, and looks at all. */
static void *work(void *argument) {
    _Atomic int *place = argument;
    for (int i = 0; i < ROUNDS; i++) {
        int number = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        uint64_t file = inode(number);
        numbers_hide(number, place);
        number = *place;
        if (i % 2 && numbers_move(number))
            syscall(SYS_close, number); /* as dup2() would */
        if (!numbers_is_hidden(*place) || inode(*place) != file)
            wrong = true;
        numbers_close(atomic_exchange(place, -1));
        numbers_next_guarded(0, UINT32_MAX);
    }
    return NULL;
}

Test(numbers, many_threads) {
    pthread_t threads[THREADS];
    _Atomic int places[THREADS];
    int before = a_socket();
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &places[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_not(wrong);
    cr_expect_eq(numbers_next_guarded(0, UINT32_MAX), -1);
    cr_expect_eq(a_socket(), before + 1, "no number is left open");
}
