/*
 * call_site.h: the stack at a PQconnect*, kept as module and offset in the ledger.
 *
 * Addresses alone would lie after a dlclose (hot reload maps the next module to the same place), so a
 * known stack is recognised by its addresses only while no object was unloaded in between.
 */
#ifndef PQONE_CALL_SITE_H
#define PQONE_CALL_SITE_H

#include <stddef.h>
#include <stdint.h>

#define CALL_SITE_NONE UINT32_MAX

/* The ledger row of the stack that leads to `caller` (a return address in the exported wrapper: frames
 * of the shim itself, and of libpq, are left out) and of the script that runs on it. PQONE_STACK frames; 1 is
 * the caller alone and unwinds nothing, 0 gives CALL_SITE_NONE, as does a full table. Thread-safe; no engine
 * lock may be held. */
uint32_t call_site_here(void *caller);

/* The row of one call alone, whose stack is gone: `caller` is its return address. */
uint32_t call_site_of(void *caller);

/* What can be said of a site inside this process: "app/db.py:41 (get_conn)", or for want of a script
 * "function+0x1c (module)". Returns `buffer`. */
const char *call_site_name(uint32_t site, char *buffer, size_t size);

#endif
