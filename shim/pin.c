/* pin.c: the rows of pin.def as data. */
#include "pin.h"

static const struct pin_row rows[PIN_REASONS] = {
    [PIN_NONE] = {"none", "is not pinned", "none", TAINT_UNTOUCHED},
#define PIN(name, word, taint, says, lift) [PIN_##name] = {word, says, lift, TAINT_##taint},
#include "pin.def"
#undef PIN
};

const struct pin_row *pin_row(uint32_t reason) {
    return &rows[reason < PIN_REASONS ? reason : PIN_NONE];
}
