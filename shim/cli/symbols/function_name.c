/* function_name.c: a function's name as its programmer wrote it. */
#include "function_name.h"

#include <dwarf.h>
#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of names and of their nesting: beyond it nobody reads, and a damaged file could go on for ever. */
enum { NAME_MAX_LENGTH = 4096, HOPS_MAX = 8, SCOPES_MAX = 32 };

/* "f() [clone .cold]": where the compiler put a part of f is nothing that its programmer wrote. */
static void drop_clones(char *name) {
    char *clone = strstr(name, " [clone ");
    if (clone)
        *clone = '\0';
}

/* What a programmer writes as std::string. Shorter, so it fits in place. */
static void say_string(char *name) {
    static const char *const words[] = {
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
        "std::basic_string<char, std::char_traits<char>, std::allocator<char> >"};
    static const char string[] = "std::string";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (char *at; (at = strstr(name, words[i]));) {
            char *rest = at + strlen(words[i]);
            rest += rest[0] == ' ' && rest[1] == '>';
            memcpy(at, string, strlen(string));
            memmove(at + strlen(string), rest, strlen(rest) + 1);
        }
}

char *function_name_demangled(const char *mangled) {
    if (strnlen(mangled, NAME_MAX_LENGTH) == NAME_MAX_LENGTH)
        return NULL;
    /* Rust's older names are C++ names with a hash at the end, so it is asked first. */
    char *name = rust_demangle(mangled, DMGL_NO_OPTS);
    if (!name && mangled[0] == '_')
        name = cplus_demangle_v3(mangled, DMGL_NO_OPTS);
    if (name) {
        drop_clones(name);
        say_string(name);
    }
    return name;
}

static bool is_c(Dwarf_Die *unit) {
    switch (dwarf_srclang(unit)) {
    case -1: /* assembler, or nothing said */
    case DW_LANG_C:
    case DW_LANG_C89:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_Mips_Assembler:
        return true;
    }
    return false;
}

/* From an inlined instance or an out-of-line body to where the function stands in its class or namespace. */
static void find_declaration(Dwarf_Die *function, Dwarf_Die *into) {
    static const unsigned links[] = {DW_AT_abstract_origin, DW_AT_specification};
    *into = *function;
    for (int hop = 0, found = 1; found && hop < HOPS_MAX; hop++) {
        found = 0;
        for (size_t i = 0; i < sizeof links / sizeof *links && !found; i++) {
            Dwarf_Attribute attribute;
            Dwarf_Die next;
            if (dwarf_attr(into, links[i], &attribute) && dwarf_formref_die(&attribute, &next)) {
                *into = next;
                found = 1;
            }
        }
    }
}

static const char *name_of_scope(Dwarf_Die *scope) {
    switch (dwarf_tag(scope)) {
    case DW_TAG_namespace:
        return dwarf_diename(scope) ? dwarf_diename(scope) : "(anonymous namespace)";
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
    case DW_TAG_subprogram:
        return dwarf_diename(scope);
    }
    return NULL;
}

/* "name" with the namespaces and classes around its declaration in front. */
static char *qualified(Dwarf_Die *function, const char *name) {
    Dwarf_Die declaration, *scopes = NULL;
    find_declaration(function, &declaration);
    int count = dwarf_getscopes_die(&declaration, &scopes);
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int i = count < SCOPES_MAX ? count - 1 : SCOPES_MAX; out && i > 0; i--) {
        const char *scope = name_of_scope(&scopes[i]);
        if (scope)
            fprintf(out, "%.*s::", NAME_MAX_LENGTH, scope);
    }
    if (out) {
        fprintf(out, "%.*s", NAME_MAX_LENGTH, name);
        fclose(out);
    }
    free(scopes);
    return text;
}

char *function_name_of(Dwarf_Die *function, Dwarf_Die *unit, const char *symbol) {
    Dwarf_Attribute attribute;
    const char *mangled = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_linkage_name, &attribute));
    if (!mangled)
        mangled = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_MIPS_linkage_name, &attribute));
    char *text = mangled ? function_name_demangled(mangled) : NULL;
    const char *name = dwarf_formstring(dwarf_attr_integrate(function, DW_AT_name, &attribute));
    bool plain = is_c(unit);
    if (!text && symbol && !plain)
        text = function_name_demangled(symbol);
    if (!text && name && !plain)
        text = qualified(function, name);
    if (!text)
        text = strndup(name ? name : mangled ? mangled : "", NAME_MAX_LENGTH);
    return text;
}
