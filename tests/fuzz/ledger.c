/* ledger.c: any bytes as a ledger, read and reported in both forms; libFuzzer's entry. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/summary.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

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
    if (!summary_json(out, &ledger, 1, symbols))
        abort();
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
