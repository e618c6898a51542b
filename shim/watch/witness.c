/* witness.c: the page in which the processes of a check note what no ledger can tell. */
#include "witness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct witness_page *page;
static char run[64], directory[4096];

struct witness_page *witness_page(void) {
    return page;
}

const char *witness_run(void) {
    return run;
}

const char *witness_directory(void) {
    return directory;
}

static struct witness_page *map(int file) {
    void *mapped = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    return mapped == MAP_FAILED ? NULL : mapped;
}

void witness_attach(void) {
    const char *name = secure_getenv("PQONE_RUN"), *place = secure_getenv("PQONE_LEDGER_DIR");
    char path[sizeof directory + sizeof run + sizeof WITNESS_SUFFIX];
    struct stat status;
    int error = errno;
    if (page || !name || !*name || strlen(name) >= sizeof run || strchr(name, '/') || !place ||
        place[0] != '/' || strlen(place) >= sizeof directory)
        return;
    snprintf(path, sizeof path, "%s/%s" WITNESS_SUFFIX, place, name);
    int file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0) {
        /* A shorter file would be a SIGBUS in somebody else's program. */
        struct witness_page *mapped =
            fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= (off_t)sizeof *page
                ? map(file)
                : NULL;
        if (mapped && (memcmp(mapped->magic, WITNESS_MAGIC, sizeof mapped->magic) != 0 ||
                       mapped->size != sizeof *page)) {
            munmap(mapped, sizeof *page);
            mapped = NULL;
        }
        if (mapped) {
            strcpy(run, name);
            strcpy(directory, place);
            atomic_fetch_add(&mapped->loaded, 1);
            page = mapped;
        }
        close(file);
    }
    errno = error;
}

struct witness_row *witness_note(enum witness_kind kind, const char *text) {
    if (!page)
        return NULL;
    uint32_t at = atomic_fetch_add(&page->used, 1);
    if (at >= WITNESS_ROWS)
        return NULL;
    struct witness_row *row = &page->rows[at];
    size_t length = 0;
    row->pid = (int32_t)getpid();
    for (; text[length] && length + 1 < sizeof row->text; length++)
        row->text[length] = text[length];
    row->text[length] = '\0';
    atomic_store(&row->kind, (uint32_t)kind);
    return row;
}

struct witness_row *witness_note_once(enum witness_kind kind, const char *text) {
    uint32_t used = page ? atomic_load(&page->used) : 0;
    for (uint32_t i = 0; i < used && i < WITNESS_ROWS; i++)
        if (atomic_load(&page->rows[i].kind) == (uint32_t)kind &&
            strncmp(page->rows[i].text, text, sizeof page->rows[i].text - 1) == 0)
            return NULL;
    return witness_note(kind, text);
}

/* The last row is given back, since a search through PATH fails many times before it finds. */
void witness_take_back(struct witness_row *row) {
    if (!row)
        return;
    uint32_t used = (uint32_t)(row - page->rows) + 1;
    atomic_store(&row->kind, 0);
    atomic_compare_exchange_strong(&page->used, &used, used - 1);
}

struct witness_page *witness_make(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return NULL;
    int error = posix_fallocate(file, 0, sizeof *page);
    struct witness_page *made = error ? NULL : map(file);
    if (!made && !error)
        error = errno;
    close(file);
    if (!made) {
        unlink(path);
        errno = error;
        return NULL;
    }
    made->size = sizeof *made;
    made->owner = geteuid();
    memcpy(made->magic, WITNESS_MAGIC, sizeof made->magic);
    return made;
}
