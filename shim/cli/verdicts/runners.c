/* runners.c: processes of a run that had not ended when its command had. */
#include "runners.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../incarnation.h"
#include "../say.h"

static bool names_run(pid_t pid, const char *entry) {
    size_t length = 0, capacity = 65536;
    char path[64], *bytes = malloc(capacity + 1);
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    int file = bytes ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    for (ssize_t got; file >= 0 && (got = read(file, bytes + length, capacity - length)) > 0;) {
        length += (size_t)got;
        if (length < capacity)
            continue;
        char *more = realloc(bytes, capacity * 2 + 1);
        if (!more)
            break;
        bytes = more;
        capacity *= 2;
    }
    if (file >= 0)
        close(file);
    bool found = false;
    if (bytes)
        bytes[length] = '\0';
    for (size_t at = 0; bytes && at < length && !found; at += strlen(bytes + at) + 1)
        found = strcmp(bytes + at, entry) == 0;
    free(bytes);
    return found;
}

static void read_reserved(struct runner *runner) {
    char path[64], line[4096];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)runner->pid);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof line, in)) {
        char *end;
        struct reserved range = {.begin = strtoull(line, &end, 16)};
        range.end = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
        if (strncmp(end, " ---", 4) != 0)
            continue;
        struct reserved *more = realloc(runner->reserved, (runner->reserved_count + 1) * sizeof *more);
        if (!more)
            break;
        runner->reserved = more;
        runner->reserved[runner->reserved_count++] = range;
    }
    if (in)
        fclose(in);
}

static void add(struct runners *into, pid_t pid) {
    struct runner runner = {.pid = pid, .start = incarnation_start(pid)};
    struct runner *more = realloc(into->runners, (into->count + 1) * sizeof *more);
    char path[64];
    if (more)
        into->runners = more;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    /* A zombie has ended. */
    if (!more || runner.start == 0 || readlink(path, runner.program, sizeof runner.program - 1) < 0)
        return;
    say_printable(runner.program);
    read_reserved(&runner);
    into->runners[into->count++] = runner;
}

void runners_find(const char *run, struct runners *into) {
    char entry[128];
    memset(into, 0, sizeof *into);
    snprintf(entry, sizeof entry, "PQONE_RUN=%s", run);
    DIR *stream = opendir("/proc");
    for (struct dirent *file; stream && (file = readdir(stream));) {
        pid_t pid = isdigit((unsigned char)file->d_name[0]) ? atoi(file->d_name) : 0;
        /* The launcher has set the variable in itself, but only after its own start. */
        if (pid > 0 && pid != getpid() && names_run(pid, entry))
            add(into, pid);
    }
    if (stream)
        closedir(stream);
}

bool runners_are_alive(const struct runners *runners) {
    for (size_t i = 0; i < runners->count; i++)
        if (!incarnation_is_alive(runners->runners[i].pid, runners->runners[i].start))
            return false;
    return true;
}

void runners_release(struct runners *runners) {
    for (size_t i = 0; i < runners->count; i++)
        free(runners->runners[i].reserved);
    free(runners->runners);
    memset(runners, 0, sizeof *runners);
}

bool runner_has_reserved(const struct runner *runner, uint64_t address) {
    /* The kernel may join the range with what lies beside it. */
    for (size_t i = 0; i < runner->reserved_count && address; i++)
        if (address >= runner->reserved[i].begin && address < runner->reserved[i].end)
            return true;
    return false;
}
