/* utf8.h: texts of ledgers and debug information, which may hold any bytes, as UTF-8 that any reader takes.
 */
#ifndef PQONE_UTF8_H
#define PQONE_UTF8_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define UTF8_REPLACEMENT 0xfffdu

/* The character at `at`, which is not the end; a byte that belongs to none is UTF8_REPLACEMENT. Returns how
 * many bytes it takes. */
size_t utf8_next(const char *at, uint32_t *code);

void utf8_put(FILE *out, uint32_t code);

/* Does it steer a terminal, or has XML 1.0 no place for it? Tab and newline do not count. */
bool utf8_is_control(uint32_t code);

/* A JSON string, null for "" and NULL: what is not known is null in every report. */
json_t *utf8_json(const char *bytes);

#endif
