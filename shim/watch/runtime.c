/* runtime.c: recognises the shutdown of an interpreter, or of the C library, on the stack. */
#include "runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "script.h"

enum { FRAMES = 256, KNOWN = 1024 };

/* Return addresses that were looked up: address << 8 | kind + 1. After a dlclose all are forgotten, because
 * another function may lie there by now. */
static _Atomic uint64_t known[KNOWN];
static _Atomic unsigned long long known_unloads;

static int read_unloads(struct dl_phdr_info *info, size_t size, void *into) {
    (void)size;
    *(unsigned long long *)into = info->dlpi_subs;
    return 1;
}

static void forget_what_was_unloaded(void) {
    unsigned long long unloads = 0;
    dl_iterate_phdr(read_unloads, &unloads);
    if (unloads == atomic_load(&known_unloads))
        return;
    for (size_t i = 0; i < KNOWN; i++)
        atomic_store_explicit(&known[i], 0, memory_order_relaxed);
    atomic_store(&known_unloads, unloads);
}

static enum ledger_runtime kind_of_name(const char *name) {
    static const struct {
        enum ledger_runtime kind;
        const char *name;
    } table[] = {
#define RUNTIME(kind, name) {kind, name},
#include "runtime.def"
#undef RUNTIME
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(name, table[i].name) == 0)
            return table[i].kind;
    return LEDGER_NO_RUNTIME;
}

static enum ledger_runtime kind_at(uintptr_t address, bool is_start) {
    Dl_info info;
    if (!dladdr((const void *)address, &info) || !info.dli_sname ||
        (is_start && (uintptr_t)info.dli_saddr != address))
        return LEDGER_NO_RUNTIME;
    return kind_of_name(info.dli_sname);
}

/* What the call instruction before a return address names: lua_close() jumps to a function without a name,
 * and so has no frame of its own. 0: cannot be told. */
static uintptr_t called_function(const void *frame) {
    int32_t distance;
#if defined(__x86_64__)
    const unsigned char *instruction = (const unsigned char *)frame - 5;
    memcpy(&distance, instruction + 1, sizeof distance);
    return *instruction == 0xe8 ? (uintptr_t)frame + (uintptr_t)(intptr_t)distance : 0;
#elif defined(__aarch64__)
    const unsigned char *instruction = (const unsigned char *)frame - 4;
    memcpy(&distance, instruction, sizeof distance);
    bool is_call = ((uint32_t)distance & 0xfc000000u) == 0x94000000u;
    distance = (int32_t)((uint32_t)distance << 6) >> 6;
    return is_call ? (uintptr_t)instruction + (uintptr_t)((intptr_t)distance * 4) : 0;
#else
    (void)frame, (void)distance;
    return 0;
#endif
}

/* The return address of a call that never returns may be the next function's first byte. */
static enum ledger_runtime kind_of_frame(const void *frame) {
    uint64_t address = (uintptr_t)frame - 1;
    _Atomic uint64_t *slot = &known[(address ^ address >> 10) % KNOWN];
    uint64_t word = atomic_load_explicit(slot, memory_order_relaxed);
    if (word >> 8 == address)
        return (enum ledger_runtime)((word & 0xff) - 1);
    Dl_info info;
    enum ledger_runtime kind = kind_at(address, false);
    /* Not in memory that is no object's: what a compiler made at run time may not be readable. */
    bool is_to_read = kind == LEDGER_NO_RUNTIME && dladdr((const void *)(uintptr_t)address, &info);
    uintptr_t called = is_to_read ? called_function(frame) : 0;
    if (called)
        kind = kind_at(called, true);
    atomic_store_explicit(slot, address << 8 | (unsigned)(kind + 1), memory_order_relaxed);
    return kind;
}

/* Before Python calls itself finalizing it runs what was registered with atexit: still the program, also
 * where that is a method written in C, which has no frame of Python's. */
static bool python_is_finalizing(void) {
    int (*ask)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "Py_IsFinalizing");
    if (!ask)
        ask = (int (*)(void))dlsym(RTLD_DEFAULT, "_Py_IsFinalizing");
    return ask ? ask() : !script_is_running();
}

/* On the thread that runs the interpreter: does it have frames of the script's, besides the one without a
 * line that every thread of Ruby's begins with? */
static bool ruby_has_frames(void) {
    uintptr_t frames[2];
    int lines[2];
    int (*ask)(int, int, uintptr_t *, int *) =
        (int (*)(int, int, uintptr_t *, int *))dlsym(RTLD_DEFAULT, "rb_profile_frames");
    int count = ask ? ask(0, 2, frames, lines) : 2;
    return count > 1 || (count == 1 && lines[0] > 0);
}

/* Once Python is finalizing, what still runs of a script are destructors that the shutdown calls: __del__ of
 * a library's class is not the program. */
static bool program_goes_on(enum ledger_runtime kind) {
    if (kind == LEDGER_BY_PYTHON)
        return !python_is_finalizing();
    return (kind == LEDGER_BY_RUBY && ruby_has_frames()) ||
           (kind != LEDGER_NO_RUNTIME && script_is_running());
}

enum ledger_runtime runtime_shutting_down(void) {
    int error = errno;
    void *frames[FRAMES];
    enum ledger_runtime kind = LEDGER_NO_RUNTIME;
    forget_what_was_unloaded();
    int count = backtrace(frames, FRAMES);
    for (int i = 0; i < count && kind == LEDGER_NO_RUNTIME; i++)
        kind = kind_of_frame(frames[i]);
    if (program_goes_on(kind))
        kind = LEDGER_NO_RUNTIME;
    errno = error;
    return kind;
}
