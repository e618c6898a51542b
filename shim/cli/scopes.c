/* scopes.c: the functions around an address, by debug information. */
#include "scopes.h"

#include <dwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "function_name.h"

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

static bool is_function(Dwarf_Die *scope) {
    int tag = dwarf_tag(scope);
    return tag == DW_TAG_subprogram || tag == DW_TAG_inlined_subroutine || tag == DW_TAG_entry_point;
}

/* The scopes as they are nested in the machine's code. dwarf_getscopes() alone goes from an inlined function
 * to where its source stands. */
static int nested_scopes(Dwarf_Die *unit, Dwarf_Addr address, Dwarf_Die **scopes) {
    Dwarf_Die *lexical = NULL;
    int count = dwarf_getscopes(unit, address, &lexical);
    *scopes = NULL;
    if (count > 0)
        count = dwarf_getscopes_die(&lexical[0], scopes);
    free(lexical);
    return count;
}

size_t scopes_at(Dwarf_Die *unit, Dwarf_Addr address, const char *symbol, struct symbol *into, size_t room) {
    Dwarf_Die full = with_functions(unit), *scopes;
    struct symbol *next = into;
    memset(into, 0, room * sizeof *into);
    find_line(unit, address, next);
    int count = nested_scopes(&full, address, &scopes);
    for (int i = 0; i < count && next < into + room; i++) {
        if (!is_function(&scopes[i]))
            continue;
        next->inlined = dwarf_tag(&scopes[i]) == DW_TAG_inlined_subroutine;
        next->function = function_name_of(&scopes[i], &full, next->inlined ? NULL : symbol);
        next++;
        if (!next[-1].inlined)
            break;
        if (next < into + room)
            find_call(&scopes[i], &full, next);
    }
    free(scopes);
    /* A line without a function around it: code in assembler. */
    if (next < into + room && next->line)
        next++;
    if (next > into)
        next[-1].inlined = false;
    return (size_t)(next - into);
}
