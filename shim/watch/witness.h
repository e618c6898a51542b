/*
 * witness.h: one page for all processes of a check, in which they note what no ledger can tell: that a
 * program was executed out of sight, or that a ledger could not be made.
 *
 * The launcher makes DIRECTORY/RUN.witness, with all its blocks; every process that has the shim in it maps
 * the file when it is loaded. So a full disk, closed descriptors, a cleared environment, a new root or
 * another user cannot stop a note, and making one is a few stores: fit for a signal handler or the child of
 * vfork.
 */
#ifndef PQONE_WITNESS_H
#define PQONE_WITNESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WITNESS_MAGIC "pqoneWIT"
#define WITNESS_SUFFIX ".witness"
enum { WITNESS_ROWS = 60, WITNESS_TEXT = 256 };

enum witness_kind {
    WITNESS_ESCAPED = 1,    /* a program was executed without our library or the run's name */
    WITNESS_PRIVILEGED = 2, /* ... whose privileges make the loader ignore LD_PRELOAD */
    WITNESS_OTHER_USER = 3, /* ... by a user who cannot write into the ledgers' directory */
    WITNESS_NO_LEDGER = 4,  /* the ledger could not be made: the text says why */
    WITNESS_OTHER_RUN = 5,  /* a program was executed under another launcher of ours */
    WITNESS_STATIC = 6,     /* ... that has no loader, so that nothing gets into it; its absolute path */
};

struct witness_row {
    _Atomic uint32_t kind; /* written last; 0: not complete, or taken back */
    int32_t pid;
    char text[WITNESS_TEXT]; /* path of the program, or why */
};

struct witness_page {
    char magic[8];
    uint32_t size, owner;    /* of this struct; uid of the launcher */
    _Atomic uint32_t used;   /* may exceed the rows: what found no room still counts */
    _Atomic uint32_t loaded; /* how often the shim was loaded, exec by exec */
    struct witness_row rows[WITNESS_ROWS];
};

/* Maps the page of this run, if the environment names one. Called once, when the shim is loaded. */
void witness_attach(void);

/* The page, or NULL: nobody wants to know. Valid in children too. */
struct witness_page *witness_page(void);

/* PQONE_RUN and PQONE_LEDGER_DIR as they were when the page was mapped; "" without a page. */
const char *witness_run(void);
const char *witness_directory(void);

/* Notes it; NULL without a page or room. Async-signal-safe, keeps errno. */
struct witness_row *witness_note(enum witness_kind kind, const char *text);
/* The same, unless it is noted already: what a build does a thousand times takes one row. */
struct witness_row *witness_note_once(enum witness_kind kind, const char *text);
/* It did not happen after all. NULL is harmless. */
void witness_take_back(struct witness_row *row);

/* The launcher's: makes and maps the page; NULL with errno. */
struct witness_page *witness_make(const char *path);

#endif
