/*
 * loader.c: what a program sees of the loader: error texts, whose RUNPATH counts, what comes next. The same
 * lines with the shim and without.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libgen.h>
#include <limits.h>
#include <link.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int loader_here(void);

static void say(const char *label, const void *address) {
    const char *error = dlerror();
    printf("%s: %s, %s\n", label, address ? "found" : "missing", error ? error : "no error");
    printf("%s: then %s\n", label, dlerror() ? "an error" : "no error");
}

/* The program's own, in front of libc's. */
__attribute__((visibility("default"))) pid_t getppid(void) {
    pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "getppid");
    return next && next != getppid ? next() : -1;
}

__attribute__((visibility("default"))) int loader_here(void) {
    return 1;
}

static void names(const char *label, const void *address) {
    Dl_info info;
    if (!address || !dladdr(address, &info)) {
        printf("%s: nothing\n", label);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    printf("%s: %s in %s\n", label, info.dli_sname ? info.dli_sname : "?",
           slash ? slash + 1 : info.dli_fname);
}

static void *in_a_thread(void *handle) {
    say("in a thread", dlsym(handle, "PQexec"));
    return NULL;
}

static int check(const char *directory) {
    char path[PATH_MAX + 64];
    void *program = dlopen(NULL, RTLD_LAZY), *math = dlopen("libm.so.6", RTLD_LAZY);
    say("PQexec by default", dlsym(RTLD_DEFAULT, "PQexec"));
    say("PQexec in the program", dlsym(program, "PQexec"));
    say("PQexec in libm", dlsym(math, "PQexec"));
    say("PQexec next", dlsym(RTLD_NEXT, "PQexec"));
    say("PQnever by default", dlsym(RTLD_DEFAULT, "PQnever"));
    say("lo_open by default", dlsym(RTLD_DEFAULT, "lo_open"));
    say("cos in libm", dlsym(math, "cos"));
    say("PQexec in libm, with a version", dlvsym(math, "PQexec", "NEVER_1"));
    say("cos in libm, with a version", dlvsym(math, "cos", "NEVER_1"));
    say("a library that is not there", dlopen("libnever.so.1", RTLD_NOW));
    say("the same, deeply bound", dlopen("libnever.so.1", RTLD_NOW | RTLD_DEEPBIND));
    /* An error is not lost by what comes between, and lost by a call that succeeds. */
    dlsym(math, "PQexec");
    getppid();
    say("after a success", dlsym(math, "cos"));
    dlsym(RTLD_DEFAULT, "PQexec");
    pthread_t thread;
    if (pthread_create(&thread, NULL, in_a_thread, math) == 0)
        pthread_join(thread, NULL);
    say("of this thread", NULL);

    names("a function of the program", (const void *)(uintptr_t)loader_here);
    names("cos", dlsym(math, "cos"));
    printf("getppid: %d\n", getppid() > 1);
    printf("RTLD_NEXT of the program: %d\n", dlsym(RTLD_NEXT, "loader_here") != NULL);

    snprintf(path, sizeof path, "%s/caller.so", directory);
    void *caller = dlopen(path, RTLD_NOW);
    if (!caller)
        return puts(dlerror()), 1;
    void *(*opens)(const char *) = (void *(*)(const char *))dlsym(caller, "caller_opens");
    void *(*next)(const char *) = (void *(*)(const char *))dlsym(caller, "caller_next");
    say("of the program's own path", dlopen("libinner.so", RTLD_NOW));
    say("of its caller's RUNPATH", opens("libinner.so"));
    say("of its caller's $ORIGIN", opens("$ORIGIN/below/libinner.so"));
    say("next after the module", next("inner_answer"));
    say("PQexec next after the module", next("PQexec"));
    return 0;
}

int main(void) {
    char directory[PATH_MAX];
    if (!realpath("/proc/self/exe", directory))
        return 1;
    return check(dirname(directory));
}
