/* handover.h: which process answers for a handle that a fork has copied. */
#ifndef PQONE_HANDOVER_H
#define PQONE_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "../ledger_files.h"

enum heir {
    HEIR_NONE = 0, /* the process that opened it answers for it */
    HEIR_RUNS,     /* a child that has it is still running, and may use or finish it yet */
    HEIR_PARENT,   /* of a child's row: the process that opened it has finished it, for both */
    HEIR_LEAKS,    /* a child took it over and did not finish it: counted there */
    HEIR_FINISHED, /* a child used and finished it, and the process that opened it had used it no more */
};

/* For each ledger an array with an enum heir for each of its rows of handles. NULL: no memory; free with
 * handover_free. */
uint8_t **handover_resolve(const struct ledger_list *list);
void handover_free(uint8_t **heirs, const struct ledger_list *list);

#endif
