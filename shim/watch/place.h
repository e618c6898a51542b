/*
 * place.h: the directory of the ledgers, for the shim that writes them and the launcher that reads them.
 *
 * What lies there names targets, call sites and pids, so it has to be ours alone: a real directory (no
 * symbolic link), owned by the effective user, no access for group and others. Anything else is refused,
 * never repaired: somebody else may have put it there.
 */
#ifndef PQONE_PLACE_H
#define PQONE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/* Finds the directory and makes it (its last part only) if it is missing: `asked` (PQONE_LEDGER_DIR, may
 * be NULL), else $XDG_RUNTIME_DIR/pqone where that variable names a directory of ours, else
 * /tmp/pqone-UID. False: `why` holds one sentence. Allocates nothing, keeps errno. */
bool place_of_ledgers(const char *asked, char *path, size_t size, char *why, size_t why_size);

#endif
