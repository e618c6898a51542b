/* quantity.c: numbers and lengths of time in a sentence. */
#include "quantity.h"

const char *quantity_plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

void quantity_put_span(FILE *out, int64_t nanoseconds) {
    double seconds = (double)nanoseconds / 1e9;
    if (seconds < 0.0995)
        fprintf(out, "%.0fms", seconds * 1e3);
    else if (seconds < 119.5)
        fprintf(out, "%.1fs", seconds);
    else if (seconds < 7170)
        fprintf(out, "%.0fmin", seconds / 60);
    else
        fprintf(out, "%.1fh", seconds / 3600);
}
