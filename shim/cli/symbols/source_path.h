/*
 * source_path.h: source files as a report names them to a CI system: relative to the root of the checkout.
 *
 * The root is $GITHUB_WORKSPACE where the working directory lies in it, else the working directory.
 */
#ifndef PQONE_SOURCE_PATH_H
#define PQONE_SOURCE_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "stack.h"

struct source_root {
    char here[PATH_MAX];  /* the working directory: what relative file names are relative to */
    char alias[PATH_MAX]; /* the same as the shell calls it ($PWD), through symbolic links; or "" */
    char root[PATH_MAX];  /* "" when it cannot be known: then all paths are absolute */
};

void source_root_find(struct source_root *root);

/*
 * `file` without ./ and .., relative to the root where it lies in it. False: it does not; `into` is absolute,
 * or, of a name that was relative to the place where a library was built, the name without its leading steps.
 */
bool source_path(const struct source_root *root, const char *file, char *into, size_t size);

/* A path as the path of a URI: everything but letters, digits and -._~/ as %XX. */
void source_uri(FILE *out, const char *path);

/* Where a reader should be led: the frame that a report names if it lies in the checkout, else the innermost
 * one that does, else the innermost with a line that is no library's; else NULL. */
const struct frame *source_frame(const struct source_root *root, const struct stack *stack);

#endif
