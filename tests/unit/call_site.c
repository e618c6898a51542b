/* call_site.c: stacks of the test itself, and of modules that it builds, loads and replaces. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "settings.h"
#include "watch/call_site.h"
#include "watch/recorder.h"

#define NO_TAIL_CALL __asm__ volatile("")

static char directory[] = "/tmp/pqone-call-site-XXXXXX";

static void enter(void) {
    cr_assert_not_null(mkdtemp(directory));
    setenv("PQONE_LEDGER_DIR", directory, 1);
    setenv("PQONE_LOG", "none", 1);
}

static void leave(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect(system(command) == 0);
}
TestSuite(call_site, .init = enter, .fini = leave);

/* Stands for an exported wrapper: its return address is the program's. */
__attribute__((noinline)) static uint32_t wrapper(void) {
    uint32_t site = call_site_here(__builtin_return_address(0));
    NO_TAIL_CALL;
    return site;
}

/* As deep in the shim as no real call is. */
__attribute__((noinline)) static uint32_t deep_wrapper(void *caller, int depth) {
    uint32_t site = depth ? deep_wrapper(caller, depth - 1) : call_site_here(caller);
    NO_TAIL_CALL;
    return site;
}

__attribute__((noinline)) uint32_t route_brands(void);
uint32_t route_brands(void) {
    uint32_t site = wrapper();
    NO_TAIL_CALL;
    return site;
}

__attribute__((noinline)) uint32_t route_products(void);
uint32_t route_products(void) {
    uint32_t site = wrapper();
    NO_TAIL_CALL;
    return site;
}

static uintptr_t address_of_frame(const struct ledger_site *site, uint32_t frame) {
    const struct ledger_header *header = recorder();
    const struct ledger_module *modules = (const void *)((const char *)header + header->modules.offset);
    uint32_t module = LEDGER_FRAME_MODULE(site->frames[frame]);
    cr_assert(module < header->modules.used, "frame %u has no module", frame);
    return modules[module].base + LEDGER_FRAME_OFFSET(site->frames[frame]);
}

Test(call_site, one_place_is_one_site) {
    uint32_t seen[2] = {0, 0};
    errno = 77;
    for (int i = 0; i < 20; i++) {
        uint32_t site = route_brands();
        cr_expect(i == 0 || site == seen[0]);
        seen[0] = site;
    }
    cr_expect(errno == 77, "errno is kept");
    seen[1] = route_products();
    cr_assert(seen[0] != CALL_SITE_NONE && seen[1] != CALL_SITE_NONE);
    cr_expect(seen[0] != seen[1]);
    cr_expect(recorder()->sites.used == 2 && recorder()->counters.calls_unlisted == 0);
}

Test(call_site, innermost_frame_is_the_call_in_the_program) {
    char name[200];
    uint32_t site = route_brands();
    const struct ledger_site *row = recorder_site(site);
    cr_assert_not_null(row);
    Dl_info info;
    uintptr_t address = address_of_frame(row, 0);
    cr_expect(address > (uintptr_t)route_brands && address < (uintptr_t)route_brands + 64,
              "inside the call, not after it");
    cr_assert(dladdr((void *)address_of_frame(row, 1), &info) != 0);
    cr_expect(row->depth > 1 && row->depth <= 16, "%u", row->depth);
    cr_expect(strncmp(call_site_name(site, name, sizeof name), "route_brands+0x", 15) == 0, "%s", name);
    cr_expect(name[strlen(name) - 1] == ')' && strchr(name, '('), "%s", name);
    cr_expect_str_eq(call_site_name(CALL_SITE_NONE, name, sizeof name), "an unknown place");
    cr_expect_str_eq(call_site_name(99, name, sizeof name), "an unknown place");
}

Test(call_site, frames_of_the_shim_are_left_out_however_many) {
    void *caller = __builtin_return_address(0);
    for (int depth = 20; depth >= 0; depth -= 5) {
        uint32_t site = deep_wrapper(caller, depth);
        cr_assert(site != CALL_SITE_NONE);
        cr_expect(address_of_frame(recorder_site(site), 0) == (uintptr_t)caller - 1, "at depth %d", depth);
    }
    cr_expect(recorder()->sites.used == 1, "they all are one place");
}

Test(call_site, one_frame_is_the_caller_alone) {
    setenv("PQONE_STACK", "1", 1);
    const struct ledger_site *row = recorder_site(route_brands());
    cr_assert_not_null(row);
    cr_expect(row->depth == 1);
    cr_expect(address_of_frame(row, 0) - (uintptr_t)route_brands < 64);
}

Test(call_site, no_frames_are_no_site) {
    setenv("PQONE_STACK", "0", 1);
    cr_expect(route_brands() == CALL_SITE_NONE);
    cr_expect(recorder()->counters.calls_unlisted == 0, "nobody asked for it");
}

Test(call_site, a_caller_that_is_not_on_the_stack_falls_back) {
    cr_expect(call_site_here((void *)0x10) != CALL_SITE_NONE);
    cr_expect(call_site_here(NULL) != CALL_SITE_NONE);
}

__attribute__((noinline)) static uint32_t recurse(int depth) {
    uint32_t site = depth ? recurse(depth - 1) : wrapper();
    NO_TAIL_CALL;
    return site;
}

Test(call_site, a_deep_stack_is_cut) {
    setenv("PQONE_STACK", "32", 1);
    const struct ledger_site *row = recorder_site(recurse(100));
    cr_assert_not_null(row);
    cr_expect(row->depth == LEDGER_FRAMES);
}

