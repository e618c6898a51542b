/* symbols.c: module and offset as functions, files and lines. */
#include "symbols.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../say.h"
#include "function_name.h"
#include "name_table.h"
#include "noise.h"
#include "scopes.h"

enum { ANSWERS = 256, INLINED_MAX = 24, DOWNLOADS_SECONDS = 10 };

/* Seconds, where the user did not say otherwise: until a server has sent something worth it, and for a file.
 */
#define DOWNLOAD_STALLED "4"
#define DOWNLOAD_MAX "20"

/* An address that was asked for, in its object's table. */
struct answer {
    struct answer *next;
    uint64_t offset;
    struct place_in_object place;
};

/* A piece of code that a compilation unit made, for files without .debug_aranges. */
struct range {
    Dwarf_Addr begin, end;
    Dwarf_Die unit;
};

/* A file that was opened for a module, or could not be; `module` is NULL then. Kept by path and build: a
 * reloaded library has one path and several builds in the same ledger. */
struct object {
    struct object *next;
    char path[256];
    uint32_t build_id_length;
    uint8_t build_id[36];
    uint64_t device, inode;
    Dwfl *dwfl;
    Dwfl_Module *module;
    bool replaced, gone;
    struct name_table names;
    struct range *ranges;
    size_t range_count;
    bool ranges_read;
    struct answer *answers[ANSWERS];
};

struct symbols {
    struct object *objects;
};

struct symbols *symbols_new(void) {
    return calloc(1, sizeof(struct symbols));
}

static void answer_free(struct answer *answer) {
    for (size_t i = 0; i < answer->place.count; i++) {
        free(answer->place.symbols[i].function);
        free(answer->place.symbols[i].file);
    }
    free(answer->place.symbols);
    free(answer);
}

void symbols_free(struct symbols *symbols) {
    if (!symbols)
        return;
    for (struct object *object = symbols->objects, *next; object; object = next) {
        next = object->next;
        for (size_t i = 0; i < ANSWERS; i++)
            for (struct answer *answer = object->answers[i], *after; answer; answer = after) {
                after = answer->next;
                answer_free(answer);
            }
        name_table_release(&object->names);
        free(object->ranges);
        if (object->dwfl)
            dwfl_end(object->dwfl);
        free(object);
    }
    free(symbols);
}

/* The path comes from a ledger, so it may name anything: a pipe or a terminal must not be waited for, and
 * libdw would unpack an archive. */
static int open_program(const char *path, struct stat *status) {
    char magic[4];
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (file >= 0 && (fstat(file, status) != 0 || !S_ISREG(status->st_mode) ||
                      pread(file, magic, sizeof magic, 0) != sizeof magic ||
                      memcmp(magic, "\177ELF", sizeof magic) != 0)) {
        close(file);
        return -1;
    }
    return file;
}

static bool same_build(const struct object *object, const struct stat *status) {
    const unsigned char *bits;
    GElf_Addr address;
    int length = dwfl_module_build_id(object->module, &bits, &address);
    if (length < 0)
        length = 0;
    if ((uint32_t)length != object->build_id_length)
        return false;
    if (length == 0)
        return object->inode == status->st_ino && object->device == status->st_dev;
    return memcmp(bits, object->build_id, (size_t)length) == 0;
}

/* libdw asks no servers while the variable is not there. */
static int find_without_servers(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                                const char *file, const char *link, GElf_Word checksum, char **found) {
    const char *set = getenv("DEBUGINFOD_URLS");
    char *servers = set ? strdup(set) : NULL;
    unsetenv("DEBUGINFOD_URLS");
    int result = dwfl_standard_find_debuginfo(module, data, name, base, file, link, checksum, found);
    if (servers)
        setenv("DEBUGINFOD_URLS", servers, 1);
    free(servers);
    return result;
}

/* Looks for debug information as libdw does: by link, by build-id, and at last by asking servers, but not for
 * what is folded anyway. They may keep us for so long and no longer. */
