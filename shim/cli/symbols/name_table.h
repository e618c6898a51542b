/* name_table.h: the functions of a module's symbol table, by address. */
#ifndef PQONE_NAME_TABLE_H
#define PQONE_NAME_TABLE_H

#include <elfutils/libdwfl.h>

/* All zero before it is read. */
struct name_table {
    struct named_function *functions;
    size_t count;
};

/* Reads it once; libdw's own search goes through all symbols for every question. */
void name_table_read(struct name_table *table, Dwfl_Module *module);
void name_table_release(struct name_table *table);

/* The function that the address is surely inside of, and how far; NULL if there is none: a stripped library's
 * nearest name is often another function's. The name belongs to the module. */
const char *name_table_find(const struct name_table *table, Dwarf_Addr address, uint64_t *within);

#endif
