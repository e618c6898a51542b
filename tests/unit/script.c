/* script.c: script frames as lines, whatever an interpreter calls its files; and a process that has none. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "watch/script.h"
#include "watch/script_language.h"

static struct script_text text;

static void begin(uint32_t frames) {
    text.length = text.frames = 0;
    text.frames_wanted = frames;
}

static bool add(const char *file, long line, const char *function) {
    return script_add(&text, file, strlen(file), line, function, strlen(function));
}

static const char *lines(void) {
    static char copy[SCRIPT_TEXT + 1];
    memcpy(copy, text.bytes, text.length);
    copy[text.length] = '\0';
    return copy;
}

Test(script, frames_are_lines_innermost_first) {
    begin(3);
    cr_expect(add("app/db.py", 41, "get_conn"));
    cr_expect(add("app/main.py", 7, ""));
    cr_expect_not(add("run.py", 0, "<module>"), "three were wanted");
    cr_expect_not(add("more.py", 1, "f"));
    cr_expect_str_eq(lines(), "app/db.py\t41\tget_conn\napp/main.py\t7\t\nrun.py\t0\t<module>\n");
}

Test(script, no_byte_breaks_a_line) {
    begin(9);
    add("a\tb\nc\033[31m.py", -5, "f\r\n\001");
    cr_expect_str_eq(lines(), "a?b?c?[31m.py\t0\tf???\n");
    begin(9);
    add("\xff\xfe.py", 2147483648L, "caf\xc3\xa9");
    cr_expect_str_eq(lines(), "??.py\t2147483648\tcaf\xc3\xa9\n");
}

Test(script, a_long_path_keeps_its_end_and_a_long_name_its_beginning) {
    char path[2000], name[1000];
    begin(9);
    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 7, "/db.py", 7);
    memset(name, 'n', sizeof name - 1);
    memcpy(name, "get_", 4);
    name[sizeof name - 1] = '\0';
    add(path, 3, name);
    cr_expect(strncmp(lines(), "...ppp", 6) == 0, "%s", lines());
    cr_expect_not_null(strstr(lines(), "p/db.py\t3\tget_nnn"), "%s", lines());
    cr_expect(text.length < 400);
    /* Two-byte characters, so that half of all cuts would fall into one. */
    for (size_t shift = 0; shift < 2; shift++) {
        begin(9);
        for (size_t i = 0; i < 1000; i += 2)
            memcpy(path + i, "\xc3\xa9", 2);
        memcpy(path + 1000, "x.py", 5);
        path[shift] = path[shift] ? path[shift] : 'x';
        add(path + shift, 3, "f");
        cr_expect(strncmp(lines(), "...\xc3\xa9", 5) == 0, "%s", lines());
        cr_expect_null(strchr(lines(), '?'), "%s", lines());
    }
}

Test(script, text_that_is_full_ends_with_a_whole_line) {
    char path[201];
    int count = 0;
    memset(path, 'p', sizeof path - 1);
    path[200] = '\0';
    begin(1000);
    while (add(path, 1, "f"))
        count++;
    cr_expect(count >= SCRIPT_FRAMES_LEAST, "%d", count);
    cr_expect(text.length <= SCRIPT_TEXT && text.bytes[text.length - 1] == '\n');
    cr_expect_not(add("x", 1, ""), "what comes after a gap is left out too");
    cr_expect_not_null(strstr(lines(), path));
}

static const char *name_of(const char *frames) {
    static char name[160];
    struct script script = {LEDGER_PYTHON, (uint32_t)strlen(frames), frames};
    strcpy(name, "untouched");
    return script_name(&script, name, sizeof name) ? name : "none";
}

Test(script, the_name_is_the_first_frame_of_the_program_itself) {
    char here[512], frames[1200];
    cr_expect_str_eq(name_of("app/db.py\t41\tget_conn\nmain.py\t3\t\n"), "app/db.py:41 (get_conn)");
    cr_expect_str_eq(name_of("app.pl\t41\t\n"), "app.pl:41");
    cr_expect_str_eq(name_of("/usr/lib/python3/dist-packages/psycopg2/__init__.py\t122\tconnect\n"
                             "/srv/app/db.py\t41\tget_conn\n"),
                     "/srv/app/db.py:41 (get_conn)");
    cr_expect_str_eq(name_of("/usr/share/perl5/DBD/Pg.pm\t9\tconnect\n"),
                     "/usr/share/perl5/DBD/Pg.pm:9 (connect)", "an installed program is somebody's program");
    cr_assert_not_null(getcwd(here, sizeof here));
    snprintf(frames, sizeof frames, "%s/app/db.py\t41\tget_conn\n", here);
    cr_expect_str_eq(name_of(frames), "app/db.py:41 (get_conn)");
    snprintf(frames, sizeof frames, "%s-other/db.py\t41\tf\n", here);
    cr_expect_null(strstr(name_of(frames), " db.py"));
    cr_expect_str_eq(name_of(""), "none");
    cr_expect_str_eq(name_of("torn\t4"), "none");
}

Test(script, a_program_without_an_interpreter_has_no_frames) {
    struct script script = {LEDGER_PERL, 7, NULL};
    void *native[] = {(void *)&begin};
    errno = 77;
    cr_expect_not(script_stack(script_loaded(), native, 1, 16, &text, &script));
    cr_expect(script.language == LEDGER_NATIVE && script.length == 0 && script.text);
    cr_expect_not(script_is_running());
    cr_expect(errno == 77);
}
