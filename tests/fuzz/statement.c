/* statement.c: libFuzzer's entry for the judge and the outline.
 * clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Ishim tests/fuzz/statement.c shim/statement*.c
 * shim/pin.c */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char *const safe[] = {"app.*", "f*_ok", NULL};
    if (size < 1)
        return 0;
    struct reading reading = {data[0] & 1, data[0] & 2, data[0] & 4 ? safe : NULL};
    char *sql = malloc(size);
    if (!sql)
        return 0;
    memcpy(sql, data + 1, size - 1);
    sql[size - 1] = 0;
    size_t length = strlen(sql);

    struct verdict verdict = statement_judge(sql, &reading);
    expect(verdict.reason < PIN_REASONS);
    expect(verdict.culprit >= sql && verdict.culprit + verdict.culprit_length <= sql + length);
    expect(verdict.reason != PIN_NONE || (verdict.taint == TAINT_UNTOUCHED && verdict.culprit_length == 0));
    expect(verdict.taint >= pin_row(verdict.reason)->taint);
    expect(!memchr(verdict.culprit, '\'', verdict.culprit_length) ||
           memchr(verdict.culprit, '"', verdict.culprit_length));

    /* What is harmless is so in company, and hides nothing that follows it. */
    char *twice = verdict.reason != PIN_NONE ? NULL : malloc(2 * length + 16);
    if (twice) {
        sprintf(twice, "%s\n;%s\n;LISTEN a", sql, sql);
        expect(statement_judge(twice, &reading).reason == PIN_LISTEN);
        free(twice);
    }

    char out[512];
    size_t room = 1 + (data[0] >> 3) * 16;
    memset(out, 'x', sizeof out);
    statement_outline(sql, out, room);
    expect(strlen(out) < room && out[room] == 'x');
    expect(!strchr(out, '\'') || strchr(out, '"'));
    free(sql);
    return 0;
}
