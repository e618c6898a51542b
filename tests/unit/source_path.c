/* source_path.c: texts and file names as reports for other programs have them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/reports/utf8.h"
#include "cli/symbols/source_path.h"

/* A checkout with a directory in it and a link to it from outside; everything is gone at the end. */
static char place[PATH_MAX], name[2 * PATH_MAX];
static struct source_root root;

static const char *under(const char *rest) {
    snprintf(name, sizeof name, "%s/%s", place, rest);
    return name;
}

static void make(void) {
    char made[] = "/tmp/pqone-source-XXXXXX";
    cr_assert(mkdtemp(made) && realpath(made, place));
    cr_assert_eq(mkdir(under("checkout"), 0700), 0);
    cr_assert_eq(mkdir(under("checkout/app"), 0700), 0);
    cr_assert_eq(symlink("checkout", under("link")), 0);
    cr_assert_eq(chdir(under("checkout/app")), 0);
    fclose(fopen("db.py", "w"));
    unsetenv("GITHUB_WORKSPACE");
    unsetenv("PWD");
}

static void drop(void) {
    static const char *const all[] = {"checkout/app/db.py", "checkout/app", "checkout", "link", ""};
    cr_assert_eq(chdir("/"), 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        cr_expect_eq(remove(under(all[i])), 0, "%s", name);
}
TestSuite(source_path, .init = make, .fini = drop);

static void leads(const char *file, bool inside, const char *expected) {
    char path[PATH_MAX];
    source_root_find(&root);
    cr_expect_eq(source_path(&root, file, path, sizeof path), inside, "%s", file);
    cr_expect_str_eq(path, expected);
}

Test(source_path, is_relative_to_the_working_directory) {
    leads("db.py", true, "db.py");
    leads("./x/.././db.py", true, "db.py");
    leads(under("checkout/app/src/../lib//a.c"), true, "lib/a.c");
    leads("/usr/include/a.h", false, "/usr/include/a.h");
    leads(under("checkout/apple/a.c"), false, name);
    leads(under("checkout/app"), false, name);
}

Test(source_path, is_relative_to_the_checkout_that_the_working_directory_lies_in) {
    setenv("GITHUB_WORKSPACE", under("checkout"), 1);
    leads("db.py", true, "app/db.py");
    leads(under("checkout/main.c"), true, "main.c");
    setenv("GITHUB_WORKSPACE", "/usr", 1);
    leads("db.py", true, "db.py");
    setenv("GITHUB_WORKSPACE", under("link"), 1);
    leads("db.py", true, "app/db.py");
}

/* As a compiler wrote it that ran where the shell had gone through a link. */
Test(source_path, knows_the_working_directory_by_the_shells_name) {
    setenv("PWD", under("link/app"), 1);
    leads(under("link/app/db.py"), true, "db.py");
    setenv("PWD", "/usr", 1);
    leads(under("link/app/db.py"), false, name);
}

Test(source_path, of_another_machine_is_not_looked_for_here) {
    leads("../sysdeps/x86/start.S", false, "sysdeps/x86/start.S");
    leads("./csu/libc-start.c", false, "csu/libc-start.c");
}

Test(source_path, of_any_length_is_cut) {
    static char file[5 * PATH_MAX];
    char path[PATH_MAX];
    memset(file, 'x', sizeof file - 1);
    source_root_find(&root);
    source_path(&root, file, path, sizeof path);
    cr_expect_eq(strlen(path), sizeof path - 1);
    *file = '/';
    source_path(&root, file, path, sizeof path);
    cr_expect_eq(strlen(path), sizeof path - 1);
}

static struct frame frame_of(const char *file, int line, bool script) {
    return (struct frame){.function = (char *)"f",
                          .file = (char *)(uintptr_t)file,
                          .line = line,
                          .module = (char *)"",
                          .script = script};
}

Test(source_path, leads_to_the_innermost_frame_of_the_checkout) {
    struct frame frames[] = {frame_of("/usr/lib/python3/dist-packages/orm.py", 9, true),
                             frame_of("/opt/other/a.py", 3, true), frame_of("db.py", 41, true),
                             frame_of("db.py", 50, true)};
    struct stack stack = {frames, 4, LEDGER_PYTHON};
    source_root_find(&root);
    cr_expect_eq(source_frame(&root, &stack), &frames[2]);
    frames[2].noise = true;
    cr_expect_eq(source_frame(&root, &stack), &frames[3]);
    stack.count = 2;
    cr_expect_eq(source_frame(&root, &stack), &frames[1]);
    stack.count = 0;
    cr_expect_null(source_frame(&root, &stack));
}

static char *decoded(const char *bytes) {
    static char text[256];
    FILE *out = fmemopen(text, sizeof text, "w");
    while (*bytes) {
        uint32_t code;
        bytes += utf8_next(bytes, &code);
        utf8_put(out, code);
    }
    fclose(out);
    return text;
}

Test(utf8, keeps_what_is_and_replaces_what_is_not) {
#define GONE "\xef\xbf\xbd"
    static const char *const pairs[][2] = {
        {"a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
         "a\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
        {"\x80x", GONE "x"},                       /* a continuation of nothing */
        {"\xc0\xaf", GONE GONE},                   /* longer than need be */
        {"\xe0\x9f\xbf", GONE GONE GONE},          /* the same */
        {"\xed\xa0\x80", GONE GONE GONE},          /* a surrogate */
        {"\xf4\x90\x80\x80", GONE GONE GONE GONE}, /* beyond the last one */
        {"\xf5", GONE},
        {"\xe2\x82", GONE GONE}, /* cut short */
        {"\xf0\x9f\x98x", GONE GONE GONE "x"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        cr_expect_str_eq(decoded(pairs[i][0]), pairs[i][1], "pair %zu", i);
}

Test(utf8, an_unknown_text_is_null) {
    json_t *nothing = utf8_json(""), *text = utf8_json("a\xff");
    cr_expect(json_is_null(nothing));
    cr_expect_str_eq(json_string_value(text), "a" GONE);
    json_decref(text);
}
