/* stack.c: any bytes as script frames and as the name that a process noted; libFuzzer's entry. */
#include "cli/symbols/stack.h"

#include <stdlib.h>
#include <string.h>

#include "cli/say.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

/* Nothing may steer the reader's terminal, or end a line of the report. */
static void check(const char *text) {
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    static struct ledger_module module = {.path = "/nonexistent/shop"};
    static char texts[8192];
    struct ledger_site site = {.depth = 1};
    if (size < 2 || size > sizeof texts - 1)
        return 0;
    size_t noted = bytes[0] < size - 2 ? bytes[0] : size - 2;
    if (noted > sizeof site.name - 1)
        noted = sizeof site.name - 1;
    /* As the ledger's reader leaves them. */
    memcpy(site.name, bytes + 2, noted);
    say_printable(site.name);
    size_t length = size - 2 - noted;
    memcpy(texts, bytes + 2 + noted, length);
    texts[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)texts[i] < ' ' && texts[i] != '\t' && texts[i] != '\n')
            texts[i] = '?';
    site.language = bytes[1];
    site.script_length = (uint32_t)length;
    site.frames[0] = LEDGER_FRAME(bytes[1] & 1 ? 0 : LEDGER_NO_MODULE, 0x1234);
    struct ledger ledger = {.modules = &module,
                            .module_count = 1,
                            .sites = &site,
                            .site_count = 1,
                            .texts = texts,
                            .text_length = (uint32_t)length};
    struct symbols *symbols = symbols_new();
    struct stack stack;
    if (!symbols || !stack_of_site(symbols, &ledger, 0, &stack) || stack.count == 0)
        abort();
    char text[600];
    check(frame_text(stack_first(&stack), text, sizeof text));
    for (size_t i = 0; i < stack.count; i++)
        check(frame_text(&stack.frames[i], text, sizeof text));
    char *identity = stack_identity(&stack);
    check(identity);
    free(identity);
    stack_release(&stack);
    symbols_free(symbols);
    return 0;
}
