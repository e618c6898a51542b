/* host.c: loads the modules named on the command line one after another, renders a page with each, and
 * unloads it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int count, char **arguments) {
    int errors = 0;
    double start = seconds_now();
    for (int i = 1; i < count; i++) {
        int (*render)(void);
        void *module = dlopen(arguments[i], RTLD_NOW | RTLD_LOCAL);
        if (!module) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        void *address = dlsym(module, "render");
        memcpy(&render, &address, sizeof render);
        errors += render();
        dlclose(module);
    }
    printf("requests %d errors %d seconds %.3f\n", count - 1, errors, seconds_now() - start);
    nanosleep(&(struct timespec){0, 50000000}, NULL); /* what is open stays open long enough to be seen */
    return 0;
}
