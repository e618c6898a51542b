/* ledger_reader.c: a ledger file as arrays that can be believed. */
#include "ledger_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "incarnation.h"
#include "say.h"

/* A ledger is some sixteen megabytes with a trace; beyond this a size is a lie, and reading it would be the
 * damage. */
enum { FILE_MAX = 64 << 20, ROW_MAX = 1 << 16, CAPACITY_MAX = 1 << 20 };

/* The arrays are plain memory of this process: what they are copied from may change meanwhile, and a torn
 * row costs a wrong number in a report of a living process, never more. */
static void *copy_rows(const unsigned char *bytes, const struct ledger_table *table, size_t row_size,
                       uint32_t count) {
    unsigned char *rows = calloc(count ? count : 1, row_size);
    size_t known = table->row_size < row_size ? table->row_size : row_size;
    for (uint32_t i = 0; rows && i < count; i++)
        memcpy(rows + i * row_size, bytes + table->offset + (size_t)i * table->row_size, known);
    return rows;
}

static bool table_fits(const struct ledger_table *table, uint64_t header_size, uint64_t size) {
    if (table->row_size < 1 || table->row_size > ROW_MAX || table->capacity > CAPACITY_MAX)
        return false;
    uint64_t end = (uint64_t)table->offset + (uint64_t)table->row_size * table->capacity;
    return table->offset >= header_size && end <= size;
}

static uint32_t rows_used(const struct ledger_table *table) {
    uint32_t used = table->row_size ? table->used : 0; /* no such table in an older ledger */
    return used < table->capacity ? used : table->capacity;
}

/* A text from the file: ended, and nothing in it that steers a terminal. */
static void clean(char *text, size_t size) {
    text[size - 1] = '\0';
    say_printable(text);
}

static void clean_header(struct ledger_header *header) {
    clean(header->run, sizeof header->run);
    clean(header->mode, sizeof header->mode);
    clean(header->program, sizeof header->program);
    clean(header->libpq, sizeof header->libpq);
}

static uint32_t index_within(uint32_t index, uint32_t count) {
    return index < count ? index : LEDGER_ROW_NONE;
}

/* Indexes are checked here, once, so that nobody who uses the arrays has to. */
static void clean_rows(struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->module_count; i++) {
        struct ledger_module *module = &ledger->modules[i];
        clean(module->path, sizeof module->path);
        if (module->build_id_length > sizeof module->build_id)
            module->build_id_length = 0;
    }
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        struct ledger_site *site = &ledger->sites[i];
        clean(site->name, sizeof site->name);
        if (site->depth > LEDGER_FRAMES)
            site->depth = LEDGER_FRAMES;
        for (uint32_t f = 0; f < site->depth; f++)
            if (LEDGER_FRAME_MODULE(site->frames[f]) >= ledger->module_count)
                site->frames[f] = LEDGER_FRAME(LEDGER_NO_MODULE, LEDGER_FRAME_OFFSET(site->frames[f]));
    }
    for (uint32_t i = 0; i < ledger->target_count; i++)
        clean(ledger->targets[i].name, sizeof ledger->targets[i].name);
    for (uint32_t i = 0; i < ledger->handle_count; i++) {
        struct ledger_handle *handle = &ledger->handles[i];
        if (handle->state > LEDGER_HANDLE_HANDED)
            handle->state = LEDGER_HANDLE_FREE;
        clean(handle->statement, sizeof handle->statement);
        handle->ended = index_within(handle->ended, ledger->site_count);
        handle->site = index_within(handle->site, ledger->site_count);
        handle->target = index_within(handle->target, ledger->target_count);
        handle->server = index_within(handle->server, ledger->server_count);
    }
    for (uint32_t i = 0; i < ledger->server_count; i++) {
        struct ledger_server *server = &ledger->servers[i];
        if (server->state > LEDGER_SERVER_OPEN)
            server->state = LEDGER_SERVER_FREE;
        server->target = index_within(server->target, ledger->target_count);
    }
}

