/*
 * symbols.h: module and offset as "products.c:41 (route_products)", from the debug information on disk.
 *
 * A module is believed only while the file at its path has the build-id that the process saw; a library
 * rebuilt since would otherwise give a wrong line. Not thread-safe; answers are kept per module.
 */
#ifndef PQONE_SYMBOLS_H
#define PQONE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger_reader.h"

struct symbols;

/* One frame; texts are the caller's own. */
struct symbol {
    char function[160]; /* "" if unknown */
    char file[512];     /* source path, "" without debug information */
    int line;
    char module[256]; /* path, "" for a bare address */
    uint64_t offset;  /* in the module; in the function when there is one but no line */
    bool replaced;    /* the file on disk is another one than the process had */
};

struct symbols *symbols_new(void);
void symbols_free(struct symbols *symbols);

/* The frame of that number, 0 is the innermost, of a call site. False: there is none. */
bool symbols_frame(struct symbols *symbols, const struct ledger *ledger, uint32_t site, uint32_t frame,
                   struct symbol *into);

/* "products.c:41 (route_products)", else "function+0x1c (module)", else "module+0x1234". Returns `into`. */
char *symbols_text(const struct symbol *symbol, char *into, size_t size);

/* The call site's innermost frame as text; falls back to the name that the process itself noted. */
char *symbols_site(struct symbols *symbols, const struct ledger *ledger, uint32_t site, char *into,
                   size_t size);

#endif
