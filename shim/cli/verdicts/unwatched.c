/* unwatched.c: what a check could not see. */
#include "unwatched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../watch/witness.h"
#include "../program.h"
#include "../say.h"

static void look_at(const struct ledger *ledger, bool fatal, struct problems *into) {
    const struct ledger_header *header = &ledger->header;
    uint32_t notes = header->notes;
    if (notes & LEDGER_NOTE_OFF)
        problem_add(into, fatal, "pqone was switched off in process %d (%s) by its own environment",
                    (int)header->pid, header->program);
    else if (header->mode[0] && strcmp(header->mode, "observe") != 0)
        problem_add(into, fatal,
                    "process %d (%s) ran in mode %s, which its own environment asked for: what it shared "
                    "cannot be judged",
                    (int)header->pid, header->program, header->mode);
    if (notes & LEDGER_NOTE_ROAD)
        problem_add(into, fatal,
                    "process %d (%s) reached libpq on a road that pqone could not take; the log says which",
                    (int)header->pid, header->program);
}

/* Ways to leave a check's sight, in words: who executed what stands before them. */
struct way {
    uint32_t kind;
    const char *how, *then; /* "that" or "they" stands between */
};
static const struct way ways[] = {
    {WITNESS_ESCAPED, " without pqone's variables in the environment (LD_PRELOAD, PQONE_RUN): what ",
     " did was not watched"},
    {WITNESS_PRIVILEGED,
     ", whose privileges (setuid, setgid or capabilities) make the loader ignore LD_PRELOAD: what ",
     " did was not watched"},
    {WITNESS_OTHER_USER, " as a user who cannot write into the ledgers' directory: what ",
     " did was not watched; run pqone as that user, or set PQONE_LEDGER_DIR"},
    {WITNESS_OTHER_RUN, " under a pqone of its own: what ",
     " did is in the other's report, and not in this one"},
    {WITNESS_STATIC, ", statically linked and with libpq in it: what ", " did was not watched"},
};
enum { NAMES_TOLD = 5 };

static char *text_of(const struct witness_row *row, char *into) {
    snprintf(into, WITNESS_TEXT, "%.*s", WITNESS_TEXT - 1, row->text);
    return into;
}

/* What cannot use libpq escapes nobody. ctypes looks for a library by /sbin/ldconfig, with an environment of
 * its own; that is a static program, or a script around one. */
static bool is_of_the_loader(const struct witness_row *row) {
    static const char name[] = "/sbin/ldconfig";
    char path[WITNESS_TEXT];
    size_t length = strlen(text_of(row, path));
    return row->kind == WITNESS_ESCAPED && path[0] == '/' && length >= sizeof name - 1 &&
           strcmp(path + length - (sizeof name - 1), name) == 0;
}

/* A static program without libpq. */
static bool is_harmless(const struct witness_row *row) {
    char path[WITNESS_TEXT];
    text_of(row, path);
    if (row->kind == WITNESS_STATIC)
        return !program_contains_libpq(path);
    /* A relative name means a file of the process's own directory, which may be another than ours. */
    return row->kind == WITNESS_ESCAPED && path[0] == '/' && program_is_static_without_libpq(path);
}

/* Equal ones of a loop are told once. */
static bool was_told(const struct witness_page *page, uint32_t row) {
    for (uint32_t i = 0; i < row; i++)
        if (page->rows[i].kind == page->rows[row].kind &&
            strncmp(page->rows[i].text, page->rows[row].text, WITNESS_TEXT) == 0)
            return true;
    return false;
}

