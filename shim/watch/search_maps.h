/* search_maps.h: the mappings of a process, line by line, without malloc. */
#ifndef PQONE_SEARCH_MAPS_H
#define PQONE_SEARCH_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping {
    uint64_t begin, end, offset;
    bool readable, writable, shared;
    const char *path; /* "" for none; "[stack]", "[heap]"; ends in " (deleted)" where the file is gone */
};

struct maps {
    int file;
    size_t length, at;
    char text[16384]; /* a line is at most a path and some numbers */
};

/* False, with errno: /proc/PID/maps cannot be read. */
bool maps_open(struct maps *maps, pid_t pid);

/* The next one, valid until the one after it; false at the end. */
bool maps_next(struct maps *maps, struct mapping *mapping);
void maps_close(struct maps *maps);

/* Is the last part of its path `name`, or does it begin with `name` followed by a dot or hyphen? */
bool mapping_is_of(const struct mapping *mapping, const char *name);

/* Is it a device's own memory, where reading may do something? /dev/shm and /dev/zero are plain memory. */
bool mapping_is_device(const struct mapping *mapping);

#endif
