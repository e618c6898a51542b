/* suppressions.c: which findings a line of a suppressions file means. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verdicts/proposals.h"
#include "cli/verdicts/suppressions.h"

static char why[1024];

static struct suppressions *parse(const char *text) {
    return suppressions_parse(text, strlen(text), "list", why, sizeof why);
}

static void refused(const char *text, const char *part) {
    struct suppressions *read = parse(text);
    cr_expect_null(read, "%s", text);
    cr_expect(strstr(why, part), "%s: %s", text, why);
    suppressions_free(read);
}

Test(suppressions, patterns_are_those_of_leak_sanitizer) {
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"connect", "db_connect_all", true},
        {"connect", "db_conn", false},
        {"^db", "db_connect", true},
        {"^connect", "db_connect", false},
        {"connect$", "db_connect", true},
        {"db$", "db_connect", false},
        {"^db_connect$", "db_connect", true},
        {"^db_connect$", "db_connect2", false},
        {"db*all", "db_connect_all", true},
        {"db*all", "all_db", false},
        {"^*.py$", "app/db.py", true},
        {"^*.py$", "app/db.pyc", false},
        {"foo$", "foofoo", true},
        {"a*b*c$", "abcabcabcbc", true},
        {"a**c", "abc", true},
        {"a$b", "xa$by", true},
        {"operator()(char*)", "operator()(char*)", true},
        {"anything", "", false},
        {"ä", "Pläne", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(suppression_matches(cases[i].pattern, cases[i].text), cases[i].matches, "%s on %s",
                     cases[i].pattern, cases[i].text);
}

/* Exponential in a naive matcher. */
Test(suppressions, many_stars_take_no_time, .timeout = 5) {
    char text[4097];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_expect_not(suppression_matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

Test(suppressions, a_bad_line_is_named_with_its_number) {
    refused("# fine\n\nleak:ok\nnonsense\n", "list:4");
    refused("leek:x", "list:1: the line names no kind");
    refused("none:x", "no kind");
    refused("leak:", "no pattern");
    refused("leak:*", "no pattern");
    refused(":x", "no kind");
    struct suppressions *read = suppressions_parse("leak:a\0b\n", 9, "list", why, sizeof why);
    cr_expect_null(read);
    cr_expect(strstr(why, "NUL"));
    cr_expect_null(suppressions_read("/nonexistent", why, sizeof why));
    cr_expect(strstr(why, "/nonexistent"));
}

Test(suppressions, comments_blanks_and_the_last_line_without_an_end) {
    struct suppressions *read = parse("# all\n \t\r\n  leak:one  \r\nduplicate:two");
    uint64_t hits;
    cr_assert(read, "%s", why);
    cr_expect_eq(suppressions_count(read), 2);
    cr_expect_str_eq(suppressions_line(read, 0, &hits), "leak:one");
    cr_expect_str_eq(suppressions_line(read, 1, &hits), "duplicate:two");
    suppressions_free(read);
    read = parse("");
    cr_expect_eq(suppressions_count(read), 0);
    suppressions_free(read);
    cr_expect_eq(suppressions_count(NULL), 0);
}

static struct frame frames[] = {
    {.function = "psyco_connect", .file = "", .module = "/usr/lib/_psycopg.so"},
    {.function = "get_conn", .file = "app/db.py", .module = "", .script = true},
    {.function = "main", .file = "main.c", .module = "/usr/bin/app", .noise = true},
};

static struct finding finding_of(enum finding_kind kind) {
    return (struct finding){
        .kind = kind, .count = 3, .opened = {frames, 3, LEDGER_PYTHON}, .target = "app@db.local:5432/shop"};
}

Test(suppressions, any_frame_counts_by_function_file_or_module) {
    static const char *const lines[] = {"leak:psyco_connect", "leak:^app/", "leak:_psycopg.so$",
                                        "lost:main.c", "leak:get_conn"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct suppressions *read = parse(lines[i]);
        struct finding finding = finding_of(FINDING_LOST);
        const char *by = suppressions_match(read, &finding);
        uint64_t hits;
        cr_assert(by, "%s", lines[i]);
        cr_expect_str_eq(by, lines[i]);
        suppressions_line(read, 0, &hits);
        cr_expect_eq(hits, 3);
        suppressions_free(read);
    }
}

Test(suppressions, kinds_are_kept_apart) {
    static const struct {
        const char *word;
        unsigned kinds;
    } cases[] = {{"leak", 1u << FINDING_LOST | 1u << FINDING_HELD | 1u << FINDING_UNKNOWN},
                 {"lost", 1u << FINDING_LOST},
                 {"held", 1u << FINDING_HELD | 1u << FINDING_UNKNOWN},
                 {"unknown", 1u << FINDING_UNKNOWN},
                 {"left", 1u << FINDING_LEFT},
                 {"duplicate", 1u << FINDING_DUPLICATE},
                 {"misuse", 1u << FINDING_MISUSE}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s:get_conn", cases[i].word);
        struct suppressions *read = parse(line);
        for (int kind = 0; kind < FINDING_KINDS; kind++) {
            struct finding finding = finding_of(kind);
            cr_expect_eq(suppressions_match(read, &finding) != NULL, (cases[i].kinds >> kind & 1) != 0,
                         "%s, kind %d", line, kind);
        }
        suppressions_free(read);
    }
}

Test(suppressions, a_budget_is_known_by_its_target_and_a_misuse_by_where_it_happened) {
    struct suppressions *read = parse("budget:/shop$\nmisuse:finish_all");
    struct finding budget = finding_of(FINDING_BUDGET), misuse = finding_of(FINDING_MISUSE);
    struct frame place = {.function = "finish_all", .file = "", .module = ""};
    cr_expect(suppressions_match(read, &budget));
    cr_expect_not(suppressions_match(read, &misuse));
    misuse.place = (struct stack){&place, 1, LEDGER_NATIVE};
    cr_expect(suppressions_match(read, &misuse));
    suppressions_free(read);
}

Test(suppressions, what_is_printed_for_a_finding_suppresses_it) {
    static const char *const functions[] = {"get_conn", "Session::open(char const*)", "a$b", "<lambda>", ""};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        for (int kind = 0; kind < FINDING_HANDED; kind++) {
            struct frame frame = {.function = (char *)functions[i], .file = "app/db.py", .module = ""};
            struct finding finding = {
                .kind = kind, .count = 1, .opened = {&frame, 1, LEDGER_NATIVE}, .target = "app@db/shop"};
            char *line = proposal_for(&finding, NULL, 0);
            cr_assert(line);
            struct suppressions *read = parse(line);
            cr_assert(read, "%s: %s", line, why);
            cr_expect(suppressions_match(read, &finding), "%s", line);
            suppressions_free(read);
            free(line);
        }
    }
    static const char *const everywhere[] = {"main",           "<module>",        "<lambda>",
                                             "{closure}",      "block in <main>", "{main}",
                                             "main::__ANON__", "main chunk"};
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
        struct frame frame = {.function = (char *)everywhere[i], .file = "app/db.py", .module = ""};
        struct finding finding = {
            .kind = FINDING_LOST, .count = 1, .opened = {&frame, 1, LEDGER_NATIVE}, .target = ""};
        char *line = proposal_for(&finding, NULL, 0);
        cr_expect_str_eq(line, "leak:^app/db.py$", "%s", everywhere[i]);
        free(line);
    }
    struct finding nameless = {.kind = FINDING_LOST, .target = ""};
    cr_expect_null(proposal_for(&nameless, NULL, 0));
}

