/*
 * sample.c: reports of made-up verdicts, for readers that others wrote: sample SCENARIO FORMAT, on standard
 * output.
 *
 * empty: nothing was found · plain: a finding of every kind · hostile: the same, with texts that break what
 * does not escape · many: ten thousand findings · unable: pqone could not do its work · clean: call sites, no
 * finding.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../shim/cli/reports/reports.h"
#include "../../shim/cli/verdicts/verdicts.h"
#include "../unit/ledger_sample.h"

enum { MANY = 10000, FRAMES = 4 };

/* What breaks XML, JSON, workflow commands, Markdown tables, terminals, and decoders of UTF-8. */
static const char hostile[] =
    "f<int>(\"a\" && "
    "'b')]]>|`*_[x](y)##[add-mask]::error::,:%0A%\r\n\t\x1b["
    "31m\x01\x7f\xc3\xa9\xff\xc0\xaf\xed\xa0\x80\xef\xbf\xbe\xf0\x9f\x98\x80\xe2\x82";

static bool is_hostile;

static char *text_of(const char *plain) {
    char *text;
    if (asprintf(&text, "%s%s", plain, is_hostile && *plain ? hostile : "") < 0)
        abort();
    return text;
}

/* A script frame, a frame inlined into one of the program, one of a library without debug information, and
 * noise. */
static struct stack stack_at(const char *function, int line) {
    struct stack stack = {calloc(FRAMES, sizeof(struct frame)), FRAMES, LEDGER_PYTHON};
    for (size_t i = 0; i < FRAMES; i++) {
        static const char *const files[] = {"app/db.py", "tests/formats/sample.c", "", ""};
        static const char *const modules[] = {"", "/opt/shop/shop", "/usr/lib/libPocoData.so.80",
                                              "/usr/lib/libc.so.6"};
        struct frame *frame = &stack.frames[i];
        char name[128];
        snprintf(name, sizeof name, "%s_%zu", function, i);
        frame->function = i == 3 ? strdup("") : text_of(name);
        frame->file = text_of(files[i]);
        frame->module = text_of(modules[i]);
        frame->line = *files[i] ? line + (int)i : 0;
        frame->offset = 0x1000 * i;
        frame->script = i == 0;
        frame->inlined = i == 1;
        frame->noise = i == 3;
        frame->replaced = i == 2;
    }
    return stack;
}

static struct finding finding_of(enum finding_kind kind, size_t number) {
    char name[64];
    snprintf(name, sizeof name, "open_%zu", number);
    struct finding finding = {.kind = kind,
                              .count = number + 1,
                              .says = text_of("a thing that happened"),
                              .advice = text_of("do it otherwise"),
                              .target = text_of("app@db.local:5432/shop"),
                              .function = "",
                              .statement = text_of("SELECT ? FROM a"),
                              .pid = 4711,
                              .program = text_of("/opt/shop/shop"),
                              .processes = 1,
                              .age = 2 * SAMPLE_SECOND,
                              .unused = -1,
                              .identity = text_of(name)};
    if (kind == FINDING_BUDGET)
        finding.budget = 2;
    else
        finding.opened = stack_at(name, (int)number + 10);
    if (kind == FINDING_MISUSE) {
        finding.misuse = misuse_row(1 + (uint32_t)(number % (MISUSES - 1)));
        finding.function = "PQexec";
        finding.is_note = finding.misuse->is_note;
    }
    if (kind == FINDING_MISUSE || kind == FINDING_LEFT)
        finding.place = stack_at("misused", (int)number + 50);
    finding.fails = (kind <= FINDING_BUDGET && !finding.is_note);
    return finding;
}

static void add(struct verdicts *verdicts, struct finding finding) {
    verdicts->failing += finding.fails;
    verdicts->findings[verdicts->count++] = finding;
}

/* Every kind, every misuse, one that is suppressed, one that is known, one of an unknown place. */
static void add_all(struct verdicts *verdicts) {
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        add(verdicts, finding_of((enum finding_kind)kind, verdicts->count));
    for (size_t i = 0; i + 1 < MISUSES; i++)
        add(verdicts, finding_of(FINDING_MISUSE, verdicts->count));
    struct finding suppressed = finding_of(FINDING_LOST, 100), known = finding_of(FINDING_HELD, 101),
                   unknown = finding_of(FINDING_UNKNOWN, 102);
    suppressed.suppressed_by = text_of("leak:open_1*");
    known.is_known = true;
    suppressed.fails = known.fails = false;
    stack_release(&unknown.opened);
    unknown.target = unknown.statement = "";
    unknown.pid = 0;
    add(verdicts, suppressed);
    add(verdicts, known);
    add(verdicts, unknown);
}

static struct ledger ledger_with_sites(size_t sites) {
    struct ledger ledger;
    char why[256], name[32];
    struct ledger_header *header = sample_ledger(4711);
    for (size_t i = 0; i < sites; i++) {
        snprintf(name, sizeof name, "site_%zu+0x1", i);
        struct ledger_site *site = sample_site(header, name);
        site->opened = i + 1;
        site->frames[0] = LEDGER_FRAME(LEDGER_NO_MODULE, 0x1000 + i);
    }
    sample_target(header, "app@db.local:5432/shop")->opened = sites;
    header->counters.handles_opened = sites;
    if (!ledger_parse(header, header->file_size, &ledger, why, sizeof why))
        abort();
    return ledger;
}

int main(int count, char **words) {
    if (count != 3)
        return 2;
    const struct report_format *format = report_format_named(words[2], strlen(words[2]));
    struct verdicts verdicts = {calloc(MANY + 64, sizeof(struct finding)), 0, 0, NULL, 0, {.alive_peak = 3}};
    struct suppression_use use[] = {{"leak:open_1*", 101}, {"leak:never", 0}};
    static const char *const problems[] = {"libpq was never loaded"};
    struct outcome outcome = {.decided_by = "nothing", .why = "nothing was found"};
    struct ledger ledger = {0};
    struct ledger_list list = {.ledgers = &ledger, .count = 1, .capacity = 1};
    is_hostile = strcmp(words[1], "hostile") == 0;
    if (strcmp(words[1], "plain") == 0 || is_hostile) {
        add_all(&verdicts);
        outcome = (struct outcome){.status = 23,
                                   .decided_by = "findings",
                                   .why = text_of("leaks"),
                                   .suppressions = use,
                                   .suppression_count = 2,
                                   .has_baseline = true};
        ledger = ledger_with_sites(3);
    } else if (strcmp(words[1], "many") == 0) {
        while (verdicts.count < MANY)
            add(&verdicts, finding_of((enum finding_kind)(verdicts.count % FINDING_KINDS), verdicts.count));
        outcome = (struct outcome){.status = 23, .decided_by = "findings", .why = "leaks"};
        ledger = ledger_with_sites(3);
    } else if (strcmp(words[1], "unable") == 0) {
        outcome = (struct outcome){.status = 125,
                                   .decided_by = "pqone",
                                   .why = "nothing is proved",
                                   .problems = problems,
                                   .problem_count = 1};
        list.count = 0;
    } else if (strcmp(words[1], "clean") == 0) {
        ledger = ledger_with_sites(3);
    } else {
        list.count = 0;
    }
    struct report report = {.list = &list, .verdicts = &verdicts, .outcome = &outcome};
    return format && format->write(stdout, &report) && fflush(stdout) == 0 ? 0 : 1;
}
