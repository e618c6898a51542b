/* say.h: one sentence of pqone itself on standard error, in one write so that lines never mix. */
#ifndef PQONE_SAY_H
#define PQONE_SAY_H

#include <stdbool.h>
#include <stddef.h>

/* "pqone: SENTENCE\n"; control bytes of whatever was put into it become ?. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* All of `bytes`, also to a descriptor that the program made non-blocking. False, with errno: it took not all
 * of them. On standard error that is nobody's business: there is no other place to tell it. */
bool say_bytes(int descriptor, const char *bytes, size_t length);

/* Puts ? for every byte of a terminated text that could steer a terminal. Returns `text`. */
char *say_printable(char *text);

#endif
