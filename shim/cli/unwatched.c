/* unwatched.c: what a check could not see. */
#include "unwatched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../watch/witness.h"
#include "program.h"
#include "say.h"

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

static void tell(const struct witness_row *row, uint32_t kind, bool fatal, struct problems *into) {
    char text[WITNESS_TEXT];
    snprintf(text, sizeof text, "%.*s", (int)sizeof row->text - 1, row->text);
    say_printable(text);
    int pid = row->pid;
    if (kind == WITNESS_ESCAPED)
        problem_add(into, fatal,
                    "process %d executed %s without pqone's variables in the environment (LD_PRELOAD, "
                    "PQONE_RUN): what that did was not watched",
                    pid, text);
    else if (kind == WITNESS_PRIVILEGED)
        problem_add(into, fatal,
                    "process %d executed %s, whose privileges (setuid, setgid or capabilities) make the "
                    "loader ignore LD_PRELOAD: what that did was not watched",
                    pid, text);
    else if (kind == WITNESS_OTHER_USER)
        problem_add(into, fatal,
                    "process %d executed %s as a user who cannot write into the ledgers' directory: what "
                    "that did was not watched; run pqone as that user, or set PQONE_LEDGER_DIR",
                    pid, text);
    else if (kind == WITNESS_OTHER_RUN)
        problem_add(
            into, fatal,
            "process %d executed %s under a pqone of its own: what that did is in the other's report, "
            "and not in this one",
            pid, text);
    else if (kind == WITNESS_STATIC)
        problem_add(into, fatal,
                    "process %d executed %s, which is statically linked and has libpq in it: what that did "
                    "was not watched",
                    pid, text);
    else
        problem_add(into, fatal, "process %d could not write its ledger: %s", pid, text);
}

/* A static program without libpq. */
static bool is_harmless(const struct witness_row *row) {
    char path[WITNESS_TEXT];
    if (row->kind != WITNESS_STATIC)
        return false;
    snprintf(path, sizeof path, "%.*s", WITNESS_TEXT - 1, row->text);
    return !program_contains_libpq(path);
}

/* Equal ones of a loop are one sentence. */
static bool was_told(const struct witness_page *page, uint32_t row, uint32_t kind) {
    for (uint32_t i = 0; i < row; i++)
        if (page->rows[i].kind == kind &&
            strncmp(page->rows[i].text, page->rows[row].text, WITNESS_TEXT) == 0)
            return true;
    return false;
}

/* A build runs many a static tool that has nothing to do with a database: said in one sentence, and no
 * failure. True if there is one. */
static bool tell_static(const struct witness_page *page, struct problems *into) {
    char *names = NULL;
    size_t size, count = 0;
    FILE *out = open_memstream(&names, &size);
    for (uint32_t i = 0; out && i < WITNESS_ROWS; i++)
        if (is_harmless(&page->rows[i]))
            fprintf(out, "%s%.*s", count++ ? ", " : "", WITNESS_TEXT - 1, page->rows[i].text);
    bool good = out && fclose(out) == 0;
    if (good && count)
        problem_add(into, false,
                    "statically linked, so nothing in %s was watched; no symbol of libpq is in %s: %s",
                    count == 1 ? "it" : "them", count == 1 ? "it" : "any of them", say_printable(names));
    free(names);
    return count > 0;
}

/* Returns how many of the problems are mere remarks. */
static size_t look_at_witness(const struct witness_page *page, bool fatal, struct problems *into) {
    uint32_t used = page->used, rows = used < WITNESS_ROWS ? used : WITNESS_ROWS, more = used - rows;
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t kind = page->rows[i].kind;
        if (is_harmless(&page->rows[i]))
            continue;
        if (kind && was_told(page, i, kind))
            more++;
        else if (kind)
            /* Without a ledger there is no verdict, whatever is allowed. */
            tell(&page->rows[i], kind, fatal || kind == WITNESS_NO_LEDGER, into);
    }
    if (more)
        problem_add(into, fatal, "%u more of these", more);
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
    if (loaded)
        problem_add(into, fatal,
                    "libpq was loaded, but no connect came through pqone: none was made, or it went another "
                    "way");
    else if (launch->witness && launch->witness->loaded == 0)
        problem_add(into, fatal,
                    "libpqone.so was never loaded: the program's loader passed over LD_PRELOAD, so nothing "
                    "was watched");
    else
        problem_add(into, fatal,
                    "libpq was never used, as far as libpqone.so could see: there was nothing to check");
}
