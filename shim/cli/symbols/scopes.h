/* scopes.h: the functions around an address, by debug information: what was inlined there, and into what. */
#ifndef PQONE_SCOPES_H
#define PQONE_SCOPES_H

#include <elfutils/libdw.h>

#include "symbols.h"

/* Fills `into` with at most `room` functions around `address` (as the unit's debug information counts), the
 * innermost first; the texts are the caller's to free. `symbol`: as function_name_of() wants it, for the last
 * one. Returns how many; the first has a line also when no function is known. 0: nothing is known. */
size_t scopes_at(Dwarf_Die *unit, Dwarf_Addr address, const char *symbol, struct symbol *into, size_t room);

#endif
