/*
 * script_python.c: the frames of CPython 3.8 to 3.13.
 *
 * Drivers release the GIL around PQconnect*, and to take it back here could deadlock: another thread may hold
 * it and wait for a lock of the extension that is connecting. So nothing is asked that needs it. This
 * thread's own frames stand still while it is in here, and are read where they lie: the layout of each minor
 * version is fixed once it is released, and every code object and string is recognised by its type before it
 * is believed.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "script_language.h"

/* Offsets that differ between minor versions. */
struct layout {
    int minor;
    unsigned short thread_id;      /* in PyThreadState: pthread_self() of its thread */
    unsigned short thread_frame;   /* there too: the frame, or (3.11, 3.12) the _PyCFrame ... */
    short cframe_frame;            /* ... and the frame in that; -1: there is none */
    unsigned short previous, code; /* in the frame */
    unsigned short instruction;    /* there too; 0: it is a PyFrameObject, 3.10 and older */
    unsigned short owner, first_instruction, first_traceable; /* the latter two in the code object */
    unsigned short qualified_name, ascii_size, compact_size;
};
static const struct layout layouts[] = {
    {8, 176, 24, -1, 24, 32, 0, 0, 0, 0, 112, 48, 72},
    {9, 176, 24, -1, 24, 32, 0, 0, 0, 0, 112, 48, 72},
    {10, 176, 24, -1, 24, 32, 0, 0, 0, 0, 112, 48, 72},
    {11, 152, 56, 8, 48, 32, 56, 69, 184, 168, 128, 48, 72},
    {12, 136, 56, 0, 8, 0, 56, 70, 192, 176, 128, 40, 56},
    {13, 152, 72, -1, 8, 0, 56, 70, 200, 184, 128, 40, 56},
};
enum { OBJECT_TYPE = 8, STRING_LENGTH = 16, STRING_STATE = 32, OLD_CODE_FILE = 104, CODE_FILE = 112 };
enum { OWNED_BY_GENERATOR = 1, OWNED_BY_C_STACK = 3, DEEPEST = 100000 };

struct python {
    const struct layout *layout;
    void *(*thread_state)(void);
    int (*is_finalizing)(void);
    int (*address_to_line)(void *code, int offset);
    int (*frame_line)(void *frame);
    const void *code_type, *string_type;
};
_Static_assert(sizeof(struct python) <= SCRIPT_FOUND, "struct python fits");

static void *pointer_at(const void *object, size_t offset) {
    void *value;
    memcpy(&value, (const char *)object + offset, sizeof value);
    return value;
}

/* "3.11.2 (main, ...": a release, not a fork or a snapshot of the sources, whose layout nobody promises. */
static const struct layout *layout_of(const char *version) {
    char *end;
    if (strncmp(version, "3.", 2) != 0)
        return NULL;
    long minor = strtol(version + 2, &end, 10);
    if (*end != '.')
        return NULL;
    strtol(end + 1, &end, 10);
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        if (layouts[i].minor == minor && *end == ' ')
            return &layouts[i];
    return NULL;
}

static bool find(void *scope, void *into) {
    struct python *python = into;
    const char *(*version)(void) = (const char *(*)(void))script_symbol(scope, "Py_GetVersion");
    const char *runtime = script_symbol(scope, "_PyRuntime");
    python->layout = version && runtime ? layout_of(version()) : NULL;
    /* Two builds move everything: the one that traces references, the one without a GIL. */
    if (!SCRIPT_LAYOUTS_HOLD || !python->layout || script_symbol(scope, "_Py_AddToAllObjects") ||
        (python->layout->minor >= 13 && (memcmp(runtime, "xdebugpy", 8) != 0 || pointer_at(runtime, 16))))
        return false;
    python->thread_state = (void *(*)(void))script_symbol(scope, "PyGILState_GetThisThreadState");
    python->is_finalizing = (int (*)(void))script_symbol(scope, "_Py_IsFinalizing");
    if (!python->is_finalizing)
        python->is_finalizing = (int (*)(void))script_symbol(scope, "Py_IsFinalizing");
    python->address_to_line = (int (*)(void *, int))script_symbol(scope, "PyCode_Addr2Line");
    python->frame_line = (int (*)(void *))script_symbol(scope, "PyFrame_GetLineNumber");
    python->code_type = script_symbol(scope, "PyCode_Type");
    python->string_type = script_symbol(scope, "PyUnicode_Type");
    return python->thread_state && python->is_finalizing && python->address_to_line && python->frame_line &&
           python->code_type && python->string_type;
}

