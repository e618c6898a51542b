/* search_maps.c: reads /proc/PID/maps. */
#include "search_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool maps_open(struct maps *maps, pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    maps->file = open(path, O_RDONLY | O_CLOEXEC);
    maps->length = maps->at = 0;
    return maps->file >= 0;
}

void maps_close(struct maps *maps) {
    close(maps->file);
}

/* The next line, its newline replaced; NULL at the end. */
static char *next_line(struct maps *maps) {
    for (;;) {
        char *line = maps->text + maps->at;
        char *newline = memchr(line, '\n', maps->length - maps->at);
        if (newline) {
            *newline = '\0';
            maps->at += (size_t)(newline - line) + 1;
            return line;
        }
        memmove(maps->text, line, maps->length - maps->at);
        maps->length -= maps->at;
        maps->at = 0;
        if (maps->length == sizeof maps->text)
            return NULL;
        ssize_t more;
        do
            more = read(maps->file, maps->text + maps->length, sizeof maps->text - maps->length);
        while (more < 0 && errno == EINTR);
        if (more <= 0)
            return NULL;
        maps->length += (size_t)more;
    }
}

/* BEGIN-END PERMISSIONS OFFSET DEVICE INODE PATH */
bool maps_next(struct maps *maps, struct mapping *mapping) {
    char *line = next_line(maps), *end;
    if (!line)
        return false;
    mapping->begin = strtoull(line, &end, 16);
    if (*end++ != '-')
        return false;
    mapping->end = strtoull(end, &end, 16);
    if (strnlen(end, 6) < 6)
        return false;
    mapping->readable = end[1] == 'r';
    mapping->writable = end[2] == 'w';
    mapping->shared = end[4] == 's';
    mapping->offset = strtoull(end + 5, &end, 16);
    for (int field = 0; field < 3 && *end; field++)
        end += strcspn(end + 1, " ") + 1;
    mapping->path = end + strspn(end, " ");
    return true;
}

bool mapping_is_of(const struct mapping *mapping, const char *name) {
    const char *slash = strrchr(mapping->path, '/');
    size_t length = strlen(name);
    return slash && strncmp(slash + 1, name, length) == 0 &&
           (slash[1 + length] == '\0' || strchr(".- ", slash[1 + length]));
}

bool mapping_is_device(const struct mapping *mapping) {
    static const char *const plain[] = {"/dev/shm/", "/dev/zero", "/dev/hugepages/"};
    if (strncmp(mapping->path, "/dev/", 5) != 0)
        return false;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strncmp(mapping->path, plain[i], strlen(plain[i])) == 0)
            return false;
    return true;
}
