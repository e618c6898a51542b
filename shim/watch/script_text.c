/* script_text.c: script frames as lines of the ledger, and the name that one of them gives a call site. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "line.h"
#include "script_language.h"

enum { FILE_MOST = 240, FUNCTION_MOST = 120, NAME_FILE_MOST = 100 };

/* Where a cut to the last `most` bytes begins: at a character, and not before 0. */
static size_t cut_left(const char *text, size_t length, size_t most) {
    size_t at = length > most ? length - most : 0;
    while (at > 0 && at < length && ((unsigned char)text[at] & 0xc0) == 0x80)
        at++;
    return at;
}

/* Nothing to clean, as nearly always: this is done for every frame of every connect. */
static bool is_plain(const char *text, size_t length) {
    bool plain = true;
    for (size_t i = 0; i < length; i++)
        plain &= text[i] >= ' ' && text[i] < 0x7f;
    return plain;
}

static size_t put_number(char *out, long number) {
    char digits[24];
    size_t count = 0, length = 0;
    for (unsigned long left = number > 0 ? (unsigned long)number : 0; left || count == 0; left /= 10)
        digits[count++] = (char)('0' + left % 10);
    out[length++] = '\t';
    while (count)
        out[length++] = digits[--count];
    out[length++] = '\t';
    return length;
}

/* The end of a path says more than its beginning, the beginning of a name more than its end. */
static size_t put_clean(char *out, size_t size, const char *text, size_t length, size_t most, bool is_path) {
    char raw[FILE_MOST + 1];
    size_t from = is_path ? cut_left(text, length, most - 3) : 0;
    size_t head = from > 0 ? 3 : 0, count = length - from;
    if (length <= most) {
        from = head = 0;
        count = length;
    }
    count = count < most - head ? count : most - head;
    memcpy(raw, "...", head);
    memcpy(raw + head, text + from, count);
    raw[head + count] = '\0';
    if (is_plain(raw, head + count)) {
        memcpy(out, raw, head + count + 1);
        return head + count;
    }
    line_clean(raw, false, out, size);
    return strlen(out);
}

bool script_add(struct script_text *text, const char *file, size_t file_length, long line,
                const char *function, size_t function_length) {
    char path[FILE_MOST + 8], name[FUNCTION_MOST + 8], number[32];
    if (text->frames >= text->frames_wanted)
        return false;
    size_t path_length = put_clean(path, sizeof path, file, file_length, FILE_MOST, true);
    size_t name_length = put_clean(name, sizeof name, function, function_length, FUNCTION_MOST, false);
    size_t number_length = put_number(number, line);
    if (path_length + number_length + name_length + 1 > SCRIPT_TEXT - text->length) {
        text->frames_wanted = text->frames; /* a gap in a stack would be a lie */
        return false;
    }
    char *at = text->bytes + text->length;
    memcpy(at, path, path_length);
    memcpy(at + path_length, number, number_length);
    memcpy(at + path_length + number_length, name, name_length);
    at[path_length + number_length + name_length] = '\n';
    text->length += (uint32_t)(path_length + number_length + name_length + 1);
    text->frames++;
    return text->frames < text->frames_wanted;
}

struct frame {
    const char *file, *line, *function;
    size_t file_length, line_length, function_length;
};

/* The frame that begins at `at`; returns where the next one does, NULL when there is none. */
static const char *read_frame(const char *at, const char *end, struct frame *frame) {
    const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    const char *first = newline ? memchr(at, '\t', (size_t)(newline - at)) : NULL;
    const char *second = first ? memchr(first + 1, '\t', (size_t)(newline - first - 1)) : NULL;
    if (!second)
        return NULL;
    *frame = (struct frame){.file = at,
                            .line = first + 1,
                            .function = second + 1,
                            .file_length = (size_t)(first - at),
                            .line_length = (size_t)(second - first - 1),
                            .function_length = (size_t)(newline - second - 1)};
    return newline + 1;
}

/* Code that came with a package: whoever reads the name looks for a file of their own. */
static bool is_installed(const struct frame *frame) {
    static const char *const marks[] = {"/site-packages/", "/dist-packages/", "/gems/",      "/usr/lib/",
                                        "/usr/share/",     "/lib/ruby/",      "/lib/python", "/perl5/",
                                        "/vendor/",        "/node_modules/"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (memmem(frame->file, frame->file_length, marks[i], strlen(marks[i])))
            return true;
    return frame->file_length == 0 || frame->file[0] == '<' ||
           (frame->file_length > 5 && memcmp(frame->file, "node:", 5) == 0);
}

bool script_name(const struct script *script, char *name, size_t size) {
    struct frame frame, first;
    char here[512], path[NAME_FILE_MOST + 8];
    const char *at = script->text, *end = script->text + script->length;
    if (script->length == 0 || !read_frame(at, end, &first))
        return false;
    while ((at = read_frame(at, end, &frame)) && is_installed(&frame))
        ;
    if (!at)
        frame = first;
    /* Below the current directory, as a person would type it. */
    size_t length = getcwd(here, sizeof here) ? strlen(here) : 0;
    if (length > 1 && frame.file_length > length + 1 && memcmp(frame.file, here, length) == 0 &&
        frame.file[length] == '/') {
        frame.file += length + 1;
        frame.file_length -= length + 1;
    }
    put_clean(path, sizeof path, frame.file, frame.file_length, NAME_FILE_MOST, true);
    if (frame.function_length)
        snprintf(name, size, "%s:%.*s (%.*s)", path, (int)frame.line_length, frame.line,
                 (int)(frame.function_length < 40 ? frame.function_length : 40), frame.function);
    else
        snprintf(name, size, "%s:%.*s", path, (int)frame.line_length, frame.line);
    return true;
}
