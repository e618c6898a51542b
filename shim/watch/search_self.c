/* search_self.c: the look through this process's own memory at its exit. */
#include "search_self.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "log.h"
#include "recorder.h"
#include "search.h"

#define PATIENCE INT64_C(2000000000)

/* The registers that a function finds as its caller left them, by their DWARF numbers. */
#if defined(__x86_64__)
static const int kept_registers[] = {3, 6, 12, 13, 14, 15};
#elif defined(__aarch64__)
static const int kept_registers[] = {19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29};
#else
static const int kept_registers[] = {0};
#endif
enum { KEPT = sizeof kept_registers / sizeof *kept_registers };

/* Where the program's frames begin: all below belongs to exit() and to us. */
struct program_frame {
    _Unwind_Word (*register_of)(struct _Unwind_Context *, int);
    _Unwind_Word (*frame_of)(struct _Unwind_Context *);
    _Unwind_Ptr (*place_of)(struct _Unwind_Context *);
    bool after_exit, found;
    uint64_t stack, registers[KEPT];
};

static bool is_exit(uintptr_t address) {
    Dl_info info;
    return dladdr((const void *)(address - 1), &info) && info.dli_sname &&
           strcmp(info.dli_sname, "exit") == 0;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *into) {
    struct program_frame *frame = into;
    if (frame->after_exit) {
        frame->found = true;
        frame->stack = frame->frame_of(context);
        for (int i = 0; i < KEPT; i++)
            frame->registers[i] = frame->register_of(context, kept_registers[i]);
        return _URC_END_OF_STACK;
    }
    frame->after_exit = is_exit(frame->place_of(context));
    return _URC_NO_REASON;
}

/* The unwinder is the one that backtrace() loaded; the shim links none. */
static bool find_program_frame(struct program_frame *frame) {
    void *library = dlopen("libgcc_s.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (!library)
        return false;
    _Unwind_Reason_Code (*walk)(_Unwind_Trace_Fn, void *) =
        (_Unwind_Reason_Code(*)(_Unwind_Trace_Fn, void *))dlsym(library, "_Unwind_Backtrace");
    frame->register_of = (_Unwind_Word(*)(struct _Unwind_Context *, int))dlsym(library, "_Unwind_GetGR");
    frame->frame_of = (_Unwind_Word(*)(struct _Unwind_Context *))dlsym(library, "_Unwind_GetCFA");
    frame->place_of = (_Unwind_Ptr(*)(struct _Unwind_Context *))dlsym(library, "_Unwind_GetIP");
    if (walk && frame->register_of && frame->frame_of && frame->place_of)
        walk(visit, frame);
    return frame->found;
}

/* Where a thread's block has its number: it is learnt from our own. */
static uint32_t thread_id_offset(void) {
    enum { FIRST = 0x100, LAST = 0x500 };
    const char *block = (const char *)pthread_self();
    int32_t number = (int32_t)syscall(SYS_gettid), here;
    for (uint32_t at = FIRST; at < LAST; at += sizeof here) {
        memcpy(&here, block + at, sizeof here);
        if (here == number)
            return at;
    }
    return 0;
}

static bool is_alone(void) {
    struct stat status;
    return stat("/proc/self/task", &status) == 0 && status.st_nlink == 3;
}

static bool is_unfinished(uint32_t state) {
    return state == LEDGER_HANDLE_OPEN || state == LEDGER_HANDLE_FAILED || state == LEDGER_HANDLE_TAKEN;
}

static uint32_t rows_of(const struct ledger_header *ledger) {
    uint32_t used = atomic_load(&ledger->handles.used);
    return used < ledger->handles.capacity ? used : ledger->handles.capacity;
}

static struct ledger_handle *row_of(struct ledger_header *ledger, uint32_t index) {
    return (struct ledger_handle *)((char *)ledger + ledger->handles.offset) + index;
}

static bool is_wanted(const struct ledger_header *ledger, const struct ledger_handle *row) {
    return is_unfinished(atomic_load(&row->state)) &&
           row->address - ledger->handle_range < ledger->handle_range_size;
}

static uint32_t count_wanted(struct ledger_header *ledger) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < rows_of(ledger); i++)
        count += is_wanted(ledger, row_of(ledger, i));
    return count;
}

static bool look(struct search *search, struct ledger_header *ledger, char *why, size_t size) {
    struct program_frame frame = {.found = false};
    for (uint32_t i = 0; i < rows_of(ledger); i++)
        if (is_wanted(ledger, row_of(ledger, i)))
            search_want(search, row_of(ledger, i)->address);
    search->is_quiet = is_alone();
    search->thread_id_offset = thread_id_offset();
    if (!find_program_frame(&frame))
        frame.stack = (uintptr_t)__builtin_frame_address(0);
    for (int i = 0; i < KEPT && frame.found; i++)
        search_word(search, frame.registers[i]);
    search_add_thread(search, frame.stack, (uintptr_t)pthread_self());
    return search_run(search, why, size) && (search->is_quiet || search_run(search, why, size));
}

/* A thread that goes on may have the only pointer in a register, where nobody can look from here: what the
 * thread itself opened is not called lost. */
static bool may_be_in_a_register(const struct ledger_handle *row) {
    return row->thread != (int32_t)syscall(SYS_gettid) && syscall(SYS_tgkill, getpid(), row->thread, 0) == 0;
}

static void judge(const struct search *search, struct ledger_header *ledger) {
    for (uint32_t i = 0; i < rows_of(ledger); i++) {
        struct ledger_handle *row = row_of(ledger, i);
        if (!is_wanted(ledger, row))
            continue;
        enum ledger_verdict verdict = search_found(search, row->address)               ? LEDGER_HELD
                                      : !search->is_quiet && may_be_in_a_register(row) ? LEDGER_UNKNOWN
                                                                                       : LEDGER_LOST;
        atomic_store(&row->verdict, (uint32_t)verdict);
    }
}

void search_at_exit(void) {
    int error = errno;
    struct ledger_header *ledger = recorder();
    struct search search;
    char why[192] = "";
    if (count_wanted(ledger) == 0)
        return;
    bool begun = search_begin(&search, getpid(), ledger->handle_range, ledger->handle_range_size, PATIENCE,
                              why, sizeof why);
    if (begun && look(&search, ledger, why, sizeof why)) {
        judge(&search, ledger);
        atomic_store(&ledger->search, LEDGER_SEARCH_DONE);
    } else {
        atomic_store(&ledger->search, LEDGER_SEARCH_FAILED);
        log_event(LOG_LEDGER, UINT32_MAX, 0,
                  "whether anything still points at the unfinished handles is unknown: %s", why);
    }
    if (begun)
        search_end(&search);
    errno = error;
}
