/*
 * script_ruby.c: the frames of Ruby 3.0 and later, by the functions that its profilers use.
 *
 * ruby-pg connects without the VM's lock, so of those only the ones that allocate nothing are called. This
 * thread's frames stand still meanwhile and keep their code alive. Before 3.0 what is executing was noted for
 * the whole process: without the lock those functions would walk the frames of another thread that runs.
 */
#include <string.h>

#include "script_language.h"

typedef uintptr_t value;

struct ruby {
    int (*is_ruby_thread)(void);
    int (*profile_frames)(int start, int limit, value *frames, int *lines);
    value (*path)(value frame);
    value (*label)(value frame);
    value (*is_kind_of)(value object, value class);
    char *(*string_pointer)(volatile value *string);
    const value *string_class;
    void *const *vm; /* where it keeps the VM: NULL after its shutdown */
};
_Static_assert(sizeof(struct ruby) <= SCRIPT_FOUND, "struct ruby fits");
enum { ASKED = 64, STRING_MOST = 1024 };

static bool find(void *scope, void *into) {
    struct ruby *ruby = into;
    ruby->is_ruby_thread = (int (*)(void))script_symbol(scope, "ruby_native_thread_p");
    ruby->profile_frames = (int (*)(int, int, value *, int *))script_symbol(scope, "rb_profile_frames");
    ruby->path = (value(*)(value))script_symbol(scope, "rb_profile_frame_path");
    ruby->label = (value(*)(value))script_symbol(scope, "rb_profile_frame_label");
    ruby->is_kind_of = (value(*)(value, value))script_symbol(scope, "rb_obj_is_kind_of");
    ruby->string_pointer = (char *(*)(volatile value *))script_symbol(scope, "rb_string_value_ptr");
    ruby->string_class = script_symbol(scope, "rb_cString");
    ruby->vm = script_symbol(scope, "ruby_current_vm_ptr");
    return ruby->is_ruby_thread && ruby->profile_frames && ruby->path && ruby->label && ruby->is_kind_of &&
           ruby->string_pointer && ruby->string_class && ruby->vm &&
           script_symbol(scope, "rb_ext_ractor_safe"); /* since 3.0 */
}

static int frames_of(const struct ruby *ruby, value *frames, int *lines, int limit) {
    if (!*ruby->vm || !ruby->is_ruby_thread())
        return 0;
    return ruby->profile_frames(0, limit, frames, lines);
}

/* Anything that is no String is left alone: to convert it would call the program's methods. */
static const char *text_of(const struct ruby *ruby, value object, size_t *length) {
    volatile value string = object;
    const char *text = ruby->is_kind_of(object, *ruby->string_class) ? ruby->string_pointer(&string) : NULL;
    *length = text ? strnlen(text, STRING_MOST) : 0;
    return text ? text : "";
}

static void write_frames(const void *found, struct script_text *text) {
    const struct ruby *ruby = found;
    value frames[ASKED];
    int lines[ASKED], count = frames_of(ruby, frames, lines, ASKED);
    for (int i = 0; i < count; i++) {
        size_t file_length, label_length;
        if (lines[i] <= 0) /* a function in C, whose path would be made anew */
            continue;
        const char *file = text_of(ruby, ruby->path(frames[i]), &file_length);
        const char *label = text_of(ruby, ruby->label(frames[i]), &label_length);
        if (!script_add(text, file, file_length, lines[i], label, label_length))
            return;
    }
}

static bool is_running(const void *found) {
    value frames[ASKED];
    int lines[ASKED], count = frames_of(found, frames, lines, ASKED);
    for (int i = 0; i < count; i++)
        if (lines[i] > 0)
            return true;
    return false;
}

const struct script_language script_ruby = {
    LEDGER_RUBY, "rb_profile_frames", "libruby", find, is_running, write_frames,
};
