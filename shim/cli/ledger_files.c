/* ledger_files.c: the ledgers in a directory. */
#include "ledger_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../watch/witness.h"
#include "incarnation.h"
#include "say.h"

enum { KEEP_SECONDS = 24 * 60 * 60, KEEP_FILES = 64, PAGE = 4096, WORTH_IT = 64 * 1024 };

/* A name in the directory, read as PID-START and an ending. */
struct named_file {
    char name[256];
    pid_t pid;
    uint64_t start;
    bool is_launchers; /* its socket or its witness; else it is a ledger */
    time_t changed;
    uint64_t room; /* bytes on the disk */
};

static bool ends_with(const char *text, const char *ending) {
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcmp(text + length - tail, ending) == 0;
}

static bool recognise(const char *name, struct named_file *into) {
    const char *rest;
    if (strlen(name) >= sizeof into->name || !incarnation_from_name(name, &into->pid, &into->start, &rest))
        return false;
    into->is_launchers = strcmp(rest, ".sock") == 0 || strcmp(rest, WITNESS_SUFFIX) == 0;
    if (!into->is_launchers && (*rest != '-' || !ends_with(rest, LEDGER_SUFFIX)))
        return false;
    strcpy(into->name, name);
    return true;
}

/* All files of ours; the caller frees. Links and other people's files are not followed or counted: in a
 * directory that the user named there can be anything. */
static struct named_file *list_files(const char *directory, size_t *count) {
    *count = 0;
    DIR *stream = opendir(directory);
    if (!stream)
        return NULL;
    struct named_file *files = NULL;
    size_t capacity = 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        struct named_file file;
        struct stat status;
        if (!recognise(entry->d_name, &file) ||
            fstatat(dirfd(stream), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            status.st_uid != geteuid() || !(S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode)))
            continue;
        file.changed = status.st_mtime;
        file.room = (uint64_t)status.st_blocks * 512;
        if (*count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            struct named_file *more = realloc(files, capacity * sizeof *files);
            if (!more)
                break;
            files = more;
        }
        files[(*count)++] = file;
    }
    closedir(stream);
    return files;
}

static bool is_same(const struct ledger_header *one, const struct ledger_header *other) {
    return one->pid == other->pid && one->process_start == other->process_start &&
           one->opened_monotonic == other->opened_monotonic && one->opened_realtime == other->opened_realtime;
}

bool ledger_files_add(struct ledger_list *list, struct ledger *ledger) {
    for (size_t i = 0; i < list->count; i++) {
        if (is_same(&list->ledgers[i].header, &ledger->header)) {
            ledger_release(ledger);
            return true;
        }
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        struct ledger *more = realloc(list->ledgers, capacity * sizeof *more);
        if (!more) {
            ledger_release(ledger);
            return false;
        }
        list->ledgers = more;
        list->capacity = capacity;
    }
    list->ledgers[list->count++] = *ledger;
    return true;
}

static int by_opening(const void *left, const void *right) {
    const struct ledger *a = left, *b = right;
    if (a->header.opened_monotonic != b->header.opened_monotonic)
        return a->header.opened_monotonic < b->header.opened_monotonic ? -1 : 1;
    return a->header.pid < b->header.pid ? -1 : a->header.pid > b->header.pid;
}

/* May a file that cannot be read be a ledger of the run? One whose head is whole says so; a process younger
 * than the launcher may be its own. A head of zeros is of a process that was about to use libpq. */
static bool is_of_run(const char *path, const struct named_file *named, const char *run) {
    struct ledger_header header;
    memset(&header, 0, sizeof header);
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, &header, sizeof header);
    if (file >= 0)
        close(file);
    if (length >= (ssize_t)(offsetof(struct ledger_header, run) + sizeof header.run) &&
        memcmp(header.magic, LEDGER_MAGIC, sizeof header.magic) == 0)
        return strncmp(header.run, run, sizeof header.run) == 0;
    pid_t launcher;
    uint64_t start;
    static const char zeros[sizeof header.magic];
    bool begun = file < 0 || memcmp(header.magic, zeros, sizeof zeros) != 0;
    return begun && incarnation_from_name(run, &launcher, &start, NULL) && named->start >= start;
}

static void note_damage(struct ledger_list *list, const char *path, const char *why) {
    char *sentence = NULL;
    char **more = realloc(list->damaged, (list->damaged_count + 1) * sizeof *more);
    if (more)
        list->damaged = more;
    if (more && asprintf(&sentence, "the ledger %s %s: what its process did is not known", path, why) >= 0)
        list->damaged[list->damaged_count++] = sentence;
}

/* Adds the ledgers of `run`, or of `pid` where run is NULL. */
static void collect(const char *directory, const char *run, pid_t pid, struct ledger_list *into) {
    size_t count, before = into->count;
    struct named_file *files = list_files(directory, &count);
    for (size_t i = 0; i < count; i++) {
        char path[4096], why[256];
        struct ledger ledger;
        if (files[i].is_launchers || (!run && files[i].pid != pid))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        if (!ledger_read(path, &ledger, why, sizeof why)) {
            if (!run)
                say("%s %s", path, why);
            else if (is_of_run(path, &files[i], run))
                note_damage(into, path, why);
            continue;
        }
        if (run && strcmp(ledger.header.run, run) != 0)
            ledger_release(&ledger);
        else
            ledger_files_add(into, &ledger);
    }
    free(files);
    if (into->count > before)
        qsort(into->ledgers + before, into->count - before, sizeof *into->ledgers, by_opening);
}

