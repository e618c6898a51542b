/* reports.c: writes the reports that were asked for. */
#include "reports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "say.h"
#include "summary.h"

static bool wants_colour(int descriptor) {
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(descriptor) && !(refused && *refused) && terminal && strcmp(terminal, "dumb") != 0;
}

/* Made in memory and written at once, so that it does not mix with lines of the program's children. */
static bool write_one(const struct report_output *output, const struct ledger_list *list,
                      struct symbols *symbols, int descriptor) {
    int file = descriptor;
    if (output->file)
        file = open(output->file, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0666);
    if (file < 0) {
        say("the report %s cannot be written: %s", output->file, strerror(errno));
        return false;
    }
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool good = out != NULL;
    if (good && output->format == REPORT_JSON)
        good = summary_json(out, list->ledgers, list->count, symbols);
    else if (good)
        summary_text(out, list->ledgers, list->count, symbols, wants_colour(file));
    if (out)
        good = fclose(out) == 0 && good;
    if (good)
        say_bytes(file, text, size);
    else
        say("a report does not fit into memory");
    free(text);
    if (file != descriptor && close(file) != 0 && good) {
        say("the report %s cannot be written: %s", output->file, strerror(errno));
        good = false;
    }
    return good;
}

/* A pipe or a device is not opened: its reader would see us come and go. */
static bool can_be_written(const char *path) {
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

bool reports_can_be_written(const struct options *options, char *why, size_t size) {
    for (size_t i = 0; i < options->report_count; i++) {
        const char *file = options->reports[i].file;
        if (!file || can_be_written(file))
            continue;
        snprintf(why, size, "the report %.512s cannot be written: %s", file, strerror(errno));
        return false;
    }
    return true;
}

bool reports_write(const struct options *options, const struct ledger_list *list, int descriptor) {
    static const struct report_output text = {REPORT_TEXT, NULL};
    struct symbols *symbols = symbols_new();
    bool good = true;
    for (size_t i = 0; i < options->report_count; i++)
        good = write_one(&options->reports[i], list, symbols, descriptor) && good;
    if (options->report_count == 0)
        good = write_one(&text, list, symbols, descriptor);
    symbols_free(symbols);
    return good;
}