/* Tables that came later: an older shim's header ends before them, and then all of this is empty. */
static void clean_later_rows(struct ledger *ledger) {
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        struct ledger_site *site = &ledger->sites[i];
        if (site->script_offset > ledger->text_length ||
            site->script_length > ledger->text_length - site->script_offset)
            site->script_length = 0;
    }
    for (uint32_t i = 0; i < ledger->text_length; i++)
        if ((unsigned char)ledger->texts[i] < ' ' && ledger->texts[i] != '\t' && ledger->texts[i] != '\n')
            ledger->texts[i] = '?';
    for (uint32_t i = 0; i < ledger->misuse_count; i++) {
        struct ledger_misuse *misuse = &ledger->misuses[i];
        clean(misuse->function, sizeof misuse->function);
        misuse->site = index_within(misuse->site, ledger->site_count);
        misuse->place = index_within(misuse->place, ledger->site_count);
        misuse->target = index_within(misuse->target, ledger->target_count);
    }
    for (uint32_t i = 0; i < ledger->span_count; i++) {
        ledger->spans[i].site = index_within(ledger->spans[i].site, ledger->site_count);
        ledger->spans[i].target = index_within(ledger->spans[i].target, ledger->target_count);
        if (ledger->spans[i].state > LEDGER_HANDLE_HANDED)
            ledger->spans[i].state = LEDGER_HANDLE_FREE;
        if (ledger->spans[i].kind > LEDGER_SPAN_BUSY)
            ledger->spans[i].kind = 0;
    }
}

static bool copy_tables(const unsigned char *bytes, struct ledger *into) {
    const struct ledger_header *header = &into->header;
    into->module_count = rows_used(&header->modules);
    into->site_count = rows_used(&header->sites);
    into->target_count = rows_used(&header->targets);
    into->handle_count = rows_used(&header->handles);
    into->server_count = rows_used(&header->servers);
    /* The module's number has 16 bits in a frame, and the last one means "none". */
    if (into->module_count >= LEDGER_NO_MODULE)
        into->module_count = LEDGER_NO_MODULE - 1;
    into->modules = copy_rows(bytes, &header->modules, sizeof *into->modules, into->module_count);
    into->sites = copy_rows(bytes, &header->sites, sizeof *into->sites, into->site_count);
    into->targets = copy_rows(bytes, &header->targets, sizeof *into->targets, into->target_count);
    into->handles = copy_rows(bytes, &header->handles, sizeof *into->handles, into->handle_count);
    into->servers = copy_rows(bytes, &header->servers, sizeof *into->servers, into->server_count);
    into->misuse_count = rows_used(&header->misuses);
    into->span_count = rows_used(&header->spans);
    into->text_length = rows_used(&header->texts);
    into->misuses = copy_rows(bytes, &header->misuses, sizeof *into->misuses, into->misuse_count);
    into->spans = copy_rows(bytes, &header->spans, sizeof *into->spans, into->span_count);
    into->texts = calloc(1, (size_t)into->text_length + 1);
    if (into->texts)
        memcpy(into->texts, bytes + header->texts.offset, into->text_length);
    return into->modules && into->sites && into->targets && into->handles && into->servers && into->misuses &&
           into->spans && into->texts;
}

/* A pid alone would take its next owner for the process. */
static void tell_end(struct ledger *ledger) {
    const struct ledger_header *header = &ledger->header;
    ledger->alive =
        header->process_state == LEDGER_RUNNING && incarnation_is_alive(header->pid, header->process_start);
    ledger->end = ledger->alive ? incarnation_clock() : header->closed_monotonic;
}

/* The header's own claims, before anything is read by them. NULL: they hold. */
static const char *doubt(const struct ledger_header *header, size_t size) {
    if (header->header_size < offsetof(struct ledger_header, counters) || header->header_size > size)
        return "is damaged: the size of its header is impossible";
    if (header->file_size > size)
        return "is truncated";
    const struct ledger_table *tables[] = {&header->modules, &header->sites, &header->targets,
                                           &header->handles, &header->servers};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (!table_fits(tables[i], header->header_size, size))
            return "is damaged: a table lies outside the file";
    const struct ledger_table *later[] = {&header->misuses, &header->spans, &header->texts};
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (later[i]->row_size && !table_fits(later[i], header->header_size, size))
            return "is damaged: a table lies outside the file";
    if (header->texts.row_size > 1)
        return "is damaged: a byte of text is no byte";
    return NULL;
}

bool ledger_parse(const void *bytes, size_t size, struct ledger *into, char *why, size_t why_size) {
    memset(into, 0, sizeof *into);
    const size_t start = offsetof(struct ledger_header, header_size) + sizeof into->header.header_size;
    if (size < start || memcmp(bytes, LEDGER_MAGIC, sizeof into->header.magic) != 0) {
        snprintf(why, why_size, "is not a ledger of pqone");
        return false;
    }
    memcpy(&into->header, bytes, start);
    if (into->header.version != LEDGER_VERSION) {
        snprintf(why, why_size, "is a ledger of version %u, and this pqone reads version %u",
                 into->header.version, LEDGER_VERSION);
        return false;
    }
    /* A header may be shorter than ours (an older shim) or longer (a newer one). */
    size_t known = sizeof into->header;
    if (into->header.header_size < known)
        known = into->header.header_size;
    if (size < known)
        known = size;
    if (known > start)
        memcpy(&into->header, bytes, known);
    const char *wrong = doubt(&into->header, size);
    if (wrong) {
        snprintf(why, why_size, "%s", wrong);
        return false;
    }
    clean_header(&into->header);
    if (!copy_tables(bytes, into)) {
        ledger_release(into);
        snprintf(why, why_size, "does not fit into memory");
        return false;
    }
    clean_rows(into);
    clean_later_rows(into);
    tell_end(into);
    return true;
}

