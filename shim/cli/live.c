/* live.c: looks for a running process's open handles in its memory. */
#include "live.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <time.h>

#include "../watch/search.h"
#include "live_stop.h"

/* A service must not stand still for longer; its memory would have to be several gigabytes. */
#define PATIENCE INT64_C(1000000000)

static bool is_open(const struct ledger_handle *row) {
    return row->state == LEDGER_HANDLE_OPEN || row->state == LEDGER_HANDLE_FAILED ||
           row->state == LEDGER_HANDLE_TAKEN;
}

static bool has_open(const struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (is_open(&ledger->handles[i]))
            return ledger->header.handle_range != 0;
    return false;
}

/* As it is now; keeps what only the old copy knew. */
static bool read_again(struct ledger *ledger) {
    struct ledger fresh;
    char why[256];
    if (!ledger->path || !ledger_read(ledger->path, &fresh, why, sizeof why))
        return false;
    fresh.signal = ledger->signal;
    ledger_release(ledger);
    *ledger = fresh;
    return true;
}

#if defined(__x86_64__)
static uint64_t stack_of(const struct user_regs_struct *registers) {
    return registers->rsp;
}
static uint64_t block_of(const struct user_regs_struct *registers) {
    return registers->fs_base;
}
#elif defined(__aarch64__)
static uint64_t stack_of(const struct user_regs_struct *registers) {
    return registers->sp;
}
static uint64_t block_of(const struct user_regs_struct *registers) {
    (void)registers;
    return 0;
}
#endif

/* The registers in which a pointer may be on its way, those of floating point and vectors too. */
static void add_registers(struct search *search, pid_t thread, int set, void *words, size_t size) {
    struct iovec vector = {words, size};
    if (ptrace(PTRACE_GETREGSET, thread, (void *)(intptr_t)set, &vector) != 0)
        return;
    for (size_t i = 0; i < vector.iov_len / 8; i++)
        search_word(search, ((uint64_t *)words)[i]);
}

/* Where a thread's block has its number: learnt from one thread whose number is known. */
static uint32_t thread_id_offset(const struct search *search, uint64_t block, pid_t id) {
    enum { FIRST = 0x100, LAST = 0x500 };
    char bytes[LAST];
    if (!block || !search_read(search, block, bytes, sizeof bytes))
        return 0;
    for (uint32_t at = FIRST; at + 4 <= LAST; at += 4)
        if (memcmp(bytes + at, &id, sizeof id) == 0)
            return at;
    return 0;
}

static void add_threads(struct search *search, const struct stopped *stopped) {
    static uint64_t wide[2048];
    for (size_t i = 0; i < stopped->count; i++) {
        const struct stopped_thread *thread = &stopped->threads[i];
        union {
            struct user_regs_struct registers;
            uint64_t words[sizeof(struct user_regs_struct) / 8];
        } all = {0};
        if (!thread->is_stopped)
            continue;
        add_registers(search, thread->id, NT_PRSTATUS, all.words, sizeof all);
        add_registers(search, thread->id, NT_FPREGSET, wide, sizeof wide);
        if (stack_of(&all.registers) == 0)
            continue;
        search_add_thread(search, stack_of(&all.registers), block_of(&all.registers));
        if (!search->thread_id_offset)
            search->thread_id_offset = thread_id_offset(search, block_of(&all.registers), thread->id);
    }
}

static void want_all(struct search *search, const struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->handle_count; i++)
        if (is_open(&ledger->handles[i]))
            search_want(search, ledger->handles[i].address);
}

static void judge(const struct search *search, struct ledger *ledger) {
    const struct ledger_header *header = &ledger->header;
    for (uint32_t i = 0; i < ledger->handle_count; i++) {
        struct ledger_handle *row = &ledger->handles[i];
        if (is_open(row) && row->address - header->handle_range < header->handle_range_size)
            row->verdict = search_found(search, row->address) ? LEDGER_HELD : LEDGER_LOST;
    }
    ledger->header.search = LEDGER_SEARCH_DONE;
}

static bool begin(struct search *search, const struct ledger *ledger, char *why, size_t size) {
    const struct ledger_header *header = &ledger->header;
    if (!search_begin(search, header->pid, header->handle_range, header->handle_range_size, PATIENCE, why,
                      size))
        return false;
    errno = 0;
    want_all(search, ledger);
    return true;
}

static bool look_at_stopped(struct ledger *ledger, const struct stopped *stopped, char *why, size_t size) {
    struct search search;
    if (!read_again(ledger) || !ledger->alive || !has_open(ledger))
        return true;
    if (!begin(&search, ledger, why, size))
        return false;
    search.is_quiet = true;
    add_threads(&search, stopped);
    bool good = search_run(&search, why, size);
    if (good)
        judge(&search, ledger);
    search_end(&search);
    return good;
}

/* A handle that was opened after the first look, or whose row changed hands, was not looked for. */
static void judge_what_stayed(const struct search *search, struct ledger *ledger) {
    uint32_t count = ledger->handle_count;
    uint64_t *numbers = calloc(count ? count : 1, sizeof *numbers);
    for (uint32_t i = 0; numbers && i < count; i++)
        numbers[i] = ledger->handles[i].number;
    if (numbers && read_again(ledger)) {
        judge(search, ledger);
        for (uint32_t i = 0; i < ledger->handle_count; i++)
            if (i >= count || ledger->handles[i].number != numbers[i])
                ledger->handles[i].verdict = LEDGER_UNKNOWN;
    }
    free(numbers);
}

static bool look_at_running(struct ledger *ledger, char *why, size_t size) {
    const struct timespec moment = {0, 50000000};
    struct search search;
    if (!begin(&search, ledger, why, size))
        return false;
    bool good = search_run(&search, why, size);
    nanosleep(&moment, NULL);
    good = good && search_run(&search, why, size);
    if (good)
        judge_what_stayed(&search, ledger);
    search_end(&search);
    return good;
}

bool live_look(struct ledger *ledger, char *why, size_t size) {
    struct stopped stopped;
    pid_t pid = ledger->header.pid;
    char cause[192] = "";
    if (!ledger->alive || !has_open(ledger))
        return true;
    bool good;
    if (stop_process(pid, &stopped)) {
        good = look_at_stopped(ledger, &stopped, cause, sizeof cause);
        release_process(&stopped);
    } else {
        good = look_at_running(ledger, cause, sizeof cause);
    }
    if (!good && (errno == EPERM || errno == EACCES))
        snprintf(
            why, size,
            "whether anything still points at its handles is unknown: no permission to look into process "
            "%d; run as root or set kernel.yama.ptrace_scope=0",
            (int)pid);
    else if (!good)
        snprintf(why, size, "whether anything still points at its handles is unknown: %s", cause);
    return good;
}
