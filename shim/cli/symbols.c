/* symbols.c: module and offset as file, line and function. */
#include "symbols.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that was opened for a module, or could not be; `dwfl` is NULL then. Kept by path and build-id:
 * a reloaded library has one path and several builds in the same ledger. */
struct object {
    struct object *next;
    char path[256];
    uint32_t build_id_length;
    uint8_t build_id[36];
    Dwfl *dwfl;
    Dwfl_Module *module;
    bool replaced;
};

struct symbols {
    struct object *objects;
};

struct symbols *symbols_new(void) {
    return calloc(1, sizeof(struct symbols));
}

void symbols_free(struct symbols *symbols) {
    if (!symbols)
        return;
    for (struct object *object = symbols->objects, *next; object; object = next) {
        next = object->next;
        if (object->dwfl)
            dwfl_end(object->dwfl);
        free(object);
    }
    free(symbols);
}

/* The path comes from a ledger, so it may name anything: a pipe or a terminal must not be waited for. */
static int open_regular(const char *path) {
    struct stat status;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0 && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode))) {
        close(file);
        return -1;
    }
    return file;
}

static bool same_build(const struct object *object) {
    const unsigned char *bits;
    GElf_Addr address;
    int length = dwfl_module_build_id(object->module, &bits, &address);
    if (length < 0)
        length = 0;
    return (uint32_t)length == object->build_id_length &&
           (length == 0 || memcmp(bits, object->build_id, (size_t)length) == 0);
}

static void load(struct object *object) {
    static char *debug_path;
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = dwfl_standard_find_debuginfo,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debug_path,
    };
    if (object->path[0] != '/')
        return;
    int file = open_regular(object->path);
    if (file < 0)
        return;
    object->dwfl = dwfl_begin(&callbacks);
    if (object->dwfl) {
        dwfl_report_begin(object->dwfl);
        object->module = dwfl_report_offline(object->dwfl, "", object->path, file);
        dwfl_report_end(object->dwfl, NULL, NULL);
    }
    /* On success the descriptor belongs to libdwfl. */
    if (!object->module)
        close(file);
    else if (!same_build(object))
        object->replaced = true;
}

static struct object *object_of(struct symbols *symbols, const struct ledger_module *module) {
    for (struct object *object = symbols->objects; object; object = object->next)
        if (object->build_id_length == module->build_id_length && strcmp(object->path, module->path) == 0 &&
            memcmp(object->build_id, module->build_id, module->build_id_length) == 0)
            return object;
    struct object *object = calloc(1, sizeof *object);
    if (!object)
        return NULL;
    strcpy(object->path, module->path);
    object->build_id_length = module->build_id_length;
    memcpy(object->build_id, module->build_id, module->build_id_length);
    load(object);
    object->next = symbols->objects;
    symbols->objects = object;
    return object;
}

static void copy(char *into, size_t size, const char *text) {
    snprintf(into, size, "%s", text ? text : "");
}

/* The innermost function around the address by debug information, inlined ones included: the line belongs
 * to it, and the symbol table knows only the function that it was inlined into. */
static void name_function(Dwfl_Module *module, Dwarf_Addr address, struct symbol *into) {
    Dwarf_Addr bias;
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, &bias);
    Dwarf_Die *scopes = NULL;
    int count = unit ? dwarf_getscopes(unit, address - bias, &scopes) : 0;
    for (int i = 0; i < count; i++) {
        int tag = dwarf_tag(&scopes[i]);
        if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine && tag != DW_TAG_entry_point)
            continue;
        Dwarf_Attribute attribute;
        const char *name = dwarf_formstring(dwarf_attr_integrate(&scopes[i], DW_AT_name, &attribute));
        copy(into->function, sizeof into->function, name);
        break;
    }
    free(scopes);
}

/* Line and function of an address in a file that is known to be the right one. The line table comes first:
 * where it knows nothing, the symbol table may still know the function. */
static void look_up(const struct object *object, uint64_t offset, struct symbol *into) {
    GElf_Addr bias;
    if (!dwfl_module_getelf(object->module, &bias))
        return;
    Dwarf_Addr address = offset + bias;
    Dwfl_Line *line = dwfl_module_getsrc(object->module, address);
    int number;
    const char *file = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
    if (file && number > 0) {
        copy(into->file, sizeof into->file, file);
        into->line = number;
        name_function(object->module, address, into);
    }
    GElf_Off within;
    GElf_Sym symbol;
    const char *name = dwfl_module_addrinfo(object->module, address, &within, &symbol, NULL, NULL, NULL);
    if (!name || into->function[0])
        return;
    copy(into->function, sizeof into->function, name);
    if (!into->line)
        into->offset = within;
}

static void shorten(char *text) {
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?';
}

bool symbols_frame(struct symbols *symbols, const struct ledger *ledger, uint32_t site, uint32_t frame,
                   struct symbol *into) {
    memset(into, 0, sizeof *into);
    if (site >= ledger->site_count || frame >= ledger->sites[site].depth)
        return false;
    uint64_t packed = ledger->sites[site].frames[frame];
    into->offset = LEDGER_FRAME_OFFSET(packed);
    if (LEDGER_FRAME_MODULE(packed) == LEDGER_NO_MODULE)
        return true;
    const struct ledger_module *module = &ledger->modules[LEDGER_FRAME_MODULE(packed)];
    copy(into->module, sizeof into->module, module->path);
    struct object *object = symbols ? object_of(symbols, module) : NULL;
    if (!object || !object->module)
        return true;
    into->replaced = object->replaced;
    if (!object->replaced)
        look_up(object, into->offset, into);
    shorten(into->function);
    shorten(into->file);
    return true;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *symbols_text(const struct symbol *symbol, char *into, size_t size) {
    const char *module = base_name(symbol->module);
    unsigned long long offset = symbol->offset;
    if (symbol->line && symbol->function[0])
        snprintf(into, size, "%s:%d (%s)", base_name(symbol->file), symbol->line, symbol->function);
    else if (symbol->line)
        snprintf(into, size, "%s:%d", base_name(symbol->file), symbol->line);
    else if (symbol->function[0])
        snprintf(into, size, "%s+0x%llx (%s)", symbol->function, offset, module);
    else if (symbol->module[0])
        snprintf(into, size, "%s+0x%llx%s", module, offset, symbol->replaced ? " (replaced since)" : "");
    else
        snprintf(into, size, "0x%llx", offset);
    return into;
}

char *symbols_site(struct symbols *symbols, const struct ledger *ledger, uint32_t site, char *into,
                   size_t size) {
    struct symbol symbol;
    if (site >= ledger->site_count) {
        snprintf(into, size, "an unknown place");
        return into;
    }
    const char *noted = ledger->sites[site].name;
    bool known = symbols_frame(symbols, ledger, site, 0, &symbol);
    /* What the process noted came from the file that it had mapped: better than a bare offset. */
    if (noted[0] && (!known || (!symbol.line && !symbol.function[0])))
        snprintf(into, size, "%s%s", noted, known && symbol.replaced ? ", replaced since" : "");
    else if (known)
        symbols_text(&symbol, into, size);
    else
        snprintf(into, size, "an unknown place");
    return into;
}
