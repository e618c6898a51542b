/* source_path.c: source files relative to the root of the checkout. */
#include "source_path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "noise.h"

/* The rest of `path` behind the directory, NULL if it does not lie in it. */
static const char *inside(const char *directory, const char *path) {
    size_t length = strlen(directory);
    if (!length || strncmp(directory, path, length) != 0)
        return NULL;
    if (directory[length - 1] == '/') /* the directory / */
        return path + length;
    return path[length] == '/' ? path + length + 1 : path[length] ? NULL : path + length;
}

/* By the text alone: the file need not exist on this machine. */
static void normalise(char *path) {
    char *to = path;
    for (const char *from = path; *from;) {
        from += strspn(from, "/");
        size_t length = strcspn(from, "/");
        if (length == 2 && from[0] == '.' && from[1] == '.') {
            while (to > path && *--to != '/') {
            }
        } else if (length && !(length == 1 && *from == '.')) {
            *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length;
    }
    if (to == path)
        *to++ = '/';
    *to = '\0';
}

void source_root_find(struct source_root *root) {
    struct stat here, named;
    const char *alias = getenv("PWD"), *workspace = getenv("GITHUB_WORKSPACE");
    memset(root, 0, sizeof *root);
    if (!getcwd(root->here, sizeof root->here) || root->here[0] != '/') {
        root->here[0] = '\0';
        return;
    }
    memcpy(root->root, root->here, sizeof root->root);
    /* Compilers write $PWD into debug information, not what getcwd() says. */
    if (alias && *alias == '/' && strlen(alias) < sizeof root->alias && strcmp(alias, root->here) != 0 &&
        stat(alias, &named) == 0 && stat(root->here, &here) == 0 && named.st_dev == here.st_dev &&
        named.st_ino == here.st_ino)
        strcpy(root->alias, alias);
    if (workspace && *workspace == '/' && strlen(workspace) < sizeof root->root) {
        char real[PATH_MAX];
        if (realpath(workspace, real) && inside(real, root->here))
            strcpy(root->root, real);
    }
}

/* Names of any length: a name from a damaged file is cut rather than refused. */
static void join(const char *directory, const char *rest, char *into, size_t size) {
    size_t length = strnlen(directory, size - 2);
    memcpy(into, directory, length);
    into[length++] = '/';
    size_t more = strnlen(rest, size - length - 1);
    memcpy(into + length, rest, more);
    into[length + more] = '\0';
}

bool source_path(const struct source_root *root, const char *file, char *into, size_t size) {
    char path[2 * PATH_MAX], again[2 * PATH_MAX];
    join(*file == '/' ? "" : root->here, file, path, sizeof path);
    normalise(path);
    if (*file != '/' && access(path, F_OK) != 0) {
        join("", file, again, sizeof again);
        normalise(again);
        snprintf(into, size, "%s", again + 1);
        return false;
    }
    const char *rest = root->alias[0] ? inside(root->alias, path) : NULL;
    if (rest) {
        join(root->here, rest, again, sizeof again);
        memcpy(path, again, sizeof path);
    }
    rest = inside(root->root, path);
    bool is_inside = rest && *rest;
    snprintf(into, size, "%s", is_inside ? rest : path);
    return is_inside;
}

void source_uri(FILE *out, const char *path) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
    for (; *path; path++)
        if (strchr(plain, *path))
            putc(*path, out);
        else
            fprintf(out, "%%%02X", (unsigned char)*path);
}

static bool is_inside(const struct source_root *root, const struct frame *frame) {
    char path[PATH_MAX];
    return frame->line && frame->file[0] && source_path(root, frame->file, path, sizeof path);
}

const struct frame *source_frame(const struct source_root *root, const struct stack *stack) {
    const struct frame *first = stack_first(stack);
    if (!first || is_inside(root, first))
        return first;
    const struct frame *located = first->line && first->file[0] ? first : NULL;
    for (size_t i = 0; i < stack->count; i++) {
        const struct frame *frame = &stack->frames[i];
        if (frame->noise || noise_is_library(frame->file) || !frame->line || !frame->file[0])
            continue;
        if (is_inside(root, frame))
            return frame;
        if (!located)
            located = frame;
    }
    return located;
}
