/* stack.c: a call site as a person reads it. */
#include "stack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool set_text(char **field, const char *text) {
    *field = strdup(text);
    return *field != NULL;
}

static bool add_frame(struct stack *stack, const struct frame *like, const char *function, const char *file,
                      const char *module) {
    struct frame *frame = &stack->frames[stack->count++];
    *frame = *like;
    bool good = set_text(&frame->function, function);
    good = set_text(&frame->file, file) && good;
    return set_text(&frame->module, module) && good;
}

/* A line each: FILE TAB LINE TAB FUNCTION. */
static bool add_scripts(struct stack *stack, const char *text, size_t length) {
    char line[2048];
    bool good = true;
    for (const char *end = text + length; good && text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t size = (size_t)((newline ? newline : end) - text);
        snprintf(line, sizeof line, "%.*s", (int)(size < sizeof line ? size : sizeof line - 1), text);
        char *number = strchr(line, '\t'), *function = number ? strchr(number + 1, '\t') : NULL;
        if (function) {
            *number++ = *function++ = '\0';
            good =
                add_frame(stack, &(struct frame){.script = true, .line = atoi(number)}, function, line, "");
        }
        text += size + 1;
    }
    return good;
}

bool stack_of_site(struct symbols *symbols, const struct ledger *ledger, uint32_t site, struct stack *into) {
    memset(into, 0, sizeof *into);
    if (site >= ledger->site_count)
        return true;
    const struct ledger_site *row = &ledger->sites[site];
    size_t room = row->depth;
    for (uint32_t i = 0; i < row->script_length; i++)
        room += ledger->texts[row->script_offset + i] == '\n';
    into->frames = calloc(room + 2, sizeof *into->frames);
    if (!into->frames)
        return false;
    into->language = row->language;
    bool good = add_scripts(into, ledger->texts + row->script_offset, row->script_length);
    struct symbol symbol;
    for (uint32_t i = 0; good && symbols_frame(symbols, ledger, site, i, &symbol); i++)
        good = add_frame(into,
                         &(struct frame){.line = symbol.line,
                                         .offset = symbol.offset,
                                         .replaced = symbol.replaced,
                                         .noise = !symbol.line && i > 0},
                         symbol.function, symbol.file, symbol.module);
    if (!good)
        stack_release(into);
    return good;
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
    for (size_t i = 0; i < stack->count; i++)
        if (!stack->frames[i].noise)
            return &stack->frames[i];
    return stack->count ? &stack->frames[0] : NULL;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *frame_text(const struct frame *frame, char *into, size_t size) {
    if (!frame)
        snprintf(into, size, "an unknown place");
    else if (frame->script)
        snprintf(into, size, "%s:%d%s%s", frame->file, frame->line, frame->function[0] ? " in " : "",
                 frame->function);
    else if (frame->line)
        snprintf(into, size, "%s:%d (%s)", base_name(frame->file), frame->line, frame->function);
    else if (frame->function[0])
        snprintf(into, size, "%s (%s)", frame->function, base_name(frame->module));
    else if (frame->module[0])
        snprintf(into, size, "%s+0x%llx%s", base_name(frame->module), (unsigned long long)frame->offset,
                 frame->replaced ? " (replaced on disk since)" : "");
    else
        snprintf(into, size, "0x%llx", (unsigned long long)frame->offset);
    return into;
}

char *stack_identity(const struct stack *stack) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    for (size_t i = 0; i < stack->count; i++)
        if (!stack->frames[i].noise)
            fprintf(out, "%s@%s;", stack->frames[i].function,
                    base_name(stack->frames[i].file[0] ? stack->frames[i].file : stack->frames[i].module));
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
