/* utf8.c: any bytes as UTF-8. */
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

size_t utf8_next(const char *at, uint32_t *code) {
    /* The first code point of each length: what is shorter in truth is no UTF-8. */
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)*at;
    size_t length = first < 0x80   ? 1
                    : first < 0xc2 ? 0
                    : first < 0xe0 ? 2
                    : first < 0xf0 ? 3
                    : first < 0xf5 ? 4
                                   : 0;
    uint32_t value = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        unsigned char next = (unsigned char)at[i];
        if ((next & 0xc0) != 0x80) {
            length = 0; /* the text's end is no continuation either: nothing behind it is read */
            break;
        }
        value = value << 6 | (next & 0x3f);
    }
    bool good = length && value >= least[length] && value <= 0x10ffff && (value < 0xd800 || value > 0xdfff);
    *code = good ? value : UTF8_REPLACEMENT;
    return good ? length : 1;
}

void utf8_put(FILE *out, uint32_t code) {
    if (code < 0x80) {
        putc((int)code, out);
        return;
    }
    int length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    putc((int)((0xf00u >> length & 0xff) | code >> 6 * (length - 1)), out);
    for (int i = length - 2; i >= 0; i--)
        putc((int)(0x80 | (code >> 6 * i & 0x3f)), out);
}

bool utf8_is_control(uint32_t code) {
    return (code < 0x20 && code != '\t' && code != '\n') || (code >= 0x7f && code < 0xa0) ||
           (code & 0xfffe) == 0xfffe;
}

json_t *utf8_json(const char *bytes) {
    if (!bytes || !*bytes)
        return json_null();
    json_t *value = json_string(bytes);
    if (value)
        return value;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    while (*bytes) {
        uint32_t code;
        bytes += utf8_next(bytes, &code);
        utf8_put(out, code);
    }
    if (fclose(out) == 0)
        value = json_string(text);
    free(text);
    return value;
}
