/* stack.c: a call site as a person reads it. */
#include "stack.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../say.h"
#include "function_name.h"
#include "noise.h"

/* Of a script's stack: one that recurses without end must not make a report without end. */
enum { SCRIPT_FRAMES_MAX = 256 };

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool same_file(const char *one, const char *other) {
    struct stat first, second;
    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

/* "/a/./b//c/../d" as "/a/b/d", in place. */
static void drop_detours(char *path) {
    char *out = path, *const start = path;
    for (const char *at = path; *at;) {
        size_t length = strcspn(at, "/");
        bool up = length == 2 && strncmp(at, "..", 2) == 0;
        char *parent = out > start + 1 && up ? memrchr(start, '/', (size_t)(out - start - 1)) : NULL;
        if (parent && strncmp(parent + 1, "../", 3) != 0) {
            out = parent + 1;
        } else if (length && !(length == 1 && *at == '.')) {
            memmove(out, at, length);
            out += length;
            if (at[length])
                *out++ = '/';
        } else if (!length && out == start) {
            *out++ = '/';
        }
        at += length + (at[length] == '/');
    }
    *out = '\0';
}

/* "src/db.c" for a path below the directory, else NULL. */
static char *below(const char *directory, char *path) {
    size_t length = strlen(directory);
    bool is_below = length > 1 && strncmp(path, directory, length) == 0 && path[length] == '/';
    return is_below && path[length + 1] ? path + length + 1 : NULL;
}

/* A source path as a person in the current directory would give it. To be freed. */
static char *shown_path(const char *path) {
    static char here[PATH_MAX], named[PATH_MAX];
    char *shown = strdup(path);
    if (!shown || path[0] != '/')
        return shown;
    drop_detours(shown);
    /* A ".." behind a symbolic link leads elsewhere than it looks. */
    if (strstr(path, "/../") && !same_file(path, shown) && access(path, F_OK) == 0)
        strcpy(shown, path);
    if (!here[0]) {
        /* Compilers write down the name that the shell has for a directory, links and all. */
        const char *name = getenv("PWD");
        if (!getcwd(here, sizeof here))
            strcpy(here, "/");
        if (name && strlen(name) < sizeof named && same_file(name, here))
            strcpy(named, name);
    }
    const char *rest = below(here, shown) ? below(here, shown) : below(named, shown);
    if (rest)
        memmove(shown, rest, strlen(rest) + 1);
    return shown;
}

/* Room for one more; all texts "" until they are known. */
static struct frame *add(struct stack *stack) {
    if ((stack->count & (stack->count - 1)) == 0) {
        size_t room = stack->count ? 2 * stack->count : 1;
        struct frame *more = realloc(stack->frames, room * sizeof *more);
        if (!more)
            return NULL;
        stack->frames = more;
    }
    struct frame *frame = &stack->frames[stack->count++];
    memset(frame, 0, sizeof *frame);
    return frame;
}

/* NULL for want of memory becomes false; the frame stays fit for stack_release(). */
static bool fill(struct frame *frame, char *function, char *file, char *module) {
    frame->function = function;
    frame->file = file;
    frame->module = module;
    return function && file && module;
}

/* "FILE\tLINE\tFUNCTION" */
static bool add_script_line(struct stack *stack, const char *line, size_t length) {
    char *text = strndup(line, length), *rest = text;
    struct frame *frame = text ? add(stack) : NULL;
    if (frame) {
        const char *file = strsep(&rest, "\t"), *number = strsep(&rest, "\t"), *function = rest;
        long value = number ? strtol(number, NULL, 10) : 0;
        frame->script = true;
        frame->line = value > 0 && value < INT_MAX ? (int)value : 0;
        frame = fill(frame, strdup(function ? function : ""), shown_path(file), strdup("")) ? frame : NULL;
        if (frame) {
            say_printable(frame->function);
            say_printable(frame->file);
        }
    }
    free(text);
    return frame != NULL;
}

static bool add_script(struct stack *stack, const struct ledger *ledger, const struct ledger_site *site) {
    const char *at = ledger->texts + site->script_offset, *end = at + site->script_length;
    for (int i = 0; at < end && i < SCRIPT_FRAMES_MAX; i++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        if (stop > at && !add_script_line(stack, at, (size_t)(stop - at)))
            return false;
        at = stop + 1;
    }
    return true;
}

static bool add_native(struct stack *stack, struct symbols *symbols, const struct ledger *ledger,
                       uint64_t packed) {
    uint32_t number = LEDGER_FRAME_MODULE(packed);
    const struct ledger_module *module = number < ledger->module_count ? &ledger->modules[number] : NULL;
    static const struct place_in_object nothing;
    const struct place_in_object *place =
        module ? symbols_look_up(symbols, module, LEDGER_FRAME_OFFSET(packed)) : &nothing;
    for (size_t i = 0; i < (place->count ? place->count : 1); i++) {
        const struct symbol *symbol = i < place->count ? &place->symbols[i] : NULL;
        struct frame *frame = add(stack);
        if (!frame || !fill(frame, strdup(symbol ? symbol->function : ""),
                            shown_path(symbol ? symbol->file : ""), strdup(module ? module->path : "")))
            return false;
        frame->line = symbol ? symbol->line : 0;
        frame->inlined = symbol && symbol->inlined;
        frame->offset = LEDGER_FRAME_OFFSET(packed);
        frame->within = place->within;
        frame->replaced = place->replaced;
        frame->gone = place->gone;
    }
    return true;
}

/* What the process noted of the first frame, "function+0x1c (module)", came from the file that it had mapped:
 * better than nothing where the one on disk has no names, or is another one. Of a script's stack it may have
 * noted the script's frame instead. */
static bool use_noted(struct frame *frame, const char *noted, bool scripted) {
    if (frame->function[0] || frame->line || !noted[0] || strncmp(noted, "0x", 2) == 0 ||
        (scripted && !strstr(noted, "+0x")))
        return true;
    const char *plus = strstr(noted, "+0x"), *bracket = plus ? strstr(plus, " (") : NULL;
    if (plus && !bracket)
        return true; /* module and offset, which is known already */
    char *mangled = strndup(noted, plus ? (size_t)(plus - noted) : strlen(noted));
    char *function = mangled ? function_name_demangled(mangled) : NULL;
    free(frame->function);
    frame->function = function ? say_printable(function) : mangled;
    if (function)
        free(mangled);
    frame->within = plus ? strtoull(plus + 1, NULL, 16) : 0;
    if (bracket && !frame->module[0] && frame->function) {
        free(frame->module);
        frame->module = strndup(bracket + 2, strcspn(bracket + 2, ")"));
    }
    return frame->function && frame->module;
}

/* Nobody below this frame: whoever asked for the work has gone on since. */
static bool add_pool(struct stack *stack) {
    struct frame *frame = add(stack);
    return frame && fill(frame, strdup("a thread of libuv's pool, for work that was asked for elsewhere"),
                         strdup(""), strdup(""));
}

/* Where all of it is noise, it is all that there is to read. */
static void mark_noise(struct stack *stack, enum ledger_language language) {
    size_t count = 0;
    for (size_t i = 0; i < stack->count; i++)
        count += stack->frames[i].noise = noise_is(&stack->frames[i], language);
    for (size_t i = 0; count == stack->count && i < stack->count; i++)
        stack->frames[i].noise = false;
}

static bool gather(struct symbols *symbols, const struct ledger *ledger, const struct ledger_site *site,
                   struct stack *into) {
    if (site->script_length && !add_script(into, ledger, site))
        return false;
    size_t scripts = into->count;
    for (uint32_t i = 0; i < site->depth; i++)
        if (!add_native(into, symbols, ledger, site->frames[i]))
            return false;
    if (into->count > scripts && !use_noted(&into->frames[scripts], site->name, scripts > 0))
        return false;
    if (site->language == LEDGER_LIBUV_POOL && !add_pool(into))
        return false;
    enum ledger_language language =
        scripts || site->language == LEDGER_LIBUV_POOL ? into->language : LEDGER_NATIVE;
    mark_noise(into, language);
    return true;
}

bool stack_of_site(struct symbols *symbols, const struct ledger *ledger, uint32_t site, struct stack *into) {
    memset(into, 0, sizeof *into);
    if (site >= ledger->site_count)
        return true;
    const struct ledger_site *row = &ledger->sites[site];
    into->language = row->language <= LEDGER_LIBUV_POOL ? row->language : LEDGER_NATIVE;
    if (gather(symbols, ledger, row, into))
        return true;
    stack_release(into);
    return false;
}

void stack_release(struct stack *stack) {
    for (size_t i = 0; i < stack->count; i++) {
        free(stack->frames[i].function);
        free(stack->frames[i].file);
        free(stack->frames[i].module);
    }
    free(stack->frames);
    memset(stack, 0, sizeof *stack);
}

const struct frame *stack_first(const struct stack *stack) {
    const struct frame *first = NULL;
    for (size_t i = 0; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        if (frame->noise)
            continue;
        if (frame->script && !noise_is_library(frame->file))
            return frame;
        if (!first)
            first = frame;
    }
    return first ? first : stack->count ? stack->frames : NULL;
}

char *frame_text(const struct frame *frame, char *into, size_t size) {
    static const struct frame none = {.function = (char *)"", .file = (char *)"", .module = (char *)""};
    bool known = frame != NULL;
    if (!known)
        frame = &none;
    const char *module = base_name(frame->module);
    const char *since = frame->gone ? "gone from disk since" : "replaced on disk since";
    if (!known)
        snprintf(into, size, "an unknown place");
    else if (frame->file[0] && frame->line && frame->function[0])
        snprintf(into, size, frame->script ? "%s:%d in %s" : "%s:%d (%s)", frame->file, frame->line,
                 frame->function);
    else if (frame->file[0] && frame->line)
        snprintf(into, size, "%s:%d", frame->file, frame->line);
    else if (frame->script)
        snprintf(into, size, "%s%s%s", frame->file, frame->file[0] && frame->function[0] ? " in " : "",
                 frame->function);
    else if (frame->function[0] && module[0])
        snprintf(into, size, "%s+0x%llx (%s%s%s)", frame->function, (unsigned long long)frame->within, module,
                 frame->replaced ? ", " : "", frame->replaced ? since : "");
    else if (frame->function[0])
        snprintf(into, size, "%s", frame->function);
    else if (module[0])
        snprintf(into, size, "%s+0x%llx%s%s%s", module, (unsigned long long)frame->offset,
                 frame->replaced ? " (" : "", frame->replaced ? since : "", frame->replaced ? ")" : "");
    else
        snprintf(into, size, "0x%llx", (unsigned long long)frame->offset);
    return into;
}

/* Whether a system's library has its debug information installed differs between machines. */
static bool is_of_system(const struct frame *frame) {
    return strncmp(frame->module, "/usr/", 5) == 0 || strncmp(frame->module, "/lib", 4) == 0;
}

char *stack_identity(const struct stack *stack) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        if (frame->noise)
            continue;
        const char *place = frame->file[0] && !is_of_system(frame) ? frame->file : frame->module;
        fprintf(out, "%s%s@%s", ftell(out) ? ";" : "", frame->function, base_name(place));
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
