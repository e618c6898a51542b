/*
 * script_perl.c: the callers of a perl with threads (as distributions build it), 5.28 to 5.40.
 *
 * To run `caller` would push on the stack of a C function that keeps pointers into it, so the contexts are
 * read where they lie. They are what perl's extensions are compiled against, and do not move within a 5.x
 * series.
 */
#include <string.h>

#include "script_language.h"

struct layout {
    unsigned char version;                   /* the x of 5.x */
    unsigned short current_cop;              /* in the interpreter */
    unsigned short cop_line, cop_file;       /* in a COP */
    unsigned short context_cop, context_sub; /* in a PERL_CONTEXT */
    unsigned short next_state; /* opcode of the ops that are COPs; the next one is its sibling */
};
static const struct layout layouts[] = {
    {28, 224, 36, 48, 16, 64, 195}, {30, 224, 36, 48, 16, 64, 195}, {32, 224, 36, 48, 16, 72, 195},
    {34, 208, 36, 48, 16, 72, 195}, {36, 208, 36, 48, 16, 72, 195}, {38, 208, 36, 48, 16, 72, 198},
    {40, 208, 36, 48, 16, 72, 198},
};
enum { CONTEXT_SUB = 9, CONTEXT_EVAL = 11, CONTEXT_MASK = 15, OP_TYPE = 32, OP_TYPE_MASK = 0x1ff };
enum { BODY = 0, SUB_GLOB = 56, SUB_FLAGS = 92, SUB_IS_NAMED = 0x8000, NAME_LENGTH = 4, NAME_TEXT = 8 };
enum { FILE_MOST = 1024, DEEPEST = 10000 };

struct perl {
    const struct layout *layout;
    void *const *any_interpreter;
    void *(*context)(void);
    const char *(*caller)(void *perl, int32_t level, const void **debugger);
    void *(*new_string)(void *perl, const char *text, size_t length);
    void (*full_name)(void *perl, void *string, const void *glob, const char *prefix, bool keep_main);
    char *(*string_text)(void *perl, void *string, size_t *length, int32_t flags);
    void (*free_string)(void *perl, void *string);
};
_Static_assert(sizeof(struct perl) <= SCRIPT_FOUND, "struct perl fits");

static void *pointer_at(const void *object, size_t offset) {
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

static bool find(void *scope, void *into) {
    struct perl *perl = into;
    const unsigned char *version = script_symbol(scope, "PL_version");
    for (size_t i = 0; version && i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i].version == *version)
            perl->layout = &layouts[i];
    perl->any_interpreter = script_symbol(scope, "PL_curinterp");
    perl->context = (void *(*)(void))script_symbol(scope, "Perl_get_context");
    perl->caller = (const char *(*)(void *, int32_t, const void **))script_symbol(scope, "Perl_caller_cx");
    perl->new_string = (void *(*)(void *, const char *, size_t))script_symbol(scope, "Perl_newSVpvn");
    perl->full_name = (void (*)(void *, void *, const void *, const char *, bool))script_symbol(
        scope, "Perl_gv_efullname4");
    perl->string_text =
        (char *(*)(void *, void *, size_t *, int32_t))script_symbol(scope, "Perl_sv_pvn_force_flags");
    perl->free_string = (void (*)(void *, void *))script_symbol(scope, "Perl_sv_free");
    /* Without PL_thr_key it is a perl without threads, whose interpreter is laid out otherwise. */
    return SCRIPT_LAYOUTS_HOLD && perl->layout && perl->any_interpreter && perl->context && perl->caller &&
           perl->new_string && perl->full_name && perl->string_text && perl->free_string &&
           script_symbol(scope, "PL_thr_key");
}

/* The interpreter of this thread, if it is one of perl's. */
static void *interpreter(const struct perl *perl) {
    return *perl->any_interpreter ? perl->context() : NULL;
}

/* Where the statement is that `cop` begins; false for one that perl made for itself. */
static bool locate(const struct perl *perl, const char *cop, const char **file, uint32_t *line) {
    uint16_t type;
    if (!cop)
        return false;
    memcpy(&type, cop + OP_TYPE, sizeof type);
    type &= OP_TYPE_MASK;
    *file = pointer_at(cop, perl->layout->cop_file);
    memcpy(line, cop + perl->layout->cop_line, sizeof *line);
    bool is_statement = type == perl->layout->next_state || type == perl->layout->next_state + 1;
    return is_statement && *file && *line > 0;
}

static void add(const struct perl *perl, void *my_perl, struct script_text *text, const char *cop,
                const char *context) {
    const char *file;
    uint32_t line;
    if (!locate(perl, cop, &file, &line))
        return;
    size_t file_length = strnlen(file, FILE_MOST);
    int type = context ? context[0] & CONTEXT_MASK : 0;
    const char *body = NULL,
               *sub = type == CONTEXT_SUB ? pointer_at(context, perl->layout->context_sub) : NULL;
    if (sub)
        body = pointer_at(sub, BODY);
    const void *glob = body ? pointer_at(body, SUB_GLOB) : NULL;
    uint32_t flags = 0;
    if (body)
        memcpy(&flags, body + SUB_FLAGS, sizeof flags);
    if (glob && (flags & SUB_IS_NAMED)) { /* not a glob, but the bare name */
        int32_t length;
        memcpy(&length, (const char *)glob + NAME_LENGTH, sizeof length);
        script_add(text, file, file_length, line, (const char *)glob + NAME_TEXT,
                   length > 0 ? (size_t)length : 0);
        return;
    }
    void *string = glob ? perl->new_string(my_perl, "", 0) : NULL;
    if (!string) {
        const char *what = type == CONTEXT_EVAL ? "(eval)" : "";
        script_add(text, file, file_length, line, what, strlen(what));
        return;
    }
    size_t length = 0;
    perl->full_name(my_perl, string, glob, NULL, false);
    const char *name = perl->string_text(my_perl, string, &length, 0);
    script_add(text, file, file_length, line, name, length);
    perl->free_string(my_perl, string);
}

static void write_frames(const void *found, struct script_text *text) {
    const struct perl *perl = found;
    void *my_perl = interpreter(perl);
    const char *cop = my_perl ? pointer_at(my_perl, perl->layout->current_cop) : NULL;
    for (int32_t level = 0; cop && level < DEEPEST && text->frames < text->frames_wanted; level++) {
        const char *context = perl->caller(my_perl, level, NULL);
        add(perl, my_perl, text, cop, context);
        cop = context ? pointer_at(context, perl->layout->context_cop) : NULL;
    }
}

static bool is_running(const void *found) {
    const struct perl *perl = found;
    void *my_perl = interpreter(perl);
    const char *file;
    uint32_t line;
    return my_perl && locate(perl, pointer_at(my_perl, perl->layout->current_cop), &file, &line);
}

const struct script_language script_perl = {
    LEDGER_PERL, "Perl_caller_cx", "libperl", find, is_running, write_frames,
};