static unsigned char *read_all(int file, size_t *size, char *why, size_t why_size) {
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        snprintf(why, why_size, "is not a regular file");
        return NULL;
    }
    if (status.st_size > FILE_MAX) {
        snprintf(why, why_size, "is too large for a ledger");
        return NULL;
    }
    unsigned char *bytes = malloc(status.st_size ? (size_t)status.st_size : 1);
    *size = 0;
    while (bytes && *size < (size_t)status.st_size) {
        ssize_t got = read(file, bytes + *size, (size_t)status.st_size - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    if (!bytes)
        snprintf(why, why_size, "does not fit into memory");
    return bytes;
}

/* exec keeps pid and start time, and the image that follows takes the next number for its file. */
static bool has_successor(const char *path, const struct ledger_header *header) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *rest;
    char next[4096], *end;
    pid_t pid;
    uint64_t start;
    if (!incarnation_from_name(name, &pid, &start, &rest) || pid != header->pid ||
        start != header->process_start || *rest != '-')
        return false;
    unsigned long number = strtoul(rest + 1, &end, 10);
    if (end == rest + 1 || strcmp(end, LEDGER_SUFFIX) != 0)
        return false;
    int length = snprintf(next, sizeof next, "%.*s-%lu" LEDGER_SUFFIX, (int)(rest - path), path, number + 1);
    return length < (int)sizeof next && access(next, F_OK) == 0;
}

static size_t without_deleted(const char *path) {
    static const char mark[] = " (deleted)";
    size_t length = strlen(path), tail = sizeof mark - 1;
    return length > tail && strcmp(path + length - tail, mark) == 0 ? length - tail : length;
}

/* A running program that was renamed is still the same file. */
static bool is_module(const struct ledger *ledger, const char *link) {
    struct stat status;
    if (stat(link, &status) != 0)
        return false;
    for (uint32_t i = 0; i < ledger->module_count; i++)
        if (ledger->modules[i].inode == status.st_ino)
            return true;
    return false;
}

/* An image that never calls libpq has no ledger, so while it runs only its file tells. What we see of a
 * process in a chroot has more in front than what it saw itself. */
static bool runs_another_image(const struct ledger *ledger) {
    const struct ledger_header *header = &ledger->header;
    char link[64], now[4096];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)header->pid);
    ssize_t got = readlink(link, now, sizeof now - 1);
    size_t length = without_deleted(header->program);
    if (got <= 0 || length == 0 || strlen(header->program) == sizeof header->program - 1)
        return false; /* nobody knows, or the name was cut */
    now[got] = '\0';
    size_t now_length = without_deleted(say_printable(now));
    bool same = now_length >= length && memcmp(now + now_length - length, header->program, length) == 0;
    return !same && !is_module(ledger, link);
}

static void tell_exec(struct ledger *ledger) {
    const struct ledger_header *header = &ledger->header;
    if (header->process_state != LEDGER_RUNNING)
        return;
    ledger->replaced = has_successor(ledger->path, header) || (ledger->alive && runs_another_image(ledger));
    if (ledger->replaced) {
        ledger->alive = false;
        ledger->end = 0;
    }
}

bool ledger_read(const char *path, struct ledger *into, char *why, size_t why_size) {
    memset(into, 0, sizeof *into);
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file < 0) {
        snprintf(why, why_size, "cannot be read: %s", strerror(errno));
        return false;
    }
    size_t size = 0;
    unsigned char *bytes = read_all(file, &size, why, why_size);
    close(file);
    bool good = bytes && ledger_parse(bytes, size, into, why, why_size);
    free(bytes);
    if (good)
        into->path = strdup(path);
    if (good && into->path)
        tell_exec(into);
    return good;
}

void ledger_release(struct ledger *ledger) {
    free(ledger->path);
    free(ledger->modules);
    free(ledger->sites);
    free(ledger->targets);
    free(ledger->handles);
    free(ledger->servers);
    free(ledger->misuses);
    free(ledger->spans);
    free(ledger->texts);
    memset(ledger, 0, sizeof *ledger);
}
