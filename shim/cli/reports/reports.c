/* reports.c: writes the reports that were asked for. */
#include "reports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../say.h"
#include "../verdicts/verdicts.h"
#include "check_text.h"
#include "report_github.h"
#include "report_html.h"
#include "report_json.h"
#include "report_junit.h"
#include "report_sarif.h"
#include "summary.h"

static bool report_text(FILE *out, const struct report *report) {
    if (report->verdicts)
        return check_text(out, report);
    summary_text(out, report->list->ledgers, report->list->count, report->symbols, report->colour);
    return true;
}

/* The order is that of help texts and messages. */
static const struct report_format formats[] = {
    {"text", report_text, false},    //
    {"json", report_json, true},     //
    {"junit", report_junit, true},   //
    {"sarif", report_sarif, true},   //
    {"github", report_github, true}, //
    {"html", report_html, true},     //
};
enum { FORMATS = sizeof formats / sizeof *formats };

const struct report_format *report_format_named(const char *word, size_t length) {
    for (size_t i = 0; i < FORMATS; i++)
        if (strlen(formats[i].word) == length && memcmp(formats[i].word, word, length) == 0)
            return &formats[i];
    return NULL;
}

char *report_format_words(char *into, size_t size) {
    size_t at = 0;
    *into = '\0';
    for (size_t i = 0; i < FORMATS && at < size; i++)
        at += (size_t)snprintf(into + at, size - at, "%s%s",
                               i == 0            ? ""
                               : i + 1 < FORMATS ? ", "
                                                 : " or ",
                               formats[i].word);
    return into;
}

static bool wants_colour(int descriptor) {
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(descriptor) && !(refused && *refused) && terminal && strcmp(terminal, "dumb") != 0;
}

/* Made in memory and written at once, so that it does not mix with lines of the program's children. */
static bool write_one(const struct report_output *output, struct report *report, int descriptor) {
    int file = output->descriptor ? output->descriptor : descriptor;
    if (output->file && !output->descriptor)
        file = open(output->file, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
    if (file < 0) {
        say("the report %s cannot be written: %s", output->file, strerror(errno));
        return false;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    report->colour = wants_colour(file);
    bool good = out && output->format->write(out, report);
    if (out)
        good = fclose(out) == 0 && good;
    if (!good)
        say("a report does not fit into memory");
    bool written = good && say_bytes(file, text, size);
    int error = errno;
    free(text);
    if (file != descriptor && close(file) != 0 && written) {
        written = false;
        error = errno;
    }
    if (good && !written)
        say("the report%s%s cannot be written: %s", output->file ? " " : "", output->file ? output->file : "",
            strerror(error));
    return written;
}

/* A pipe or a device is not opened: its reader would see us come and go. */
bool reports_file_can_be_written(const char *path) {
    struct stat status;
    if (stat(path, &status) == 0) {
        if (!S_ISDIR(status.st_mode))
            return eaccess(path, W_OK) == 0;
        errno = EISDIR;
        return false;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOCTTY | O_CLOEXEC, 0666);
    if (file < 0)
        return errno == EEXIST; /* a link to a file that is still to be made */
    close(file);
    unlink(path);
    return true;
}

/* The number of our own descriptor that the name means, or -1. */
static int own_descriptor(const char *path) {
    static const char *const directories[] = {"/dev/fd/", "/proc/self/fd/"};
    if (strcmp(path, "/dev/stdout") == 0)
        return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0)
        return STDERR_FILENO;
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        const char *number = path + strlen(directories[i]);
        if (strncmp(path, directories[i], strlen(directories[i])) == 0 && *number &&
            strspn(number, "0123456789") == strlen(number) && strlen(number) < 8)
            return atoi(number);
    }
    return -1;
}

/* Copied, and not opened anew: what the program has written there would be cut off. */
static bool keep(struct report_output *output) {
    int own = own_descriptor(output->file), flags = own < 0 ? 0 : fcntl(own, F_GETFL);
    if (own < 0)
        return reports_file_can_be_written(output->file);
    if (flags >= 0 && (flags & O_ACCMODE) == O_RDONLY) {
        errno = EBADF;
        return false;
    }
    int copy = flags < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy >= 0)
        output->descriptor = copy;
    return copy >= 0;
}

/* Of a pipe or a device it does not matter: one follows the other. */
static bool is_same_file(const char *one, const char *other) {
    struct stat first, second;
    bool known = stat(one, &first) == 0;
    if (known && stat(other, &second) == 0)
        return S_ISREG(first.st_mode) && first.st_dev == second.st_dev && first.st_ino == second.st_ino;
    return !known && strcmp(one, other) == 0;
}

bool reports_go_to(const struct options *options, const char *path) {
    for (size_t i = 0; i < options->report_count; i++)
        if (options->reports[i].file && is_same_file(options->reports[i].file, path))
            return true;
    return false;
}

bool reports_prepare(struct options *options, char *why, size_t size) {
    for (size_t i = 0; i < options->report_count; i++) {
        struct report_output *output = &options->reports[i];
        if (!output->file)
            continue;
        if (!keep(output)) {
            snprintf(why, size, "the report %.512s cannot be written: %s", output->file, strerror(errno));
            return false;
        }
        for (size_t before = 0; before < i && !output->descriptor; before++) {
            const struct report_output *other = &options->reports[before];
            if (!other->file || other->descriptor || !is_same_file(other->file, output->file))
                continue;
            snprintf(why, size, "two reports cannot go to one file, %.512s", output->file);
            return false;
        }
    }
    return true;
}

/* For formats that are made of verdicts, where nobody has judged: nothing fails then. */
static bool judge(const struct options *options, struct report *report, struct verdicts *own) {
    bool wanted = false;
    for (size_t i = 0; i < options->report_count; i++)
        wanted = wanted || options->reports[i].format->judges;
    if (!wanted || report->verdicts)
        return true;
    report->verdicts = own;
    return verdicts_gather(report->list, report->symbols, NULL, own);
}

bool reports_write(const struct options *options, const struct report *report, int descriptor) {
    const struct report_output text = {.format = &formats[0]};
    struct report mine = *report;
    struct verdicts verdicts = {0};
    if (!mine.symbols)
        mine.symbols = symbols_new();
    bool judged = judge(options, &mine, &verdicts), good = judged;
    if (!judged)
        say("a report does not fit into memory");
    for (size_t i = 0; judged && i < options->report_count; i++) {
        struct report one = mine;
        if (!options->reports[i].format->judges)
            one.verdicts = report->verdicts;
        good = write_one(&options->reports[i], &one, descriptor) && good;
    }
    if (options->report_count == 0)
        good = write_one(&text, &mine, descriptor);
    if (mine.verdicts != report->verdicts)
        verdicts_release(&verdicts);
    if (!report->symbols)
        symbols_free(mine.symbols);
    return good;
}