/* One sentence for all of a kind, since whoever reads it has to mend all of them. */
static void tell_way(const struct witness_page *page, const struct way *way, bool fatal,
                     struct problems *into) {
    char *names = NULL, text[WITNESS_TEXT];
    size_t size, count = 0;
    FILE *out = open_memstream(&names, &size);
    for (uint32_t i = 0; out && i < WITNESS_ROWS; i++) {
        const struct witness_row *row = &page->rows[i];
        if (row->kind != way->kind || was_told(page, i) || is_of_the_loader(row) || is_harmless(row) ||
            count++ >= NAMES_TOLD)
            continue;
        fprintf(out, count == 1 ? "process %d executed %s" : ", process %d %s", (int)row->pid,
                say_printable(text_of(row, text)));
    }
    if (out && count > NAMES_TOLD)
        fprintf(out, " and %zu more", count - NAMES_TOLD);
    if (out && fclose(out) == 0 && count)
        problem_add(into, fatal, "%s%s%s%s%s", names, way->how, count == 1 ? "that" : "they", way->then,
                    fatal ? "; --allow-unused accepts it" : "");
    free(names);
}

/* A build runs many a static tool that has nothing to do with a database: said in one sentence, and no
 * failure. True if there is one. */
static bool tell_static(const struct witness_page *page, struct problems *into) {
    char *names = NULL, text[WITNESS_TEXT];
    size_t size, count = 0;
    FILE *out = open_memstream(&names, &size);
    for (uint32_t i = 0; out && i < WITNESS_ROWS; i++)
        if (!was_told(page, i) && !is_of_the_loader(&page->rows[i]) && is_harmless(&page->rows[i]))
            fprintf(out, "%s%s", count++ ? ", " : "", say_printable(text_of(&page->rows[i], text)));
    bool good = out && fclose(out) == 0;
    if (good && count)
        problem_add(into, false,
                    "statically linked, so nothing in %s was watched; no symbol of libpq is in %s: %s",
                    count == 1 ? "it" : "them", count == 1 ? "it" : "any of them", names);
    free(names);
    return count > 0;
}

/* Returns how many of the problems are mere remarks. */
static size_t look_at_witness(const struct witness_page *page, bool fatal, struct problems *into) {
    uint32_t used = page->used, rows = used < WITNESS_ROWS ? used : WITNESS_ROWS;
    char text[WITNESS_TEXT];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        tell_way(page, &ways[i], fatal, into);
    /* Without a ledger there is no verdict, whatever is allowed. */
    for (uint32_t i = 0; i < rows; i++)
        if (page->rows[i].kind == WITNESS_NO_LEDGER && !was_told(page, i))
            problem_add(into, true, "process %d could not write its ledger: %s", (int)page->rows[i].pid,
                        say_printable(text_of(&page->rows[i], text)));
    if (used > rows)
        problem_add(into, fatal,
                    "%u more programs were executed, or ledgers not written, of which only the "
                    "number is known",
                    used - rows);
    return tell_static(page, into);
}

void unwatched_find(const struct launch *launch, const struct ledger_list *list, struct problems *into) {
    bool fatal = !launch->options.check.allow_unused, loaded = false;
    uint64_t opened = 0;
    size_t remarks = 0;
    /* Without all ledgers there is no verdict, whatever is allowed. */
    for (size_t i = 0; i < list->damaged_count; i++)
        problem_add(into, true, "%s", list->damaged[i]);
    if (launch->witness)
        remarks = look_at_witness(launch->witness, fatal, into);
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        look_at(ledger, fatal, into);
        opened += ledger->header.counters.handles_opened;
        loaded = loaded || ledger->header.notes & LEDGER_NOTE_BYPASSED || ledger->header.libpq[0];
        for (uint32_t row = 0; row < ledger->handle_count; row++)
            opened += ledger->handles[row].state != LEDGER_HANDLE_FREE;
    }
    if (opened || into->count > remarks)
        return;
    const char *remedy = fatal ? "; if that is expected: --allow-unused" : "";
    if (loaded)
        problem_add(into, fatal,
                    "libpq was loaded but no connection was opened, so there was nothing to check%s", remedy);
    else if (launch->witness && launch->witness->loaded == 0)
        problem_add(into, fatal,
                    "libpqone.so was never loaded: the program's loader passed over LD_PRELOAD, so nothing "
                    "was watched%s",
                    remedy);
    else
        problem_add(into, fatal,
                    "no connection was opened, as far as libpqone.so could see, so there was nothing to "
                    "check%s",
                    remedy);
}
