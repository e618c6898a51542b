/* numbers.c: the table of descriptor numbers that are the shim's. */
#define _GNU_SOURCE
#include "sockets/numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "roads/real.h"

enum { PAGE = 1024, PAGES = 1024, MOST = PAGE * PAGES };
enum { SELECT_SIZE = 1024 }; /* FD_SETSIZE: what select() can watch */
enum { LOW_LIMIT = 4096 };   /* of descriptors: one that handles may come near to */

/* What an entry's word points to: the place of a hidden number, the handle of a shown one, the copy of libpq
 * that has a kept one. */
enum { HIDDEN = 1, SHOWN = 2, KEPT = 3, KIND = 3 };

struct entry {
    _Atomic uintptr_t word; /* a pointer and its kind; 0: not ours */
    _Atomic uint64_t device, inode;
};

static _Atomic(struct entry *) pages[PAGES];
static _Atomic unsigned end; /* above all numbers of pages that there are */
static _Atomic int owner;    /* the process whose descriptors the table is about */
_Atomic bool numbers_in_use;

static struct entry *find(unsigned number) {
    struct entry *page = number < MOST ? atomic_load(&pages[number / PAGE]) : NULL;
    return page ? &page[number % PAGE] : NULL;
}

static struct entry *make(unsigned number) {
    struct entry *page = number < MOST ? atomic_load(&pages[number / PAGE]) : NULL;
    if (!page && number < MOST) {
        size_t size = PAGE * sizeof *page;
        void *fresh = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fresh == MAP_FAILED)
            return NULL;
        if (atomic_compare_exchange_strong(&pages[number / PAGE], &page, fresh))
            page = fresh;
        else
            munmap(fresh, size);
        unsigned before = atomic_load(&end), above = (number / PAGE + 1) * PAGE;
        while (before < above && !atomic_compare_exchange_weak(&end, &before, above))
            continue;
    }
    return page ? &page[number % PAGE] : NULL;
}

/* False, and nothing is noted, if the number is not open or the table has no room. */
static bool note(int number, uintptr_t word) {
    struct stat status;
    struct entry *entry = number >= 0 && fstat(number, &status) == 0 ? make((unsigned)number) : NULL;
    if (!entry)
        return false;
    atomic_store(&entry->word, 0); /* what a number closed past the guard left behind */
    atomic_store(&entry->device, status.st_dev);
    atomic_store(&entry->inode, status.st_ino);
    atomic_store(&entry->word, word);
    if (atomic_load(&owner) == 0) /* later it is the fork handler's to say (numbers_fork) */
        atomic_store(&owner, getpid());
    return true;
}

/* The word of a number that is still the file it was noted for, or 0. Keeps errno. */
static uintptr_t look(int number) {
    struct entry *entry = number >= 0 ? find((unsigned)number) : NULL;
    uintptr_t word = entry ? atomic_load(&entry->word) : 0;
    if (!word)
        return 0;
    int saved_errno = errno;
    struct stat status;
    bool same = fstat(number, &status) == 0 && atomic_load(&entry->device) == status.st_dev &&
                atomic_load(&entry->inode) == status.st_ino && atomic_load(&entry->word) == word;
    errno = saved_errno;
    return same ? word : 0;
}

#ifdef __SANITIZE_THREAD__ /* it keeps books of numbers, and sees no raw system call */
void __sanitizer_syscall_pre_impl_close(long number);
#define __sanitizer_syscall_pre_close(number) __sanitizer_syscall_pre_impl_close(number)
#else
#define __sanitizer_syscall_pre_close(number) ((void)0)
#endif

/* Past the guard, and no cancellation point. */
static void close_raw(int number) {
    __sanitizer_syscall_pre_close(number);
    syscall(SYS_close, number);
}

/* Another number for the same file, as high as leaves those for select() to the program. */
static int duplicate_high(int number) {
    static _Atomic int
        known; /* as it was at first: it changes seldom, and the kernel tells if it is too much */
    int least = atomic_load(&known);
    struct rlimit limit;
    if (least == 0) {
        least = SELECT_SIZE;
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 2 < SELECT_SIZE)
            least = (int)(limit.rlim_cur / 2);
        atomic_store(&known, least);
    }
    return fcntl(number, F_DUPFD_CLOEXEC, least);
}

/* The same beyond the program's limit, which is raised for this moment: it keeps as many numbers as it would
 * have alone. A limit that is high leaves enough below it; the kernel's table of numbers would be large. */
static int duplicate_beyond(int number) {
    static atomic_flag busy = ATOMIC_FLAG_INIT;
    struct rlimit limit, raised, now;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > LOW_LIMIT ||
        limit.rlim_max < 4 * (rlim_t)LOW_LIMIT || atomic_flag_test_and_set(&busy))
        return -1;
    int beyond = -1, least = limit.rlim_cur < SELECT_SIZE ? SELECT_SIZE : (int)limit.rlim_cur;
    raised = limit;
    raised.rlim_cur = limit.rlim_max < MOST ? limit.rlim_max : MOST;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
        beyond = fcntl(number, F_DUPFD_CLOEXEC, least);
        if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_cur == raised.rlim_cur)
            setrlimit(RLIMIT_NOFILE, &limit);
    }
    atomic_flag_clear(&busy);
    return beyond;
}

