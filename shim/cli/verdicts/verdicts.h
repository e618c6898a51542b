/*
 * verdicts.h: what a check found, over all processes of a run, once for every report format and for the gate.
 *
 * A finding is a kind at a place: handles (or events) of one kind whose call sites read the same are one
 * finding, with a count. Findings are sorted: those that fail the check first, then by kind, biggest first.
 */
#ifndef PQONE_VERDICTS_H
#define PQONE_VERDICTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../watch/misuse.h"
#include "../ledger_files.h"
#include "../symbols/stack.h"

/* In the order of reports. The first three are leaks: what --fail-on leak means, --fail-on held means the
 * second and the third (nobody could look, so it is not called lost). */
enum finding_kind {
    FINDING_LOST,    /* unfinished, and nothing in memory points at it any more; of a running process too */
    FINDING_HELD,    /* unfinished at the end, and something still pointed at it */
    FINDING_UNKNOWN, /* unfinished when the process ended in a way that let nobody look: _exit, exec, a signal
                      */
    FINDING_MISUSE,
    FINDING_BUDGET, /* more handles alive at once for a target than --budget allows */
    FINDING_DUPLICATE,
    FINDING_LEFT,   /* finished by a runtime's shutdown, not by the program */
    FINDING_HANDED, /* opened before a fork, used and finished by the child alone: no leak, said as it is */
    FINDING_KINDS
};

struct finding {
    enum finding_kind kind;
    const struct misuse_row *misuse; /* of FINDING_MISUSE, else NULL; NULL too where only a number is known */
    uint64_t count;
    uint64_t never_connected; /* of the unfinished ones: failed connects, which leak memory and sockets too */
    struct stack opened;      /* where the handles were opened; empty for a budget */
    struct stack place; /* misuse: where it happened; left to a handler of exit(): its PQfinish; else empty */
    const char *says;   /* one sentence without place and target, e.g. "PQfinish on a handle that was ..." */
    const char *advice; /* what to do, a clause without full stop; "" if there is nothing to do */
    const char *target; /* user@host:port/dbname, "" if several or unknown; belongs to the ledgers */
    const char *function;      /* libpq's function of a misuse, else "" */
    const char *statement;     /* outline of the last statement, "" if nobody kept it */
    pid_t pid;                 /* the first process it was found in */
    const char *program;       /* that process's program */
    size_t processes;          /* how many it was found in */
    uint64_t budget;           /* of FINDING_BUDGET: what was allowed; count is the peak */
    int64_t age, unused;       /* of the oldest unfinished one at the end, nanoseconds; -1 if nobody knows */
    const char *suppressed_by; /* the pattern, else NULL */
    bool is_note;              /* never fails the check */
    bool is_known;             /* in the baseline */
    bool fails;                /* counts for the exit status */
    char *identity;            /* the same in another run: kind, misuse word, stack_identity() */
    char *opened_name, *place_name; /* of the two stacks: tells them from those of the other findings; NULL:
                                       as their first frames read */
    uint64_t known, grown; /* what the baseline has of its identity, and how many more there are now */
};

/* A process that had not ended when the command had: what it still holds is not judged. */
struct running {
    pid_t pid;
    const char *program;
    uint64_t handles; /* unfinished ones that are not lost, and those it may yet finish for a forefather */
    bool watched;     /* it has a ledger */
};

/* Over all processes. Peaks of different processes do not add up: these are the largest of any. */
struct totals {
    uint64_t opened, finished, failed_connects, duplicates, statements;
    uint64_t alive_peak, busy_peak,
        needed; /* needed: server connections that would have done, in the process with the peak */
    uint64_t lost, held, unknown, left, handed, misuses; /* misuses: those that are no notes */
    uint64_t servers_peak;
    uint64_t unjudged; /* unfinished, but a process that still runs may finish them yet */
    bool running;      /* a process with handles of its own still runs */
    size_t duplicate_places, processes;
};

struct verdicts {
    struct finding *findings;
    size_t count;
    size_t failing; /* findings with `fails` */
    struct running *running;
    size_t running_count;
    struct totals totals;
};

struct gate; /* --fail-on, --budget, suppressions, baseline: gate.h */

/* `gate` may be NULL: then nothing fails and nothing is suppressed. False: no memory. */
bool verdicts_gather(const struct ledger_list *list, struct symbols *symbols, struct gate *gate,
                     struct verdicts *into);
void verdicts_release(struct verdicts *verdicts);

/* "lost", "held", "unknown", "misuse", "budget", "duplicate", "left", "handed": the words of every format. */
const char *finding_word(enum finding_kind kind);

/* Where its handles were opened, and its other place, in a line: "db.c:6 (db_open) < users.c:20 (find_user)"
 * where db_open is not enough to tell it from other findings. Return `into`. */
char *finding_opened(const struct finding *finding, char *into, size_t size);
char *finding_place(const struct finding *finding, char *into, size_t size);

/* Are its handles unfinished: lost, held or unknown? */
bool finding_is_leak(const struct finding *finding);

#endif
