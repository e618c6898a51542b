/*
 * host.c: a program that is not linked with libpq and gets at it by the loader: host CASE.
 *
 * Directory of the modules: beside the program. Each line says which copy of libpq a connection was made by:
 * the copies take the server's application_name from differently named variables of the environment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct extension {
    void *module;
    void *(*open)(int how);
    const char *(*ask)(void *conn);
    void (*close)(void *conn);
};

static char directory[PATH_MAX];

static void *load(const char *name, int flags) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    void *module = dlopen(path, flags);
    if (!module) {
        printf("%s\n", dlerror());
        exit(1);
    }
    return module;
}

static struct extension extension(const char *name, int flags) {
    struct extension loaded = {.module = load(name, flags)};
    loaded.open = (void *(*)(int))dlsym(loaded.module, "extension_open");
    loaded.ask = (const char *(*)(void *))dlsym(loaded.module, "extension_ask");
    loaded.close = (void (*)(void *))dlsym(loaded.module, "extension_close");
    return loaded;
}

/* Two connections at once, asked in turns. */
static void use(const char *label, const struct extension *one, const struct extension *other, int how) {
    void *first = one->open(how), *second = other->open(how);
    for (int i = 0; i < 2; i++) {
        printf("%s: %s", label, one->ask(first));
        printf(" %s\n", other->ask(second));
    }
    one->close(first);
    other->close(second);
}

static void two(const char *label, const char *first, int first_flags, const char *second, int second_flags) {
    struct extension a = extension(first, first_flags), b = extension(second, second_flags);
    for (int how = 0; how < 3; how++)
        use(label, &a, &b, how);
}

/* A libpq that is reached by pointers alone. */
struct functions {
    void *library;
    void *(*connectdb)(const char *conninfo);
    void *(*connect_start)(const char *conninfo);
    void *(*exec)(void *conn, const char *query);
    char *(*getvalue)(const void *result, int row, int column);
    void (*clear)(void *result);
    void (*finish)(void *conn);
    int (*ping)(const char *conninfo);
};

static struct functions functions_of(void *library) {
    struct functions found = {
        .library = library,
        .connectdb = (void *(*)(const char *))dlsym(library, "PQconnectdb"),
        .connect_start = (void *(*)(const char *))dlsym(library, "PQconnectStart"),
        .exec = (void *(*)(void *, const char *))dlsym(library, "PQexec"),
        .getvalue = (char *(*)(const void *, int, int))dlsym(library, "PQgetvalue"),
        .clear = (void (*)(void *))dlsym(library, "PQclear"),
        .finish = (void (*)(void *))dlsym(library, "PQfinish"),
        .ping = (int (*)(const char *))dlsym(library, "PQping"),
    };
    return found;
}

static void *ask(const struct functions *pq, const char *label, void *conn) {
    void *result = pq->exec(conn, "SELECT current_setting('application_name')");
    printf("%s: %s\n", label, pq->getvalue(result, 0, 0));
    pq->clear(result);
    return conn;
}

static void by_pointers(void) {
    struct functions a = functions_of(load("libpq.so.5", RTLD_NOW));
    void *early = ask(&a, "alone", a.connectdb(""));
    struct functions b = functions_of(load("libpq2.so5", RTLD_NOW));
    void *late = ask(&a, "first, by its pointers of before", a.connectdb(""));
    void *second = ask(&b, "second", b.connectdb(""));
    struct functions again = functions_of(a.library);
    void *third = ask(&again, "first, looked up again", again.connectdb(""));
    printf("pings: %d %d %d\n", a.ping(""), b.ping(""), again.ping(""));
    ask(&a, "first, still", early);
    a.finish(early);
    a.finish(late);
    b.finish(second);
    again.finish(third);
}

static void reload(void) {
    for (int i = 0; i < 3; i++) {
        struct extension one = extension("extension-now.so", RTLD_NOW | RTLD_DEEPBIND);
        void *conn = one.open(0);
        printf("%d: %s\n", i, one.ask(conn));
        one.close(conn);
        dlclose(one.module);
    }
}

/* dlopen's handle of the program, and RTLD_DEFAULT: what is loaded globally, and only that. */
static void program_handle(void) {
    void *program = dlopen(NULL, RTLD_NOW);
    printf("before: %s %s\n", dlsym(program, "PQexec") ? "found" : "missing",
           dlsym(RTLD_DEFAULT, "PQexec") ? "found" : "missing");
    struct extension local = extension("extension-now.so", RTLD_NOW | RTLD_LOCAL);
    printf("local: %s %s\n", dlsym(program, "PQexec") ? "found" : "missing",
           dlsym(RTLD_DEFAULT, "PQexec") ? "found" : "missing");
    load("libpq.so.5", RTLD_NOW | RTLD_GLOBAL);
    struct functions global = functions_of(program);
    void *conn = ask(&global, "global", global.connectdb("")), *other = local.open(0);
    printf("local: %s\n", local.ask(other));
    local.close(other);
    global.finish(conn);
}

static void namespaces(void) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/libpq.so.5", directory);
    void *library = dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    if (!library) {
        printf("%s\n", dlerror());
        exit(77);
    }
    int (*version)(void) = (int (*)(void))dlsym(library, "PQlibVersion");
    int (*ping)(const char *) = (int (*)(const char *))dlsym(library, "PQping");
    printf("%d %d\n", version() > 90000, ping(""));
}

static void inside(void) {
    struct extension whole = extension("whole.so", RTLD_NOW);
    void *conn = whole.open(0);
    printf("%s\n", conn ? "connected" : "not connected");
    whole.close(conn);
}

int main(int count, char **arguments) {
    const char *what = count == 2 ? arguments[1] : "";
    if (!realpath("/proc/self/exe", directory))
        return 1;
    dirname(directory);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (strcmp(what, "local") == 0)
        two(what, "extension-now.so", RTLD_NOW, "extension2-now.so", RTLD_NOW);
    else if (strcmp(what, "lazy") == 0)
        two(what, "extension-lazy.so", RTLD_LAZY, "extension2-lazy.so", RTLD_LAZY);
    else if (strcmp(what, "deep") == 0)
        two(what, "extension-now.so", RTLD_NOW | RTLD_GLOBAL, "extension2-now.so", RTLD_NOW | RTLD_DEEPBIND);
    else if (strcmp(what, "deep-lazy") == 0)
        two(what, "extension-lazy.so", RTLD_LAZY | RTLD_GLOBAL, "extension2-lazy.so",
            RTLD_LAZY | RTLD_DEEPBIND);
    else if (strcmp(what, "deep-first") == 0)
        two(what, "extension2-lazy.so", RTLD_LAZY | RTLD_DEEPBIND, "extension-lazy.so",
            RTLD_LAZY | RTLD_GLOBAL);
    else if (strcmp(what, "global") == 0)
        two(what, "extension-now.so", RTLD_NOW | RTLD_GLOBAL, "extension2-now.so", RTLD_NOW);
    else if (strcmp(what, "same") == 0)
        two(what, "extension-now.so", RTLD_NOW | RTLD_DEEPBIND, "extension-lazy.so", RTLD_LAZY);
    else if (strcmp(what, "pointers") == 0)
        by_pointers();
    else if (strcmp(what, "reload") == 0)
        reload();
    else if (strcmp(what, "program") == 0)
        program_handle();
    else if (strcmp(what, "namespace") == 0)
        namespaces();
    else if (strcmp(what, "inside") == 0)
        inside();
    else
        return 2;
    return 0;
}
