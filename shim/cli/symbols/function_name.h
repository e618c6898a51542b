/* function_name.h: a function's name as its programmer wrote it. */
#ifndef PQONE_FUNCTION_NAME_H
#define PQONE_FUNCTION_NAME_H

#include <elfutils/libdw.h>

/* "shop::Pool<int>::connect" for a mangled C++ or Rust name, without parameters; NULL if it is not one. To be
 * freed. */
char *function_name_demangled(const char *mangled);

/* Of a subprogram or an inlined one. `symbol` is the symbol table's name for it, or NULL: it knows the scope
 * of a C++ function whose debug information has no mangled name. "" without any name; NULL: no memory. To be
 * freed. */
char *function_name_of(Dwarf_Die *function, Dwarf_Die *unit, const char *symbol);

#endif