void ledger_files_of_run(const char *directory, const char *run, struct ledger_list *into) {
    collect(directory, run, 0, into);
}

size_t ledger_files_of_pid(const char *directory, pid_t pid, struct ledger_list *into) {
    size_t before = into->count;
    collect(directory, NULL, pid, into);
    return into->count - before;
}

/* The launcher that started this process still runs, and will read the ledger at its end. */
static bool launcher_waits(const char *path) {
    struct ledger_header header;
    int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, &header, sizeof header);
    close(file);
    pid_t pid;
    uint64_t start;
    if (length < (ssize_t)offsetof(struct ledger_header, counters) ||
        memcmp(header.magic, LEDGER_MAGIC, sizeof header.magic) != 0)
        return false;
    header.run[sizeof header.run - 1] = '\0';
    return incarnation_from_name(header.run, &pid, &start, NULL) && incarnation_is_alive(pid, start);
}

static int newest_first(const void *left, const void *right) {
    const struct named_file *a = left, *b = right;
    return a->changed < b->changed ? 1 : a->changed > b->changed ? -1 : strcmp(b->name, a->name);
}

void ledger_files_prune(const char *directory) {
    size_t count, kept = 0;
    struct named_file *files = list_files(directory, &count);
    if (count)
        qsort(files, count, sizeof *files, newest_first);
    time_t now = time(NULL);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        if (incarnation_is_alive(files[i].pid, files[i].start))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        /* Left by a launcher that was killed: it removes its own at every other end. */
        if (files[i].is_launchers) {
            unlink(path);
            continue;
        }
        if (kept < KEEP_FILES && now - files[i].changed < KEEP_SECONDS)
            kept++;
        else if (!launcher_waits(path))
            unlink(path);
    }
    free(files);
}

/* The whole pages behind the last row that was used. False: the table lies outside the file. */
static bool unused_pages(const struct ledger_table *table, uint64_t file_size, uint64_t *begin,
                         uint64_t *end) {
    uint32_t used = table->used < table->capacity ? table->used : table->capacity;
    *begin = ((uint64_t)table->offset + (uint64_t)used * table->row_size + PAGE - 1) / PAGE * PAGE;
    *end = ((uint64_t)table->offset + (uint64_t)table->capacity * table->row_size) / PAGE * PAGE;
    return *end <= file_size;
}

/* Nobody writes to it any more, so that a hole can never be a store without a block to go to. */
static void trim(const char *path, uint64_t room) {
    struct ledger_header header;
    struct stat status;
    memset(&header, 0, sizeof header);
    int file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0)
        return;
    if (pread(file, &header, sizeof header, 0) == (ssize_t)sizeof header && fstat(file, &status) == 0 &&
        memcmp(header.magic, LEDGER_MAGIC, sizeof header.magic) == 0 && header.version == LEDGER_VERSION &&
        header.header_size >= sizeof header) {
        const struct ledger_table *tables[] = {&header.modules, &header.sites,   &header.targets,
                                               &header.handles, &header.servers, &header.misuses,
                                               &header.texts,   &header.spans};
        enum { TABLES = sizeof tables / sizeof *tables };
        uint64_t begin[TABLES], end[TABLES], unused = 0;
        bool good = true;
        for (size_t i = 0; i < TABLES && good; i++) {
            good = unused_pages(tables[i], (uint64_t)status.st_size, &begin[i], &end[i]);
            unused += good && end[i] > begin[i] ? end[i] - begin[i] : 0;
        }
        /* A file that was trimmed already has no more room than what is used. */
        good =
            good && unused <= (uint64_t)status.st_size && room > (uint64_t)status.st_size - unused + WORTH_IT;
        for (size_t i = 0; i < TABLES && good; i++)
            if (end[i] > begin[i])
                fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)begin[i],
                          (off_t)(end[i] - begin[i]));
    }
    close(file);
}

void ledger_files_trim(const char *directory) {
    size_t count;
    struct named_file *files = list_files(directory, &count);
    for (size_t i = 0; i < count; i++) {
        char path[4096];
        if (files[i].is_launchers || files[i].room <= WORTH_IT ||
            incarnation_is_alive(files[i].pid, files[i].start))
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        trim(path, files[i].room);
    }
    free(files);
}

void ledger_files_release(struct ledger_list *list) {
    for (size_t i = 0; i < list->count; i++)
        ledger_release(&list->ledgers[i]);
    for (size_t i = 0; i < list->damaged_count; i++)
        free(list->damaged[i]);
    free(list->damaged);
    runners_release(&list->runners);
    free(list->ledgers);
    memset(list, 0, sizeof *list);
}
