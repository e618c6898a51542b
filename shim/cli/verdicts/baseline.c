/* baseline.c: what a check found before. */
#include "baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct baseline {
    json_t *counts; /* object: identity to count */
};

bool baseline_minds(const struct finding *finding) {
    return !finding->is_note && !finding->suppressed_by && finding->kind != FINDING_HANDED;
}

/* One entry of the file into the object; NULL: fine. */
static const char *take(json_t *counts, const json_t *entry) {
    const json_t *identity = json_object_get(entry, "identity"), *count = json_object_get(entry, "count");
    if (!json_is_string(identity) || !json_is_integer(count) || json_integer_value(count) < 0)
        return "holds something that is no finding";
    json_int_t known = json_integer_value(json_object_get(counts, json_string_value(identity)));
    json_int_t sum;
    if (__builtin_add_overflow(known, json_integer_value(count), &sum) ||
        json_object_set_new(counts, json_string_value(identity), json_integer(sum)) != 0)
        return "does not fit into memory";
    return NULL;
}

static const char *take_all(const json_t *root, json_t *counts) {
    const json_t *version = json_object_get(root, "pqone_baseline"),
                 *findings = json_object_get(root, "findings");
    if (!counts)
        return "does not fit into memory";
    if (!json_is_integer(version) || !json_is_array(findings))
        return "is not a baseline of pqone";
    if (json_integer_value(version) != BASELINE_VERSION)
        return "is of a version that this pqone does not know";
    const char *wrong = NULL;
    for (size_t i = 0; !wrong && i < json_array_size(findings); i++)
        wrong = take(counts, json_array_get(findings, i));
    return wrong;
}

struct baseline *baseline_read(const char *path, char *why, size_t size) {
    json_error_t error;
    FILE *in = fopen(path, "re");
    if (!in) {
        snprintf(why, size, "the baseline %.512s cannot be read: %s%s", path, strerror(errno),
                 errno == ENOENT ? "; --write-baseline makes one" : "");
        return NULL;
    }
    json_t *root = json_loadf(in, 0, &error);
    fclose(in);
    if (!root) {
        snprintf(why, size, "the baseline %.512s:%d is no JSON: %s", path, error.line, error.text);
        return NULL;
    }
    struct baseline *baseline = calloc(1, sizeof *baseline);
    json_t *counts = json_object();
    const char *wrong = baseline ? take_all(root, counts) : "does not fit into memory";
    json_decref(root);
    if (!wrong) {
        baseline->counts = counts;
        return baseline;
    }
    snprintf(why, size, "the baseline %.512s %s", path, wrong);
    json_decref(counts);
    free(baseline);
    return NULL;
}

void baseline_free(struct baseline *baseline) {
    if (baseline)
        json_decref(baseline->counts);
    free(baseline);
}

uint64_t baseline_count(const struct baseline *baseline, const char *identity) {
    return baseline ? (uint64_t)json_integer_value(json_object_get(baseline->counts, identity)) : 0;
}

static int by_identity(const void *left, const void *right) {
    return strcmp((*(const struct finding *const *)left)->identity,
                  (*(const struct finding *const *)right)->identity);
}

/* File names may be in any encoding; JSON is not. */
static json_t *text(const char *bytes) {
    json_t *value = json_string(bytes);
    char *copy = value ? NULL : strdup(bytes);
    for (char *at = copy; at && *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    if (copy)
        value = json_string(copy);
    free(copy);
    return value;
}

static json_t *document(const struct finding *findings, size_t count) {
    json_t *list = json_array();
    const struct finding **sorted = calloc(count + 1, sizeof *sorted);
    size_t kept = 0;
    for (size_t i = 0; sorted && i < count; i++)
        if (baseline_minds(&findings[i]))
            sorted[kept++] = &findings[i];
    if (kept)
        qsort(sorted, kept, sizeof *sorted, by_identity);
    bool good = list && sorted;
    for (size_t i = 0; good && i < kept;) {
        /* Findings of one identity (two lines of a function, lost and held) are one entry. */
        uint64_t sum = 0;
        size_t next = i;
        for (; next < kept && strcmp(sorted[next]->identity, sorted[i]->identity) == 0; next++)
            sum += sorted[next]->count;
        good = json_array_append_new(list,
                                     json_pack("{s:o, s:I}", "identity", text(sorted[i]->identity), "count",
                                               (json_int_t)(sum > INT64_MAX ? INT64_MAX : sum))) == 0;
        i = next;
    }
    free(sorted);
    if (!good) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:i, s:o}", "pqone_baseline", BASELINE_VERSION, "findings", list);
}

/* A name for what will become the file: beside it, and behind a link that has its name. */
static bool beside(const char *path, char *into, size_t size) {
    char *target = realpath(path, NULL);
    bool fits = snprintf(into, size, "%s.XXXXXX", target ? target : path) < (int)size;
    free(target);
    return fits;
}

bool baseline_can_be_written(const char *path, char *why, size_t size) {
    char trial[4096];
    struct stat status;
    int file = -1;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    else if (!beside(path, trial, sizeof trial))
        errno = ENAMETOOLONG;
    else
        file = mkostemp(trial, O_CLOEXEC);
    if (file < 0) {
        snprintf(why, size, "the baseline %.512s cannot be written: %s", path, strerror(errno));
        return false;
    }
    close(file);
    unlink(trial);
    return true;
}

bool baseline_write(const char *path, const struct finding *findings, size_t count, char *why, size_t size) {
    char temporary[4096];
    json_t *root = document(findings, count);
    int file = beside(path, temporary, sizeof temporary) ? mkostemp(temporary, O_CLOEXEC) : -1;
    mode_t mask = umask(0);
    umask(mask);
    FILE *out = file < 0 ? NULL : fdopen(file, "w");
    bool good = root && out && fchmod(file, 0666 & ~mask) == 0 &&
                json_dumpf(root, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    int error = errno;
    if (out && fclose(out) != 0) {
        good = false;
        error = errno;
    }
    char *target = realpath(path, NULL);
    if (good && rename(temporary, target ? target : path) != 0) {
        good = false;
        error = errno;
    }
    if (!good) {
        snprintf(why, size, "the baseline %.512s cannot be written: %s", path, strerror(error));
        if (file >= 0)
            unlink(temporary);
    }
    free(target);
    json_decref(root);
    return good;
}
