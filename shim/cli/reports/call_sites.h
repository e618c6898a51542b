/* call_sites.h: the call sites of all processes of a report: two stacks that read the same are one. */
#ifndef PQONE_CALL_SITES_H
#define PQONE_CALL_SITES_H

#include "../ledger_files.h"
#include "../symbols/stack.h"

struct call_site {
    struct stack stack;
    char name[512]; /* the frame that names it */
    char *title;    /* the same, with the callers that tell it from other sites of that name */
    uint64_t opened, finished, failed, duplicates, left;
    uint32_t alive_peak; /* the largest of any process */
};

struct call_sites {
    struct call_site *sites;
    size_t count;
    uint32_t **of_row; /* for each ledger, and for each row of its sites, which of `sites` that is, or
                          LEDGER_ROW_NONE where nothing was opened */
    size_t ledgers;
};

/* False: no memory. */
bool call_sites_gather(const struct ledger_list *list, struct symbols *symbols, struct call_sites *into);
void call_sites_release(struct call_sites *sites);

/* Which of them a row is; LEDGER_ROW_NONE for no row. */
uint32_t call_sites_of(const struct call_sites *sites, size_t ledger, uint32_t row);

#endif
