/* options.c: the launcher's command line. Each test is a process of its own. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/reports/reports.h"

static struct options options;
static char why[512];

/* Copied, since `options.rest` points into the words, and a macro's array lives no longer than its block. */
static bool run(char *const *arguments) {
    static char *words[32];
    size_t count = 0;
    for (; arguments[count] && count < 31; count++)
        words[count] = arguments[count];
    words[count] = NULL;
    options_release(&options);
    return options_run(words, &options, why, sizeof why);
}
#define RUN(...) run((char *const[]){__VA_ARGS__, NULL})

Test(options, the_command_begins_at_the_first_word_or_behind_the_dashes) {
    cr_assert(RUN("--quiet", "psql", "--mode", "off"));
    cr_expect(options.quiet && options.settings.mode == MODE_SHARE);
    cr_expect_str_eq(options.rest[0], "psql");
    cr_expect_str_eq(options.rest[1], "--mode");
    cr_assert(RUN("--", "--odd-name", "--"));
    cr_expect_str_eq(options.rest[0], "--odd-name");
    cr_expect_str_eq(options.rest[1], "--");
    cr_assert(RUN("--quiet"));
    cr_expect_null(options.rest[0]);
}

Test(options, every_setting_of_the_table_is_an_option) {
    for (size_t i = 0; i < setting_row_count; i++) {
        char spelling[64], option[80], value[128], variable[80];
        options_spelling(setting_rows[i].name, spelling, sizeof spelling);
        cr_expect_null(strpbrk(spelling, "_ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
        snprintf(option, sizeof option, "--%s", spelling);
        snprintf(value, sizeof value, "--%s=%s", spelling, setting_rows[i].default_text);
        snprintf(variable, sizeof variable, "PQONE_%s", setting_rows[i].name);
        cr_assert(RUN(value, "true"), "%s: %s", value, why);
        cr_expect_str_eq(getenv(variable), setting_rows[i].default_text);
        if (!options_is_switch(setting_rows[i].name)) {
            cr_expect(RUN(option, (char *)setting_rows[i].default_text, "true"), "%s: %s", option, why);
            cr_expect_not(RUN(option), "%s without a value", option);
        }
    }
}

Test(options, a_refused_value_reaches_no_environment) {
    unsetenv("PQONE_MODE");
    cr_expect_not(RUN("--mode", "bogus", "true"));
    cr_expect(strstr(why, "bogus") && strstr(why, "observe"), "%s", why);
    cr_expect_null(getenv("PQONE_MODE"));
}

Test(options, a_bad_environment_is_the_default_and_an_option_wins_over_a_good_one) {
    setenv("PQONE_MODE", "bogus", 1);
    setenv("PQONE_LOG", "none", 1);
    cr_assert(RUN("true"));
    cr_expect(options.settings.mode == MODE_SHARE && options.settings.log == LOG_TO_NONE);
    cr_assert(RUN("--log=syslog", "true"));
    cr_expect(options.settings.log == LOG_TO_SYSLOG);
}

Test(options, reports_are_several_and_only_what_can_be_written) {
    cr_assert(RUN("--report", "text", "--report=json=/tmp/a=b", "true"));
    cr_expect(options.report_count == 2 && !options.reports[0].file);
    cr_expect_str_eq(options.reports[0].format->word, "text");
    cr_expect_str_eq(options.reports[1].format->word, "json");
    cr_expect_str_eq(options.reports[1].file, "/tmp/a=b");
    cr_expect_not(RUN("--report", "tex", "true"));
    cr_expect_not(RUN("--report", "json=", "true"));
    cr_expect_not(RUN("--report", "jsonx", "true"));
    cr_expect_not(RUN("--report"));
    char *many[2 * (REPORTS_MAX + 1) + 1] = {NULL};
    for (int i = 0; i < REPORTS_MAX + 1; i++) {
        many[2 * i] = (char *)"--report";
        many[2 * i + 1] = (char *)"text";
    }
    cr_expect_not(run(many));
}

Test(options, a_switch_takes_no_separate_word) {
    cr_assert(RUN("--disable", "1"));
    cr_expect(options.settings.disable);
    cr_expect_str_eq(options.rest[0], "1");
    cr_assert(RUN("--disable=0", "true"));
    cr_expect(!options.settings.disable);
    cr_assert(RUN("--disable=1", "--", "true"));
    cr_expect(options.settings.disable);
    cr_expect_not(RUN("--disable=2", "true"));
    cr_expect(options_is_switch("DISABLE") && !options_is_switch("MODE"));
}

Test(options, report_has_none_of_the_settings) {
    char *good[] = {(char *)"--report=json", (char *)"a.ledger", (char *)"4711", NULL};
    char *bad[] = {(char *)"--mode=off", NULL};
    cr_assert(options_report(good, &options, why, sizeof why));
    cr_expect_str_eq(options.rest[1], "4711");
    cr_expect_not(options_report(bad, &options, why, sizeof why));
}

static bool check(char *const *arguments) {
    static char *words[32];
    size_t count = 0;
    for (; arguments[count] && count < 31; count++)
        words[count] = arguments[count];
    words[count] = NULL;
    options_release(&options);
    return options_check(words, &options, why, sizeof why);
}
#define CHECK(...) check((char *const[]){__VA_ARGS__, NULL})

Test(options, every_option_of_check_takes_its_default_and_needs_a_value) {
    for (size_t i = 0; i < check_option_row_count; i++) {
        const struct check_option_row *row = &check_option_rows[i];
        char word[80], assigned[160];
        snprintf(word, sizeof word, "--%s", row->name);
        snprintf(assigned, sizeof assigned, "--%s=%s", row->name, row->default_text);
        cr_expect_not(RUN(assigned, "true"), "run knows %s", word);
        if (strcmp(row->name, "budget") != 0)
            cr_expect(CHECK(assigned, "true"), "%s: %s", assigned, why);
        if (!row->is_switch)
            cr_expect_not(CHECK(word), "%s without a value", word);
    }
}

Test(options, check_refuses_what_it_cannot_read) {
    static char *const bad[] = {"--budget=0",      "--budget=x",       "--budget=-1",
                                "--exit-code=256", "--exit-code=",     "--fail-on=lek",
                                "--baseline=",     "--allow-unused=2", "--fail-on=budget"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(CHECK(bad[i], "true"), "%s", bad[i]);
}

Test(options, check_reads_what_it_is_given) {
    unsetenv("PQONE_MODE");
    cr_assert(CHECK("--budget", "7", "--exit-code=9", "--suppressions", "s", "--gen-suppressions", "true"));
    cr_expect(options.check.budget == 7 && options.check.exit_code == 9 && options.check.gen_suppressions);
    cr_expect_str_eq(options.check.suppressions, "s");
    cr_expect_str_eq(options.rest[0], "true");
    cr_expect_str_eq(getenv("PQONE_MODE"), "observe");
    setenv("PQONE_SUPPRESSIONS", "from-environment", 1);
    cr_assert(CHECK("true"));
    cr_expect_str_eq(options.check.suppressions, "from-environment");
    cr_expect(options.check.exit_code == 23);
}

Test(options, check_only_observes) {
    unsetenv("PQONE_MODE");
    cr_expect_not(CHECK("--mode=share", "true"));
    cr_expect_not(CHECK("--mode=session", "true"));
    cr_expect(strstr(why, "pqone run"), "%s", why);
    cr_expect(CHECK("--mode=observe", "true"));
    setenv("PQONE_MODE", "session", 1);
    cr_expect(CHECK("true"));
    cr_expect(options.settings.mode == MODE_OBSERVE);
    cr_expect_str_eq(getenv("PQONE_MODE"), "observe");
    setenv("PQONE_MODE", "off", 1);
    cr_expect(CHECK("true"));
    cr_expect(options.settings.mode == MODE_OFF);
}

Test(options, a_password_is_refused_and_not_repeated) {
    cr_expect_not(RUN("--via", "host=pooler password=hunter2", "true"));
    cr_expect_not(strstr(why, "hunter2"));
}

Test(options, a_dash_is_standard_output_and_two_dashes_are_no_value) {
    cr_assert(RUN("--report", "json=-", "true"));
    cr_expect_str_eq(options.reports[0].file, "/dev/stdout");
    cr_expect_not(RUN("--log", "--", "true"));
    cr_expect_str_eq(why, "--log needs a value");
}

Test(options, a_mistyped_name_is_guessed_and_a_foreign_one_is_not) {
    static const struct {
        char *option;
        const char *guess;
    } cases[] = {{"--lingr", "--linger?"}, {"--max-connection=3", "--max-connections?"},
                 {"--qiuet", "--quiet?"},  {"--logg", "--log?"},
                 {"--nope", "see --help"}, {"--x", "see --help"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_not(RUN(cases[i].option, "true"));
        cr_expect(strstr(why, cases[i].guess), "%s: %s", cases[i].option, why);
    }
}

Test(options, check_leaves_duplicates_to_its_report_unless_told) {
    unsetenv("PQONE_ON_DUPLICATE");
    cr_assert(CHECK("true"));
    cr_expect_str_eq(getenv("PQONE_ON_DUPLICATE"), "ignore");
    static const char *const kept[] = {"log", "abort", "ignore"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        setenv("PQONE_ON_DUPLICATE", kept[i], 1);
        cr_assert(CHECK("true"));
        cr_expect_str_eq(getenv("PQONE_ON_DUPLICATE"), kept[i]);
    }
    setenv("PQONE_ON_DUPLICATE", "fail", 1);
    cr_assert(CHECK("true"));
    cr_expect_str_eq(getenv("PQONE_ON_DUPLICATE"), "ignore");
    cr_assert(CHECK("--on-duplicate=log", "true"));
    cr_expect_str_eq(getenv("PQONE_ON_DUPLICATE"), "log");
    cr_expect_not(CHECK("--on-duplicate=fail", "true"));
}

Test(options, suppressions_are_proposed_on_standard_error_or_into_a_file) {
    cr_assert(CHECK("true"));
    cr_expect_null(options.check.gen_suppressions);
    cr_assert(CHECK("--gen-suppressions", "true"));
    cr_expect_str_eq(options.check.gen_suppressions, "");
    cr_assert(CHECK("--gen-suppressions=list", "true"));
    cr_expect_str_eq(options.check.gen_suppressions, "list");
}
