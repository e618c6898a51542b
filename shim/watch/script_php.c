/*
 * script_php.c: the stack of PHP 7 and 8.
 *
 * Only PHP's own debug_backtrace() knows it all. It allocates from the request's memory, so it is asked when
 * there is plenty left: PHP answers an exhausted memory_limit by a jump out of whatever called it.
 */
#include <stdlib.h>
#include <string.h>

#include "script_language.h"

/* The parts of PHP's values that did not move since 7.0. */
struct value {
    union {
        int64_t number;
        const struct text {
            uint64_t counts, hash;
            size_t length;
            char bytes[];
        } * text;
        void *array;
    } is;
    unsigned char type;
    unsigned char rest[7];
};
enum { TYPE_LONG = 4, TYPE_STRING = 6, TYPE_ARRAY = 7, IGNORE_ARGUMENTS = 2, ASKED = 64 };

/* What PHP takes from the system at once: with that much left no jump is needed, whatever is in use. */
enum { HEADROOM = 2 << 20 };

struct php {
    bool (*is_executing)(void);
    void (*backtrace)(struct value *into, int skip_last, int options, int limit);
    struct value *(*index)(const void *array, unsigned long index);
    struct value *(*key)(const void *array, const char *name, size_t length);
    void (*destroy)(struct value *value);
    size_t (*memory_usage)(bool real);
    char *(*setting)(const char *name, size_t length, int original);
    void *(*thread_storage)(void); /* NULL in a build without threads, which then has but one */
};
_Static_assert(sizeof(struct php) <= SCRIPT_FOUND, "struct php fits");

static bool find(void *scope, void *into) {
    struct php *php = into;
    php->is_executing = (bool (*)(void))script_symbol(scope, "zend_is_executing");
    php->backtrace =
        (void (*)(struct value *, int, int, int))script_symbol(scope, "zend_fetch_debug_backtrace");
    php->index =
        (struct value * (*)(const void *, unsigned long)) script_symbol(scope, "zend_hash_index_find");
    php->key =
        (struct value * (*)(const void *, const char *, size_t)) script_symbol(scope, "zend_hash_str_find");
    php->destroy = (void (*)(struct value *))script_symbol(scope, "zval_ptr_dtor");
    php->memory_usage = (size_t(*)(bool))script_symbol(scope, "zend_memory_usage");
    php->setting = (char *(*)(const char *, size_t, int))script_symbol(scope, "zend_ini_string");
    php->thread_storage = (void *(*)(void))script_symbol(scope, "tsrm_get_ls_cache");
    return SCRIPT_LAYOUTS_HOLD && php->is_executing && php->backtrace && php->index && php->key &&
           php->destroy && php->memory_usage && php->setting &&
           (php->thread_storage || script_symbol(scope, "executor_globals"));
}

static bool is_running(const void *found) {
    const struct php *php = found;
    bool is_ours = php->thread_storage ? php->thread_storage() != NULL : script_on_first_thread();
    return is_ours && php->is_executing();
}

/* memory_limit is "128M", "-1", "134217728". */
static bool has_memory(const struct php *php) {
    char *name = php->setting("memory_limit", strlen("memory_limit"), 0), *unit;
    long long limit = name ? strtoll(name, &unit, 0) : 0;
    if (!name || limit < 0)
        return name != NULL;
    int shift = *unit == 'k' || *unit == 'K'   ? 10
                : *unit == 'm' || *unit == 'M' ? 20
                : *unit == 'g' || *unit == 'G' ? 30
                                               : 0;
    return limit > INT64_MAX >> shift || limit << shift >= (long long)php->memory_usage(true) + HEADROOM;
}

static const struct text *string_of(const struct php *php, const struct value *frame, const char *key) {
    const struct value *value = frame ? php->key(frame->is.array, key, strlen(key)) : NULL;
    return value && value->type == TYPE_STRING ? value->is.text : NULL;
}

/* "Class::function" of an entry: what was called, so the name of the entry before it. */
static size_t name_function(const struct php *php, const struct value *frame, char *name, size_t size) {
    const struct text *parts[] = {string_of(php, frame, "class"), string_of(php, frame, "type"),
                                  string_of(php, frame, "function")};
    size_t used = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t length = parts[i] ? parts[i]->length : 0;
        if (length > size - used)
            length = size - used;
        if (length)
            memcpy(name + used, parts[i]->bytes, length);
        used += length;
    }
    return used;
}

static void write_frames(const void *found, struct script_text *text) {
    const struct php *php = found;
    struct value trace = {.type = 0};
    if (!has_memory(php))
        return;
    php->backtrace(&trace, 0, IGNORE_ARGUMENTS, ASKED);
    if (trace.type != TYPE_ARRAY)
        return;
    bool has_room = true;
    const struct value *frame = php->index(trace.is.array, 0), *caller;
    for (unsigned long i = 0; has_room && frame && frame->type == TYPE_ARRAY; i++, frame = caller) {
        char function[256];
        caller = php->index(trace.is.array, i + 1);
        if (caller && caller->type != TYPE_ARRAY)
            caller = NULL;
        const struct text *file = string_of(php, frame, "file");
        const struct value *line = php->key(frame->is.array, "line", 4);
        size_t length = name_function(php, caller, function, sizeof function);
        if (file) /* an entry without one is a callback that PHP itself called */
            has_room =
                script_add(text, file->bytes, file->length,
                           line && line->type == TYPE_LONG ? (long)line->is.number : 0, function, length);
    }
    php->destroy(&trace);
}

const struct script_language script_php = {
    LEDGER_PHP, "zend_fetch_debug_backtrace", "libphp", find, is_running, write_frames,
};
