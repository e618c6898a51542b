/* misuse.h: libpq's contract broken: one row in the ledger and one log line for each kind and place. */
#ifndef PQONE_MISUSE_H
#define PQONE_MISUSE_H

#include <stdbool.h>
#include <stdint.h>

enum misuse {
    MISUSE_NONE,
#define MISUSE(name, word, weight, says, advice) MISUSE_##name,
#include "misuse.def"
#undef MISUSE
    MISUSES
};

struct misuse_row {
    const char *word, *says, *advice;
    bool is_note;
};

/* The row of a kind; NULL for MISUSE_NONE and anything out of range. */
const struct misuse_row *misuse_row(uint32_t kind);

/* What is known of the handle; UINT32_MAX and NULL for what is not. */
struct misused {
    uint32_t site, target; /* where it was opened, to what */
    uint64_t handle;       /* its number */
    const char *function;  /* libpq's function that was called */
    const char *name;      /* the target's, for the log line */
};

/* Counts, writes down and, unless it is a note, logs. `caller` is the return address into the program, or
 * NULL: the stack is captured here either way. Thread-safe; no engine lock may be held; keeps errno. */
void misuse_happened(enum misuse kind, const struct misused *what, void *caller);

/* The same for a misuse whose place is known, or is none (UINT32_MAX), and that was found `count` times. */
void misuse_found(enum misuse kind, const struct misused *what, uint32_t place, uint64_t count);

#endif
