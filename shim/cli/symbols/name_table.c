/* name_table.c: the functions of a module's symbol table, by address. */
#include "name_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct named_function {
    Dwarf_Addr begin, end;
    const char *name;
    bool is_local;
};

/* Functions that begin before an address and may still reach over it: some lie inside of others. */
enum { OVERLAPS_MAX = 8 };

/* Of several names for one place the one that others can use comes last, where the search looks first. */
static int compare(const void *left, const void *right) {
    const struct named_function *one = left, *other = right;
    if (one->begin != other->begin)
        return one->begin < other->begin ? -1 : 1;
    if (one->is_local != other->is_local)
        return one->is_local ? -1 : 1;
    return strcmp(other->name, one->name);
}

void name_table_read(struct name_table *table, Dwfl_Module *module) {
    int count = dwfl_module_getsymtab(module);
    table->functions = count > 0 ? calloc((size_t)count, sizeof *table->functions) : NULL;
    for (int i = 0; table->functions && i < count; i++) {
        GElf_Sym symbol;
        GElf_Addr begin;
        const char *name = dwfl_module_getsym_info(module, i, &symbol, &begin, NULL, NULL, NULL);
        int type = GELF_ST_TYPE(symbol.st_info);
        if (!name || !*name || symbol.st_size == 0 || symbol.st_shndx == SHN_UNDEF ||
            (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
            continue;
        table->functions[table->count++] = (struct named_function){begin, begin + symbol.st_size, name,
                                                                   GELF_ST_BIND(symbol.st_info) == STB_LOCAL};
    }
    if (table->count)
        qsort(table->functions, table->count, sizeof *table->functions, compare);
}

void name_table_release(struct name_table *table) {
    free(table->functions);
    *table = (struct name_table){0};
}

const char *name_table_find(const struct name_table *table, Dwarf_Addr address, uint64_t *within) {
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->functions[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    for (size_t i = low; i > 0 && low - i < OVERLAPS_MAX; i--)
        if (address < table->functions[i - 1].end) {
            *within = address - table->functions[i - 1].begin;
            return table->functions[i - 1].name;
        }
    return NULL;
}
