/*
 * starts.c: starts PROGRAM again and again for SECONDS, in turns as it is and preloaded with LIBRARY.
 * Prints the median nanoseconds of a start as it is, and those that a preloaded one takes more.
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

enum { STARTS_MAX = 10000 };

extern char **environ;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static int64_t start(char *path) {
    char *program[] = {path, NULL};
    int64_t began = now();
    pid_t child;
    int status;
    if (posix_spawn(&child, path, NULL, NULL, program, environ) != 0 || waitpid(child, &status, 0) != child ||
        status != 0) {
        fprintf(stderr, "%s could not be run\n", path);
        exit(1);
    }
    return now() - began;
}

static int by_size(const void *one, const void *other) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
    return (a > b) - (a < b);
}

static int64_t median(int64_t *times, int count) {
    qsort(times, (size_t)count, sizeof *times, by_size);
    return times[count / 2];
}

int main(int words_given, char **words) {
    static int64_t bare[STARTS_MAX], preloaded[STARTS_MAX];
    int count = 0;
    if (words_given != 4) {
        fprintf(stderr, "usage: starts SECONDS LIBRARY PROGRAM\n");
        return 2;
    }
    int64_t end = now() + (int64_t)(atof(words[1]) * 1e9);
    do {
        bare[count] = start(words[3]);
        /* Set here and not for this program, which is not what is measured. */
        setenv("LD_PRELOAD", words[2], 1);
        preloaded[count++] = start(words[3]);
        unsetenv("LD_PRELOAD");
    } while (now() < end && count < STARTS_MAX);
    int64_t as_it_is = median(bare, count);
    printf("%lld %lld\n", (long long)as_it_is, (long long)(median(preloaded, count) - as_it_is));
    return 0;
}
