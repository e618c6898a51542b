/* stack_names.c: how stacks that begin alike are told apart. */
#include "cli/symbols/stack_names.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 4, DEPTH = 6 };
static struct frame frames[MAX][DEPTH];
static struct stack stacks[MAX];
static char *names[MAX];

/* Functions with a space between them, innermost first; one that begins with ! is noise. */
static void stack(size_t at, const char *functions) {
    static char texts[MAX][DEPTH][32];
    size_t count = 0;
    for (; *functions && count < DEPTH; count++) {
        size_t length = strcspn(functions, " ");
        bool noise = *functions == '!';
        snprintf(texts[at][count], sizeof *texts[at], "%.*s", (int)length, functions);
        frames[at][count] = (struct frame){.function = texts[at][count],
                                           .file = (char *)(uintptr_t) "a.c",
                                           .line = 1,
                                           .module = (char *)(uintptr_t) "",
                                           .noise = noise};
        functions += length + (functions[length] == ' ');
    }
    stacks[at] = (struct stack){.frames = frames[at], .count = count};
}

static void name(size_t count) {
    const struct stack *all[MAX];
    for (size_t i = 0; i < count; i++)
        all[i] = &stacks[i];
    cr_assert(stack_names(all, count, names));
}

static void drop(void) {
    for (size_t i = 0; i < MAX; i++)
        free(names[i]);
}
TestSuite(stack_names, .fini = drop);

Test(stack_names, one_alone_is_its_first_frame) {
    stack(0, "open find main");
    stack(1, "other find main");
    name(2);
    cr_expect_str_eq(names[0], "a.c:1 (open)");
    cr_expect_str_eq(names[1], "a.c:1 (other)");
    cr_expect_str_eq(stack_name_callers(names[0], &stacks[0]), "");
}

Test(stack_names, the_caller_that_differs_is_named) {
    stack(0, "open find main");
    stack(1, "open audit main");
    stack(2, "open");
    name(3);
    cr_expect_str_eq(names[0], "a.c:1 (open) < a.c:1 (find)");
    cr_expect_str_eq(names[1], "a.c:1 (open) < a.c:1 (audit)");
    cr_expect_str_eq(names[2], "a.c:1 (open)");
    cr_expect_str_eq(stack_name_callers(names[1], &stacks[1]), " < a.c:1 (audit)");
}

Test(stack_names, what_is_the_same_in_all_is_left_out) {
    stack(0, "open pool lease find main");
    stack(1, "open pool lease audit main");
    name(2);
    cr_expect_str_eq(names[0], "a.c:1 (open) < … < a.c:1 (find)");
    cr_expect_str_eq(names[1], "a.c:1 (open) < … < a.c:1 (audit)");
}

Test(stack_names, several_differences_on_one_way) {
    stack(0, "open find main");
    stack(1, "open pool mail main");
    stack(2, "open pool audit main");
    name(3);
    cr_expect_str_eq(names[0], "a.c:1 (open) < a.c:1 (find)");
    cr_expect_str_eq(names[1], "a.c:1 (open) < a.c:1 (pool) < a.c:1 (mail)");
    cr_expect_str_eq(names[2], "a.c:1 (open) < a.c:1 (pool) < a.c:1 (audit)");
}

Test(stack_names, two_that_read_the_same_have_one_name) {
    stack(0, "open !loop find main");
    stack(1, "open find !start main");
    stack(2, "open audit main");
    name(3);
    cr_expect_str_eq(names[0], "a.c:1 (open) < a.c:1 (find)");
    cr_expect_str_eq(names[1], names[0]);
    cr_expect_str_eq(names[2], "a.c:1 (open) < a.c:1 (audit)");
}

Test(stack_names, nobody_knows) {
    stacks[0] = stacks[1] = (struct stack){0};
    name(2);
    cr_expect_str_eq(names[0], "an unknown place");
    cr_expect_str_eq(names[1], names[0]);
}