Test(call_site, a_full_table_is_counted) {
    uint64_t frames[1];
    for (frames[0] = 1; frames[0] <= LEDGER_SITES; frames[0]++)
        cr_assert(recorder_site_row(frames, 1, NULL, "") == frames[0] - 1);
    for (int i = 0; i < 3; i++)
        cr_expect(route_brands() == CALL_SITE_NONE);
    cr_expect(recorder()->counters.calls_unlisted == 3);
}

static uint32_t asked(void *caller) {
    uint32_t site = call_site_here(caller);
    NO_TAIL_CALL;
    return site;
}

/* A shared object of one function, which calls back from `calls` different lines. */
static void *build_module(const char *name, const char *text, int padding) {
    char path[128], command[512];
    snprintf(path, sizeof path, "%s/module.c", directory);
    FILE *source = fopen(path, "w");
    cr_assert_not_null(source);
    fprintf(source,
            "typedef unsigned (*ask)(void *);\n"
            "static __attribute__((noinline, noclone)) unsigned ask_from(ask f) {"
            " unsigned s = f(__builtin_return_address(0)); __asm__ volatile(\"\"); return s; }\n"
            "unsigned %s(ask f) { volatile unsigned a = %d; unsigned s = ((unsigned "
            "(*volatile)(ask))ask_from)(f);"
            " a++; return s; }\nconst char text[] = \"%s\";\n",
            text, padding, text);
    fclose(source);
    snprintf(command, sizeof command, "cc -shared -fPIC -O1 -Wl,--build-id -o %s/%s %s", directory, name,
             path);
    cr_assert(system(command) == 0, "%s", command);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    cr_assert_not_null(module, "%s", dlerror());
    return module;
}

static uint32_t ask_module(void *module, const char *function) {
    uint32_t (*call)(uint32_t(*)(void *)) = (uint32_t(*)(uint32_t(*)(void *)))dlsym(module, function);
    cr_assert_not_null((void *)(uintptr_t)call);
    return call(asked);
}

Test(call_site, a_module_that_replaces_another_at_its_address_is_another_site) {
    char name[200];
    void *module = build_module("plugin.so", "version_one", 1);
    uint32_t first = ask_module(module, "version_one");
    cr_expect(first != CALL_SITE_NONE);
    dlclose(module);
    module = build_module("plugin.so", "version_two", 1);
    uint32_t second = ask_module(module, "version_two");
    cr_expect(first != second, "an old stack was recognised by addresses alone");
    cr_expect(strncmp(call_site_name(first, name, sizeof name), "version_one+0x", 14) == 0, "%s", name);
    cr_expect(strncmp(call_site_name(second, name, sizeof name), "version_two+0x", 14) == 0, "%s", name);
    dlclose(module);
}

Test(call_site, modules_are_known_by_build_id_path_and_inode) {
    char path[128];
    struct stat state;
    void *handle = build_module("plugin.so", "version_one", 1);
    const struct ledger_site *site = recorder_site(ask_module(handle, "version_one"));
    cr_assert_not_null(site);
    uint32_t row = LEDGER_FRAME_MODULE(site->frames[0]);
    cr_assert(row < recorder()->modules.used);
    const struct ledger_module *module =
        (const struct ledger_module *)((const char *)recorder() + recorder()->modules.offset) + row;
    snprintf(path, sizeof path, "%s/plugin.so", directory);
    cr_assert(stat(path, &state) == 0);
    cr_expect_str_eq(module->path, path);
    cr_expect(module->inode == state.st_ino && module->device == state.st_dev);
    cr_expect(module->build_id_length == 20);
    char command[256], seen[64] = "", own[64] = "";
    snprintf(command, sizeof command, "readelf -n %s | sed -n 's/.*Build ID: //p'", path);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    cr_expect(fscanf(pipe, "%63s", seen) == 1);
    pclose(pipe);
    for (size_t i = 0; i < module->build_id_length; i++)
        snprintf(own + 2 * i, 3, "%02x", module->build_id[i]);
    cr_expect_str_eq(own, seen);
    dlclose(handle);
}

Test(call_site, a_caller_inside_libpq_is_not_the_place) {
    void *module = build_module("libpq-1234abcd.so.5.16", "inner", 1);
    const struct ledger_site *site = recorder_site(ask_module(module, "inner"));
    cr_assert_not_null(site);
    cr_expect(strstr(site->name, "inner") == NULL, "%s", site->name);
    dlclose(module);
}

static void *ask_often(void *unused) {
    uintptr_t sites = 0;
    for (int i = 0; i < 2000; i++)
        sites |= (uintptr_t)1 << (route_brands() & 31) | (uintptr_t)1 << (route_products() & 31);
    (void)unused;
    return (void *)sites;
}

static atomic_bool stop;

static void *unload_often(void *path) {
    while (!atomic_load(&stop)) {
        void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (module)
            dlclose(module);
    }
    return NULL;
}

Test(call_site, threads_agree_while_objects_come_and_go) {
    pthread_t threads[4], loader;
    char path[128];
    snprintf(path, sizeof path, "%s/plugin.so", directory);
    dlclose(build_module("plugin.so", "version_one", 1));
    cr_assert(pthread_create(&loader, NULL, unload_often, path) == 0);
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, ask_often, NULL) == 0);
    for (int i = 0; i < 4; i++) {
        void *sites;
        pthread_join(threads[i], &sites);
        cr_expect((uintptr_t)sites == 3, "two places, two sites: %#lx", (unsigned long)(uintptr_t)sites);
    }
    atomic_store(&stop, true);
    pthread_join(loader, NULL);
    cr_expect(recorder()->sites.used == 2);
}
