/* starts.c: starts PROGRAM again and again for SECONDS, with this environment; prints nanoseconds per start.
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(int count, char **words) {
    if (count != 4) {
        fprintf(stderr, "usage: starts SECONDS PRELOAD PROGRAM\n");
        return 2;
    }
    /* Set here and not for this program, which is not what is measured. */
    if (words[2][0])
        setenv("LD_PRELOAD", words[2], 1);
    char *program[] = {words[3], NULL};
    int64_t start = now(), end = start + (int64_t)(atof(words[1]) * 1e9), time, starts = 0;
    do {
        pid_t child;
        int status;
        if (posix_spawn(&child, words[3], NULL, NULL, program, environ) != 0 ||
            waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "%s could not be run\n", words[3]);
            return 1;
        }
        starts++;
    } while ((time = now()) < end);
    printf("%.3f\n", (double)(time - start) / (double)starts);
    return 0;
}
