/* ledger_files.h: the ledgers in a directory: those of a run, those of a pid, those to throw away. */
#ifndef PQONE_LEDGER_FILES_H
#define PQONE_LEDGER_FILES_H

#include <sys/types.h>

#include "ledger_reader.h"
#include "verdicts/runners.h"

struct ledger_list {
    struct ledger *ledgers;
    size_t count, capacity;
    char **damaged; /* of a run: a sentence for each of its ledgers that cannot be read */
    size_t damaged_count;
    struct runners runners; /* of a check: who still runs */
};

/* Adds every ledger whose header names `run`, oldest first. */
void ledger_files_of_run(const char *directory, const char *run, struct ledger_list *into);

/* Adds every ledger of a process with that pid, and says of each that cannot be read why; returns how many.
 */
size_t ledger_files_of_pid(const char *directory, pid_t pid, struct ledger_list *into);

/* Adds one; the list owns it from then on. What is there already is not added twice. False: no memory. */
bool ledger_files_add(struct ledger_list *list, struct ledger *ledger);

/* Removes ledgers of dead processes that are older than a day or not among the newest 64, and sockets of
 * dead launchers. Never a living process's, nor one that a living launcher has yet to read. */
void ledger_files_prune(const char *directory);

/* Makes holes of the unused rows in ledgers of dead processes; what is read of them stays the same. */
void ledger_files_trim(const char *directory);

void ledger_files_release(struct ledger_list *list);

#endif
