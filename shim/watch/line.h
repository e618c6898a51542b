/*
 * line.h: the text of one log line. Whatever a message was made of, the line is valid UTF-8 without
 * control bytes, and as JSON it is one valid object.
 */
#ifndef PQONE_LINE_H
#define PQONE_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../settings.h"

/* One write of this much to a pipe is atomic (PIPE_BUF). */
#define LINE_MAX_BYTES 4096

/* A call site inside a message that is still being made. It carries a number that nobody outside this
 * process can guess, so that a token in a program's data is told from ours. At most 16 bytes. */
const char *line_token(uint32_t site, char *buffer);

/* Copies a message: our own tokens become LOG_TOKEN_BEGIN, row, LOG_TOKEN_END; every other control byte
 * and whatever is not UTF-8 becomes ?. Cut with "..." if it was longer than `size`. */
void line_clean(const char *raw, bool raw_is_cut, char *clean, size_t size);

/* The finished line, newline included, not terminated. `pid` and `word` head it; with `keep_tokens` the
 * tokens stay (raw in JSON too: who replaces them escapes), else names of this process replace them. */
size_t line_make(char *line, size_t size, enum log_format format, int pid, const char *word,
                 const char *message, bool keep_tokens);

#endif
