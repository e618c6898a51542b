/*
 * symbols.h: module and offset as functions, files and lines, from the symbols and debug information on disk.
 *
 * A module is believed only while the file at its path is the one that the process had: the same build-id, or
 * the same inode where there is none. A library rebuilt since would otherwise give a wrong line. Answers are
 * kept, by module and address. Not thread-safe.
 *
 * Servers in DEBUGINFOD_URLS are asked while that is in the environment, for a bounded time over all modules;
 * whoever cannot wait for a network takes it out.
 */
#ifndef PQONE_SYMBOLS_H
#define PQONE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../ledger_reader.h"

struct symbols;

/* A function around an address. */
struct symbol {
    char *function; /* demangled, "" if unknown */
    char *file;     /* source path as the debug information has it, "" without */
    int line;       /* 0 if unknown */
    bool inlined;   /* into the next one */
};

/* Everything that is known of one address: the functions around it, innermost first. */
struct place_in_object {
    struct symbol *symbols;
    size_t count;
    uint64_t within; /* offset in the last function, the one that is really in the machine's code */
    bool replaced;   /* the file at the module's path is another one by now */
    bool gone;       /* nothing is at that path any more */
};

struct symbols *symbols_new(void);
void symbols_free(struct symbols *symbols);

/* What is at an offset in a module. Never NULL; the answer belongs to `symbols`. */
const struct place_in_object *symbols_look_up(struct symbols *symbols, const struct ledger_module *module,
                                              uint64_t offset);

#endif