int numbers_hide(int number, _Atomic int *place) {
    int saved_errno = errno;
    int high = number >= 0 ? duplicate_beyond(number) : -1;
    if (high < 0 && number >= 0)
        high = duplicate_high(number);
    if (high >= 0) {
        close_raw(number);
        number = high;
    }
    /* The place first: a dup2() onto the number changes it from the moment that it is hidden. */
    atomic_store(place, number);
    note(number, (uintptr_t)place | HIDDEN);
    atomic_store(&numbers_in_use, true);
    errno = saved_errno;
    return atomic_load(place);
}

void numbers_show(int number, struct handle *handle) {
    int saved_errno = errno;
    note(number, (uintptr_t)handle | SHOWN);
    atomic_store(&numbers_in_use, true);
    errno = saved_errno;
}

void numbers_keep(int number, const struct libpq *libpq) {
    int saved_errno = errno;
    note(number, (uintptr_t)libpq | KEPT);
    errno = saved_errno;
}

void numbers_let_go(int number, bool used) {
    if ((look(number) & KIND) != KEPT)
        return;
    if (used)
        numbers_forget(number);
    else
        numbers_close(number);
}

void numbers_forget(int number) {
    struct entry *entry = number >= 0 ? find((unsigned)number) : NULL;
    if (entry)
        atomic_store(&entry->word, 0);
}

void numbers_close(int number) {
    struct entry *entry = number >= 0 ? find((unsigned)number) : NULL;
    uintptr_t word = entry ? atomic_load(&entry->word) : 0;
    int saved_errno = errno;
    /* Closed while it is still in the table: in between, a program that closes everything would do it for
     * us, and we would close what it opens next. */
    if (number >= 0 && (!word || look(number) == word))
        close_raw(number);
    if (word) /* not if the number is open again already, and ours again */
        atomic_compare_exchange_strong(&entry->word, &word, 0);
    errno = saved_errno;
}

bool numbers_is_hidden(int number) {
    return atomic_load_explicit(&numbers_in_use, memory_order_acquire) && (look(number) & KIND) == HIDDEN;
}

static bool is_inside(const void *code, const struct libpq *libpq) {
    return (uintptr_t)code - libpq->begin < libpq->end - libpq->begin;
}

bool numbers_guards(int number, const void *caller) {
    if (!atomic_load_explicit(&numbers_in_use, memory_order_acquire))
        return false;
    uintptr_t word = look(number);
    return (word & KIND) == HIDDEN ||
           ((word & KIND) == KEPT && !is_inside(caller, (const struct libpq *)(word & ~(uintptr_t)KIND)));
}

int numbers_next_guarded(unsigned first, unsigned last) {
    unsigned behind = atomic_load(&end);
    for (unsigned number = first; number <= last && number < behind; number++) {
        struct entry *entry = find(number);
        if (!entry)
            number |= PAGE - 1; /* nothing on this page */
        else if (atomic_load_explicit(&entry->word, memory_order_acquire) &&
                 numbers_guards((int)number, NULL))
            return (int)number;
    }
    return -1;
}

bool numbers_are_here(void) {
    return getpid() == atomic_load(&owner);
}

bool numbers_move(int number) {
    uintptr_t word = look(number);
    if ((word & KIND) != HIDDEN || !numbers_are_here())
        return true;
    int saved_errno = errno;
    int moved = duplicate_beyond(number);
    if (moved < 0)
        moved = duplicate_high(number);
    if (moved < 0)
        moved = fcntl(number, F_DUPFD_CLOEXEC, 0);
    if (moved < 0 || !note(moved, word)) {
        if (moved >= 0)
            close_raw(moved);
        errno = saved_errno;
        return false;
    }
    _Atomic int *place = (_Atomic int *)(word & ~(uintptr_t)KIND);
    int before = number;
    if (!atomic_compare_exchange_strong(place, &before, moved)) /* moved or closed by somebody else */
        numbers_close(moved);
    struct entry *entry = find((unsigned)number);
    atomic_compare_exchange_strong(&entry->word, &word, 0);
    errno = saved_errno;
    return true;
}

struct handle *numbers_handle(int number) {
    if (!atomic_load_explicit(&numbers_in_use, memory_order_acquire))
        return NULL;
    uintptr_t word = look(number);
    return (word & KIND) == SHOWN ? (struct handle *)(word & ~(uintptr_t)KIND) : NULL;
}

/* The shown number that is this file, or -1. */
static int find_shown(const struct stat *file) {
    int behind = (int)atomic_load(&end);
    for (int number = 0; number < behind; number++) {
        const struct entry *entry = find((unsigned)number);
        if (!entry)
            number |= PAGE - 1;
        else if ((atomic_load_explicit(&entry->word, memory_order_acquire) & KIND) == SHOWN &&
                 atomic_load_explicit(&entry->inode, memory_order_relaxed) == file->st_ino &&
                 atomic_load_explicit(&entry->device, memory_order_relaxed) == file->st_dev)
            return number;
    }
    return -1;
}

struct handle *numbers_handle_of_copy(int copy) {
    int saved_errno = errno;
    struct stat file;
    int number = fstat(copy, &file) == 0 ? find_shown(&file) : -1;
    errno = saved_errno;
    return number >= 0 ? numbers_handle(number) : NULL;
}

void numbers_fork(enum fork_side side) {
    /* The child has copies of all these numbers, and of the places. */
    if (side == FORK_CHILD || side == FORK_UNPREPARED)
        atomic_store(&owner, getpid());
}
