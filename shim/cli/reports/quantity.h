/* quantity.h: numbers and lengths of time in a sentence. */
#ifndef PQONE_QUANTITY_H
#define PQONE_QUANTITY_H

#include <stdint.h>
#include <stdio.h>

/* "s", or "" for one. */
const char *quantity_plural(uint64_t count);

/* "12ms", "3.4s", "12min", "5.0h": as long as a reader needs it. */
void quantity_put_span(FILE *out, int64_t nanoseconds);

#endif
