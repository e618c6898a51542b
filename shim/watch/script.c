/* script.c: finds the interpreters of this process and asks the one that made the call. */
#include "script.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "script_language.h"

static const struct script_language *const languages[] = {&script_python, &script_ruby, &script_php,
                                                          &script_perl, &script_node};
enum { LANGUAGES = sizeof languages / sizeof languages[0] };

/* What was found. Never changed once it is published: another thread may be reading it. */
struct interpreters {
    struct {
        bool is_found;
        const void *module; /* where the object that holds its probe begins */
        _Alignas(8) unsigned char found[SCRIPT_FOUND];
    } of[LANGUAGES];
};
static _Atomic(const struct interpreters *) known;
static _Atomic uint64_t looked_at; /* script_loaded() then; 0 never */

/* No signal handler runs while we read: it could leave by longjmp with an interpreter's memory half
 * allocated, or connect. What a fault of ours would send is left to the program, which may want to tell of
 * it. */
static void hold_signals(sigset_t *before) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t held;
    sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&held, faults[i]);
    pthread_sigmask(SIG_BLOCK, &held, before);
}

static int read_loaded(struct dl_phdr_info *info, size_t size, void *into) {
    (void)size;
    *(uint64_t *)into = info->dlpi_adds << 32 | (info->dlpi_subs & 0xffffffffu);
    return 1;
}

uint64_t script_loaded(void) {
    uint64_t loaded = 0;
    dl_iterate_phdr(read_loaded, &loaded);
    return loaded;
}

void *script_symbol(void *scope, const char *name) {
    return dlsym(scope, name);
}

bool script_on_first_thread(void) {
    return syscall(SYS_gettid) == getpid();
}

/* An interpreter that came with dlopen(RTLD_LOCAL): mod_wsgi's libpython, a server's libperl. */
struct library {
    const char *begins;
    char path[512];
};

static int match_library(struct dl_phdr_info *info, size_t size, void *into) {
    struct library *library = into;
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    (void)size;
    if (strncmp(name, library->begins, strlen(library->begins)) != 0)
        return 0;
    snprintf(library->path, sizeof library->path, "%s", info->dlpi_name);
    return 1;
}

/* The scope that has the language's probe; NULL if none has. RTLD_DEFAULT is NULL too, so it is told apart
 * by `probe`. The handle is given back at once: it belongs to whoever loaded the library. */
static void *find_scope(const struct script_language *language, void **probe, void **opened) {
    struct library library = {.begins = language->file};
    *opened = NULL;
    *probe = dlsym(RTLD_DEFAULT, language->probe);
    if (*probe || !language->file || !dl_iterate_phdr(match_library, &library))
        return RTLD_DEFAULT;
    *opened = dlopen(library.path, RTLD_LAZY | RTLD_NOLOAD);
    if (*opened)
        *probe = dlsym(*opened, language->probe);
    return *opened;
}

static void find_all(struct interpreters *all) {
    for (int i = 0; i < LANGUAGES; i++) {
        void *probe, *opened, *scope = find_scope(languages[i], &probe, &opened);
        Dl_info info;
        if (probe && languages[i]->find(scope, all->of[i].found)) {
            all->of[i].is_found = true;
            all->of[i].module = dladdr(probe, &info) ? info.dli_fbase : NULL;
        }
        if (opened)
            dlclose(opened);
    }
    (void)dlerror(); /* what was not found is nobody's error */
}

/* Most processes load their last object long before their last connect, so what is found anew is mostly what
 * was known, and nothing piles up. A superseded table stays: somebody may be reading it. */
static const struct interpreters *interpreters(uint64_t loaded) {
    const struct interpreters *now = atomic_load_explicit(&known, memory_order_acquire);
    if (__builtin_expect(atomic_load_explicit(&looked_at, memory_order_acquire) == loaded, 1))
        return now;
    struct interpreters fresh;
    memset(&fresh, 0, sizeof fresh);
    find_all(&fresh);
    bool any = false;
    for (int i = 0; i < LANGUAGES; i++)
        any = any || fresh.of[i].is_found;
    if (!any) {
        now = NULL;
        atomic_store_explicit(&known, now, memory_order_release);
    } else if (!now || memcmp(now, &fresh, sizeof fresh) != 0) {
        struct interpreters *copy = malloc(sizeof *copy);
        if (!copy)
            return NULL;
        memcpy(copy, &fresh, sizeof fresh);
        now = copy;
        atomic_store_explicit(&known, now, memory_order_release);
    }
    atomic_store_explicit(&looked_at, loaded, memory_order_release);
    return now;
}

/* Of several whose code is on this stack, the one whose native frames are innermost. */
static int choose(const struct interpreters *all, const bool *running, void *const *native, int count) {
    int first = -1, how_many = 0;
    for (int i = 0; i < LANGUAGES; i++)
        if (running[i] && how_many++ == 0)
            first = i;
    for (int frame = 0; how_many > 1 && frame < count; frame++) {
        Dl_info info;
        if (!dladdr((const char *)native[frame] - 1, &info))
            continue;
        for (int i = 0; i < LANGUAGES; i++)
            if (running[i] && all->of[i].module == info.dli_fbase)
                return i;
    }
    return first;
}

bool script_stack(uint64_t loaded, void *const *native, int native_count, uint32_t frames_wanted,
                  struct script_text *text, struct script *script) {
    *script = (struct script){LEDGER_NATIVE, 0, ""};
    const struct interpreters *all = interpreters(loaded);
    if (!all)
        return false;
    bool running[LANGUAGES];
    sigset_t before;
    hold_signals(&before);
    for (int i = 0; i < LANGUAGES; i++)
        running[i] = all->of[i].is_found && languages[i]->is_running(all->of[i].found);
    int chosen = choose(all, running, native, native_count);
    if (chosen >= 0) {
        text->length = text->frames = 0;
        text->frames_wanted = frames_wanted < SCRIPT_FRAMES_LEAST ? SCRIPT_FRAMES_LEAST : frames_wanted;
        languages[chosen]->write(all->of[chosen].found, text);
        *script = (struct script){languages[chosen]->language, text->length, text->bytes};
        if (text->length == 0 && script->language != LEDGER_LIBUV_POOL)
            script->language = LEDGER_NATIVE;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return script->language != LEDGER_NATIVE;
}

bool script_is_running(void) {
    const struct interpreters *all = interpreters(script_loaded());
    bool is_running = false;
    sigset_t before;
    if (!all)
        return false;
    hold_signals(&before);
    for (int i = 0; i < LANGUAGES && !is_running; i++)
        is_running = languages[i]->language != LEDGER_LIBUV_POOL && all->of[i].is_found &&
                     languages[i]->is_running(all->of[i].found);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_running;
}
