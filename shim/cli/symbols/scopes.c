/* scopes.c: the functions around an address, by debug information. */
#include "scopes.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "function_name.h"

enum { DEPTH_MAX = 64, ENTRIES_MAX = 8 << 20 };

/* A unit whose functions were put into a .dwo file: that file's unit, or the same one again if it is not
 * there any more. */
static Dwarf_Die with_functions(Dwarf_Die *unit) {
    Dwarf_Die split = {0};
    uint8_t type;
    if (dwarf_cu_info(unit->cu, NULL, &type, NULL, &split, NULL, NULL, NULL) == 0 && type == DW_UT_skeleton &&
        split.addr)
        return split;
    return *unit;
}

/* A name as the compiler was given it is relative to where the compiler ran; two libraries may each have a
 * src/main.c. A build that hid that place (".") keeps its relative names. */
static char *whole_name(Dwarf_Die *unit, const char *file) {
    Dwarf_Attribute attribute;
    const char *directory = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir, &attribute));
    char *name;
    if (*file == '/' || !directory || *directory != '/')
        return strdup(file);
    return asprintf(&name, "%s/%s", directory, file) < 0 ? NULL : name;
}

/* Where the function was called that a compiler inlined: becomes the line of the function around it. */
static void find_call(Dwarf_Die *inlined, Dwarf_Die *unit, struct symbol *caller) {
    Dwarf_Attribute attribute;
    Dwarf_Word number = 0, line = 0;
    Dwarf_Files *files;
    size_t count;
    if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) != 0 || line > INT32_MAX ||
        dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &number) != 0 ||
        dwarf_getsrcfiles(unit, &files, &count) != 0 || number >= count)
        return;
    const char *file = dwarf_filesrc(files, number, NULL, NULL);
    if (!file)
        return;
    caller->file = whole_name(unit, file);
    caller->line = (int)line;
}

static void find_line(Dwarf_Die *unit, Dwarf_Addr address, struct symbol *into) {
    Dwarf_Line *line = dwarf_getsrc_die(unit, address);
    int number;
    const char *file = line ? dwarf_linesrc(line, NULL, NULL) : NULL;
    if (!file || dwarf_lineno(line, &number) != 0 || number <= 0)
        return;
    into->file = whole_name(unit, file);
    into->line = number;
}

static bool is_function(Dwarf_Die *entry) {
    int tag = dwarf_tag(entry);
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point;
}

/* What may hold functions: with addresses of its own, which must match, or without any. */
static bool may_hold(Dwarf_Die *entry, Dwarf_Addr address) {
    switch (dwarf_tag(entry)) {
    case DW_TAG_subprogram:
    case DW_TAG_inlined_subroutine:
    case DW_TAG_entry_point:
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
    case DW_TAG_with_stmt:
        return dwarf_haspc(entry, address) > 0;
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
        return true;
    }
    return false;
}

struct path {
    Dwarf_Die functions[DEPTH_MAX]; /* outermost first */
    size_t count;
    unsigned left; /* entries that may still be looked at: a damaged file can go in a circle */
};

/* Walks by itself, since dwarf_getscopes() loses what link-time optimisation inlined from one unit into
 * another. */
static bool find_functions(Dwarf_Die *parent, Dwarf_Addr address, unsigned depth, struct path *path) {
    Dwarf_Die entry;
    if (depth == DEPTH_MAX || dwarf_child(parent, &entry) != 0)
        return false;
    do {
        if (!may_hold(&entry, address))
            continue;
        bool function = is_function(&entry);
        if (function && path->count < DEPTH_MAX)
            path->functions[path->count++] = entry;
        if (find_functions(&entry, address, depth + 1, path) || function)
            return true;
    } while (path->left && path->left-- && dwarf_siblingof(&entry, &entry) == 0);
    return false;
}

size_t scopes_at(Dwarf_Die *unit, Dwarf_Addr address, const char *symbol, struct symbol *into, size_t room) {
    Dwarf_Die full = with_functions(unit);
    struct path path = {.count = 0, .left = ENTRIES_MAX};
    struct symbol *next = into;
    memset(into, 0, room * sizeof *into);
    find_line(unit, address, next);
    find_functions(&full, address, 0, &path);
    while (path.count && next < into + room) {
        Dwarf_Die *function = &path.functions[--path.count];
        next->inlined = dwarf_tag(function) == DW_TAG_inlined_subroutine;
        next->function = function_name_of(function, &full, next->inlined ? NULL : symbol);
        next++;
        if (!next[-1].inlined)
            break;
        if (next < into + room)
            find_call(function, &full, next);
    }
    /* A line without a function around it: code in assembler. */
    if (next < into + room && next->line)
        next++;
    if (next > into)
        next[-1].inlined = false;
    return (size_t)(next - into);
}