/* The first frame of this thread, which may be one of the interpreter's own; NULL when there is none. Other
 * threads' states are freed early in the interpreter's shutdown, so those are not looked at then. */
static const char *innermost(const struct python *python) {
    const struct layout *layout = python->layout;
    if (python->is_finalizing() && !script_on_first_thread())
        return NULL;
    const char *at = python->thread_state();
    /* A state that somebody else freed may still be noted as this thread's. */
    if (!at || (pthread_t)pointer_at(at, layout->thread_id) != pthread_self())
        return NULL;
    at = pointer_at(at, layout->thread_frame);
    if (at && layout->cframe_frame >= 0)
        at = pointer_at(at, (size_t)layout->cframe_frame);
    return at;
}

/* The code that a frame runs; NULL for a frame that is the interpreter's own or just being made. */
static void *code_of(const struct python *python, const char *frame, long *instruction) {
    const struct layout *layout = python->layout;
    char *code = pointer_at(frame, layout->code);
    int first_traceable;
    if (!code || pointer_at(code, OBJECT_TYPE) != python->code_type)
        return NULL;
    if (layout->instruction == 0)
        return code;
    if (frame[layout->owner] == OWNED_BY_C_STACK)
        return NULL;
    *instruction = (char *)pointer_at(frame, layout->instruction) - (code + layout->first_instruction);
    memcpy(&first_traceable, code + layout->first_traceable, sizeof first_traceable);
    if (frame[layout->owner] != OWNED_BY_GENERATOR && *instruction < 2L * first_traceable)
        return NULL;
    return code;
}

static size_t put_character(char *out, uint32_t point) {
    if (point < 0x80) {
        out[0] = (char)(point ? point : '?');
        return 1;
    }
    size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)((length == 2 ? 0xc0 : length == 3 ? 0xe0 : 0xf0) | point);
    return length;
}

/* A str as UTF-8; of one that is too long the end. Returns the length, 0 for what is no str. */
static size_t read_string(const struct python *python, const char *string, char *out, size_t size) {
    size_t length, used = 0;
    uint32_t state;
    if (!string || pointer_at(string, OBJECT_TYPE) != python->string_type)
        return 0;
    memcpy(&length, string + STRING_LENGTH, sizeof length);
    memcpy(&state, string + STRING_STATE, sizeof state);
    unsigned width = state >> 2 & 7;
    bool is_compact = state >> 5 & 1, is_ascii = state >> 6 & 1;
    if (!is_compact || (width != 1 && width != 2 && width != 4))
        return 0;
    const char *data = string + (is_ascii ? python->layout->ascii_size : python->layout->compact_size);
    size_t most = is_ascii ? size : size / 4, from = length > most ? length - most : 0;
    if (is_ascii) {
        memcpy(out, data + from, length - from);
        return length - from;
    }
    for (size_t i = from; i < length; i++) {
        uint32_t point = 0;
        memcpy(&point, data + i * width, width);
        used += put_character(out + used, point);
    }
    return used;
}

static void write_frames(const void *found, struct script_text *text) {
    const struct python *python = found;
    const struct layout *layout = python->layout;
    const char *frame = innermost(python);
    for (int depth = 0; frame && depth < DEEPEST; depth++, frame = pointer_at(frame, layout->previous)) {
        char file[1024], function[512];
        long instruction = 0;
        void *code = code_of(python, frame, &instruction);
        if (!code)
            continue;
        long line = layout->instruction ? python->address_to_line(code, (int)instruction)
                                        : python->frame_line((void *)(uintptr_t)frame);
        size_t file_length = read_string(
            python, pointer_at(code, layout->instruction ? CODE_FILE : OLD_CODE_FILE), file, sizeof file);
        size_t function_length =
            read_string(python, pointer_at(code, layout->qualified_name), function, sizeof function);
        if (!script_add(text, file, file_length, line, function, function_length))
            return;
    }
}

static bool is_running(const void *found) {
    const struct python *python = found;
    const char *frame = innermost(python);
    long instruction;
    for (int depth = 0; frame && depth < DEEPEST; depth++) {
        if (code_of(python, frame, &instruction))
            return true;
        frame = pointer_at(frame, python->layout->previous);
    }
    return false;
}

const struct script_language script_python = {
    LEDGER_PYTHON, "PyGILState_GetThisThreadState", "libpython", find, is_running, write_frames,
};