static int find_debug_file(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                           const char *file, const char *link, GElf_Word checksum, char **found) {
    static double spent;
    struct timespec begin, end;
    const char *servers = getenv("DEBUGINFOD_URLS");
    if (!servers || !*servers || !file || noise_is_runtime_file(file) || noise_is_interpreter(file))
        return find_without_servers(module, data, name, base, file, link, checksum, found);
    setenv("DEBUGINFOD_TIMEOUT", DOWNLOAD_STALLED, 0);
    setenv("DEBUGINFOD_MAXTIME", DOWNLOAD_MAX, 0);
    setenv("DEBUGINFOD_RETRY_LIMIT", "0", 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int result = dwfl_standard_find_debuginfo(module, data, name, base, file, link, checksum, found);
    clock_gettime(CLOCK_MONOTONIC, &end);
    spent += (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    if (spent > DOWNLOADS_SECONDS) {
        unsetenv("DEBUGINFOD_URLS");
        say("the servers in DEBUGINFOD_URLS took %.0f seconds and are not asked any more: some places have "
            "no "
            "line",
            spent);
    }
    return result;
}

static void load(struct object *object) {
    static char *debug_path;
    static const Dwfl_Callbacks callbacks = {
        .find_elf = dwfl_build_id_find_elf,
        .find_debuginfo = find_debug_file,
        .section_address = dwfl_offline_section_address,
        .debuginfo_path = &debug_path,
    };
    struct stat status;
    if (object->path[0] != '/')
        return;
    int file = open_program(object->path, &status);
    object->gone = file < 0 && access(object->path, F_OK) != 0;
    object->replaced = file < 0;
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
    object->replaced = !object->module || !same_build(object, &status);
    if (object->replaced)
        object->module = NULL;
    else
        name_table_read(&object->names, object->module);
}

static bool is_of(const struct object *object, const struct ledger_module *module) {
    if (object->build_id_length != module->build_id_length || strcmp(object->path, module->path) != 0)
        return false;
    if (module->build_id_length == 0)
        return object->device == module->device && object->inode == module->inode;
    return memcmp(object->build_id, module->build_id, module->build_id_length) == 0;
}

static struct object *object_of(struct symbols *symbols, const struct ledger_module *module) {
    for (struct object *object = symbols->objects; object; object = object->next)
        if (is_of(object, module))
            return object;
    struct object *object = calloc(1, sizeof *object);
    if (!object)
        return NULL;
    strcpy(object->path, module->path);
    object->build_id_length = module->build_id_length;
    memcpy(object->build_id, module->build_id, module->build_id_length);
    object->device = module->device;
    object->inode = module->inode;
    load(object);
    object->next = symbols->objects;
    symbols->objects = object;
    return object;
}

static int by_begin(const void *left, const void *right) {
    const struct range *one = left, *other = right;
    return one->begin < other->begin ? -1 : one->begin > other->begin;
}

static bool add_range(struct object *object, Dwarf_Addr begin, Dwarf_Addr end, const Dwarf_Die *unit) {
    if ((object->range_count & (object->range_count - 1)) == 0) {
        size_t room = object->range_count ? 2 * object->range_count : 1;
        struct range *more = realloc(object->ranges, room * sizeof *more);
        if (!more)
            return false;
        object->ranges = more;
    }
    object->ranges[object->range_count++] = (struct range){begin, end, *unit};
    return true;
}

/* clang writes no .debug_aranges unless it is asked to, and libdw finds a unit by nothing else. */
static void read_ranges(struct object *object) {
    Dwarf_Die *unit = NULL;
    Dwarf_Addr bias;
    bool good = true;
    object->ranges_read = true;
    while (good && (unit = dwfl_module_nextcu(object->module, unit, &bias))) {
        Dwarf_Addr base, begin, end;
        ptrdiff_t at = 0;
        while (good && (at = dwarf_ranges(unit, at, &base, &begin, &end)) > 0)
            if (begin < end)
                good = add_range(object, begin, end, unit);
    }
    if (object->range_count)
        qsort(object->ranges, object->range_count, sizeof *object->ranges, by_begin);
}

static Dwarf_Die *unit_in_ranges(struct object *object, Dwarf_Addr address) {
    if (!object->ranges_read)
        read_ranges(object);
    size_t low = 0, high = object->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (object->ranges[middle].begin <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address < object->ranges[low - 1].end ? &object->ranges[low - 1].unit : NULL;
}

/* A name of the symbol table without the version that a linker put there ("connect@@SHOP_2"). */
static char *readable(const char *name) {
    char *text = function_name_demangled(name);
    return text ? text : strndup(name, strcspn(name, "@"));
}

static void look_up(struct object *object, uint64_t offset, struct place_in_object *into) {
    GElf_Addr load_bias;
    Dwarf_Addr bias = 0;
    struct symbol found[INLINED_MAX];
    if (!dwfl_module_getelf(object->module, &load_bias))
        return;
    Dwarf_Addr address = offset + load_bias;
    const char *name = name_table_find(&object->names, address, &into->within);
    Dwarf_Die *unit = dwfl_module_addrdie(object->module, address, &bias);
    if (!unit && dwfl_module_getdwarf(object->module, &bias))
        unit = unit_in_ranges(object, address - bias);
    size_t count = unit ? scopes_at(unit, address - bias, name, found, INLINED_MAX) : 0;
    if (count == 0 && name)
        found[count++] = (struct symbol){0};
    if (name && count && (!found[count - 1].function || !*found[count - 1].function)) {
        free(found[count - 1].function);
        found[count - 1].function = readable(name);
    }
    into->symbols = count ? calloc(count, sizeof *into->symbols) : NULL;
    for (size_t i = 0; i < count; i++) {
        struct symbol *symbol = &found[i];
        symbol->function = symbol->function ? say_printable(symbol->function) : strdup("");
        symbol->file = symbol->file ? say_printable(symbol->file) : strdup("");
        if (into->symbols && symbol->function && symbol->file) {
            into->symbols[into->count++] = *symbol;
            continue;
        }
        free(symbol->function);
        free(symbol->file);
    }
}

const struct place_in_object *symbols_look_up(struct symbols *symbols, const struct ledger_module *module,
                                              uint64_t offset) {
    static const struct place_in_object nothing;
    struct object *object = symbols ? object_of(symbols, module) : NULL;
    if (!object)
        return &nothing;
    struct answer **bucket = &object->answers[(offset * 0x9e3779b97f4a7c15u) >> 56];
    for (struct answer *answer = *bucket; answer; answer = answer->next)
        if (answer->offset == offset)
            return &answer->place;
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return &nothing;
    answer->offset = offset;
    answer->place.replaced = object->replaced;
    answer->place.gone = object->gone;
    if (object->module)
        look_up(object, offset, &answer->place);
    answer->next = *bucket;
    *bucket = answer;
    return &answer->place;
}
