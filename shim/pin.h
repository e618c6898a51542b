/* pin.h: why a handle keeps a server connection to itself; the list is pin.def. */
#ifndef PQONE_PIN_H
#define PQONE_PIN_H

#include <stdint.h>

enum taint { TAINT_UNTOUCHED, TAINT_RESETTABLE, TAINT_UNKNOWN };

enum pin_reason {
    PIN_NONE,
#define PIN(name, word, taint, says, lift) PIN_##name,
#include "pin.def"
#undef PIN
    PIN_REASONS
};

struct pin_row {
    const char *word, *says, *lift;
    enum taint taint;
};

_Static_assert(PIN_REASONS <= 32, "the ledger counts by reason: LEDGER_PIN_REASONS");

/* The row of a reason; PIN_NONE and anything out of range give a row that says "not pinned". */
const struct pin_row *pin_row(uint32_t reason);

#endif