/* A function that all of them pass through would silence all of them. */
Test(suppressions, a_proposal_names_the_innermost_frame_that_no_other_finding_has) {
    static struct frame ways[][3] = {
        {{.function = "db_open", .file = "db.c", .module = "app"},
         {.function = "find_user", .file = "user.c", .module = "app"},
         {.function = "main", .file = "main.c", .module = "app"}},
        {{.function = "db_open", .file = "db.c", .module = "app"},
         {.function = "list_all", .file = "list.c", .module = "app"},
         {.function = "main", .file = "main.c", .module = "app"}},
        {{.function = "db_open", .file = "db.c", .module = "app"},
         {.function = "find_user", .file = "user.c", .module = "app"},
         {.function = "main", .file = "main.c", .module = "app"}},
    };
    ways[2][1].line = 7;
    struct finding findings[3];
    for (size_t i = 0; i < 3; i++)
        findings[i] = (struct finding){.kind = FINDING_LOST,
                                       .count = 2,
                                       .fails = true,
                                       .opened = {ways[i], 3, LEDGER_NATIVE},
                                       .target = ""};
    static const char *const expected[] = {"leak:^find_user$", "leak:^list_all$", "leak:^find_user$"};
    for (size_t i = 0; i < 3; i++) {
        char *line = proposal_for(&findings[i], findings, 3);
        cr_expect_str_eq(line, expected[i]);
        free(line);
    }
    char *alone = proposal_for(&findings[1], &findings[1], 1);
    cr_expect_str_eq(alone, "leak:^db_open$");
    free(alone);
    struct verdicts verdicts = {.findings = findings, .count = 3};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    cr_assert(proposals_put(out, &verdicts));
    fclose(out);
    cr_expect_str_eq(text, "# pqone: for --suppressions\n"
                           "# 2 lost at db_open+0x0 (app) < find_user+0x0 (app) < main+0x0 (app)\n"
                           "# 2 lost at db_open+0x0 (app) < user.c:7 (find_user) < main+0x0 (app)\n"
                           "leak:^find_user$\n"
                           "# 2 lost at db_open+0x0 (app) < list_all+0x0 (app) < main+0x0 (app)\n"
                           "leak:^list_all$\n");
    free(text);
}

/* Where it happened tells misuses apart that concern handles of one wrapper. */
Test(suppressions, a_proposal_for_a_misuse_names_where_it_happened) {
    static struct frame opened = {.function = "db_open", .file = "db.c", .module = "app"};
    static struct frame places[] = {{.function = "close_all", .file = "a.c", .module = "app"},
                                    {.function = "leave", .file = "b.c", .module = "app"}};
    struct finding findings[2];
    for (size_t i = 0; i < 2; i++)
        findings[i] = (struct finding){.kind = FINDING_MISUSE,
                                       .count = 1,
                                       .opened = {&opened, 1, LEDGER_NATIVE},
                                       .place = {&places[i], 1, LEDGER_NATIVE},
                                       .target = ""};
    static const char *const expected[] = {"misuse:^close_all$", "misuse:^leave$"};
    for (size_t i = 0; i < 2; i++) {
        char *line = proposal_for(&findings[i], findings, 2);
        cr_expect_str_eq(line, expected[i]);
        struct suppressions *read = parse(line);
        cr_expect(suppressions_match(read, &findings[i]));
        cr_expect_not(suppressions_match(read, &findings[1 - i]));
        suppressions_free(read);
        free(line);
    }
}
