/* ledger.c: any bytes as a ledger, read and reported in three forms; libFuzzer's entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/reports/report_html.h"
#include "cli/reports/summary.h"
#include "cli/verdicts/verdicts.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* Whatever a name says, the page has the two scripts that it was given, or the one. */
static void write_page(struct ledger *ledger, struct symbols *symbols) {
    struct ledger_list list = {.ledgers = ledger, .count = 1, .capacity = 1};
    struct verdicts verdicts;
    char *text = NULL;
    size_t length, ends = 0;
    FILE *out = open_memstream(&text, &length);
    if (!out || !verdicts_gather(&list, symbols, NULL, &verdicts))
        abort();
    struct report report = {.list = &list, .symbols = symbols, .verdicts = &verdicts};
    if (!report_html(out, &report) || fclose(out) != 0)
        abort();
    for (const char *at = text; (at = strcasestr(at, "</script")); at++)
        ends++;
    if (ends < 1 || ends > 2 || strlen(text) != length)
        abort();
    free(text);
    verdicts_release(&verdicts);
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    struct ledger ledger;
    char why[256], *text = NULL;
    size_t length;
    if (!ledger_parse(bytes, size, &ledger, why, sizeof why))
        return 0;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        abort();
    struct symbols *symbols = symbols_new();
    summary_text(out, &ledger, 1, symbols, false);
    json_t *processes = summary_json(&ledger, symbols);
    if (!processes || json_dumpf(processes, out, JSON_INDENT(1)) != 0)
        abort();
    json_decref(processes);
    write_page(&ledger, symbols);
    symbols_free(symbols);
    fclose(out);
    /* No byte of the ledger may steer the reader's terminal. */
    for (const char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' && *at != '\n')
            abort();
    free(text);
    ledger_release(&ledger);
    return 0;
}
