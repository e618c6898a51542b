/* incarnation.c: which process it was. */
#include "incarnation.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t incarnation_start(pid_t pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    /* The second field is the name in parentheses, and it may hold blanks and parentheses itself. */
    const char *field = strrchr(text, ')');
    if (!field || field[1] != ' ' || field[2] == 'Z' || field[2] == 'X')
        return 0;
    field += 2;
    for (int number = 3; number < 22; number++) {
        field = strchr(field, ' ');
        if (!field)
            return 0;
        field++;
    }
    return strtoull(field, NULL, 10);
}

bool incarnation_is_alive(pid_t pid, uint64_t start) {
    return pid > 0 && start != 0 && incarnation_start(pid) == start;
}

bool incarnation_from_name(const char *name, pid_t *pid, uint64_t *start, const char **rest) {
    if (!isdigit((unsigned char)*name))
        return false;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(name, &end, 10);
    if (errno || number == 0 || number > INT_MAX || *end != '-' || !isdigit((unsigned char)end[1]))
        return false;
    unsigned long long ticks = strtoull(end + 1, &end, 10);
    if (errno)
        return false;
    *pid = (pid_t)number;
    *start = ticks;
    if (rest)
        *rest = end;
    return true;
}

int64_t incarnation_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
