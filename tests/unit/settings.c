/* settings.c: PQONE_* as people and attackers write them. Each test is a process of its own. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "settings.h"

#define SECOND INT64_C(1000000000)

static struct settings parsed;
static char why[256];

static void fill(void) {
    settings_defaults(&parsed);
}
static void clear(void) {
    settings_clear(&parsed);
}
TestSuite(settings, .init = fill, .fini = clear);

static bool parse(const char *name, const char *text) {
    memset(why, 0, sizeof why);
    return setting_parse(name, text, &parsed, why, sizeof why);
}

Test(settings, defaults_are_those_of_the_table) {
    cr_expect(parsed.mode == MODE_SHARE && parsed.on_duplicate == ON_DUPLICATE_LOG);
    cr_expect(parsed.max_connections == SETTING_NO_LIMIT && parsed.stack == 16);
    cr_expect(parsed.wait_timeout == 10 * SECOND && parsed.linger == SECOND);
    cr_expect(parsed.idle_timeout == 600 * SECOND && parsed.idle_timeout_is_default);
    cr_expect(parsed.max_lifetime == 3600 * SECOND);
    cr_expect(parsed.log == LOG_TO_STDERR && parsed.log_format == LOG_TEXT && !parsed.disable);
    cr_expect(!parsed.via && !parsed.ledger_dir && !parsed.safe_functions && !parsed.log_path);
    for (size_t i = 0; i < setting_row_count; i++)
        cr_expect(parse(setting_rows[i].name, setting_rows[i].default_text), "%s: %s", setting_rows[i].name,
                  why);
}

Test(settings, durations_have_units) {
    static const struct {
        const char *text;
        int64_t nanoseconds;
    } good[] = {{"0", 0},           {"7", 7 * SECOND},      {"250us", 250000},     {"500ms", SECOND / 2},
                {"3s", 3 * SECOND}, {"2min", 120 * SECOND}, {"1h", 3600 * SECOND}, {"2d", 172800 * SECOND}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cr_expect(parse("LINGER", good[i].text), "%s: %s", good[i].text, why);
        cr_expect(parsed.linger == good[i].nanoseconds, "%s", good[i].text);
    }
    static const char *const bad[] = {"",
                                      " 1s",
                                      "1 s",
                                      "-1s",
                                      "+1",
                                      "1.5s",
                                      "s",
                                      "1w",
                                      "1sec",
                                      "0x1",
                                      "1e3ms",
                                      "off",
                                      "106752d",
                                      "9223372036854775808us",
                                      "99999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(parse("LINGER", bad[i]), "\"%s\" is no duration", bad[i]);
        cr_expect(strstr(why, "PQONE_LINGER") && strstr(why, "bare number is seconds"), "%s", why);
    }
    cr_expect(parsed.linger == 172800 * SECOND, "a refused value changes nothing");
}

Test(settings, timeouts_may_be_off_but_not_zero) {
    cr_expect(parse("IDLE_TIMEOUT", "off") && parsed.idle_timeout == SETTING_NEVER);
    cr_expect(!parsed.idle_timeout_is_default, "somebody asked for it");
    cr_expect(parse("MAX_LIFETIME", "90s") && parsed.max_lifetime == 90 * SECOND);
    cr_expect_not(parse("MAX_LIFETIME", "0"));
    cr_expect_not(parse("WAIT_TIMEOUT", "off"), "a wait always ends");
}

Test(settings, counts_are_bounded) {
    cr_expect(parse("MAX_CONNECTIONS", "100000") && parsed.max_connections == 100000);
    cr_expect(parse("MAX_CONNECTIONS", "none") && parsed.max_connections == SETTING_NO_LIMIT);
    cr_expect(parse("STACK", "0") && parsed.stack == 0);
    cr_expect(parse("STACK", "32") && parsed.stack == 32);
    static const char *const bad[] = {"0",  "100001", "-1", "4294967297", "18446744073709551617",
                                      "1 ", "two",    ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(parse("MAX_CONNECTIONS", bad[i]), "\"%s\"", bad[i]);
    cr_expect_not(parse("STACK", "33"));
    cr_expect_not(parse("STACK", "none"));
}

Test(settings, words_are_exact) {
    cr_expect(parse("MODE", "observe") && parsed.mode == MODE_OBSERVE);
    cr_expect_str_eq(setting_mode_word(parsed.mode), "observe");
    cr_expect(parse("ON_DUPLICATE", "abort") && parsed.on_duplicate == ON_DUPLICATE_ABORT);
    cr_expect(parse("LOG_FORMAT", "json") && parsed.log_format == LOG_JSON);
    cr_expect(parse("DISABLE", "1") && parsed.disable);
    cr_expect_not(parse("DISABLE", "yes"));
    cr_expect_not(parse("MODE", "Share"));
    cr_expect_not(parse("MODE", "shar"));
    cr_expect(strstr(why, "\"shar\"") && strstr(why, "share, session, observe or off"), "%s", why);
    cr_expect_not(parse("NO_SUCH", "1"));
    cr_expect(strstr(why, "NO_SUCH"), "%s", why);
}

Test(settings, log_places) {
    cr_expect(parse("LOG", "/var/log/pqone.%p") && parsed.log == LOG_TO_PATH);
    cr_expect_str_eq(parsed.log_path, "/var/log/pqone.%p");
    cr_expect(parse("LOG", "syslog") && parsed.log == LOG_TO_SYSLOG && !parsed.log_path);
    cr_expect(parse("LOG", "none") && parsed.log == LOG_TO_NONE);
    cr_expect_not(parse("LOG", "relative/path"));
    cr_expect_not(parse("LOG", "/tmp/new\nline"));
    cr_expect_not(parse("LEDGER_DIR", "relative"));
    cr_expect(parse("LEDGER_DIR", "/run/mine") && strcmp(parsed.ledger_dir, "/run/mine") == 0);
    cr_expect(parse("LEDGER_DIR", "none") && !parsed.ledger_dir, "none takes it back");
}

Test(settings, safe_functions_are_split_and_lower_case) {
    cr_expect(parse("SAFE_FUNCTIONS", " App.*, my_func ,,Z\xc3\xa4hler "));
    cr_assert_not_null(parsed.safe_functions);
    cr_expect_str_eq(parsed.safe_functions[0], "app.*");
    cr_expect_str_eq(parsed.safe_functions[1], "my_func");
    cr_expect_str_eq(parsed.safe_functions[2], "z\xc3\xa4hler");
    cr_expect_null(parsed.safe_functions[3]);
    cr_expect_not(parse("SAFE_FUNCTIONS", "f()"));
    cr_expect_not(parse("SAFE_FUNCTIONS", "two words"));
    cr_expect_not(parse("SAFE_FUNCTIONS", " , "));
    cr_expect_str_eq(parsed.safe_functions[0], "app.*", "a refused value changes nothing");
    cr_expect(parse("SAFE_FUNCTIONS", "none") && !parsed.safe_functions);
}

Test(settings, via_takes_conninfo_words) {
    static const char *const good[] = {
        "host=/run port=6432",       " host = 'a b' ",
        "dbname=password",           "application_name='password=x'",
        "passfile=/home/me/.pgpass", "postgresql://me@bouncer:6432/shop?sslmode=require",
        "postgres://bouncer:6432/",  "host=a\\ b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(parse("VIA", good[i]) && strcmp(parsed.via, good[i]) == 0, "%s: %s", good[i], why);
}

Test(settings, via_refuses_every_password_and_repeats_none) {
    static const char *const bad[] = {"password=hunter2",
                                      "host=x password = 'hunter2'",
                                      "host=x PassWord=hunter2",
                                      "host='x' sslpassword=hunter2",
                                      "postgresql://me:hunter2@host/db",
                                      "postgres://:hunter2@host",
                                      "postgres://me:hun/ter2@host/hunter2",
                                      "postgresql://host/db?sslmode=require&password=hunter2",
                                      "postgresql://host?p%61ssword=hunter2",
                                      "postgresql://host?sslp%61ssword=hunter2",
                                      "dbname='postgresql://me:hunter2@host/'",
                                      "dbname='host=y password=hunter2'",
                                      "host='x password=hunter2",
                                      "pass word=hunter2",
                                      "hunter2",
                                      "oauth_client_secret=hunter2",
                                      ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_not(parse("VIA", bad[i]), "%s", bad[i]);
        cr_expect(strstr(why, "PQONE_VIA") && !strstr(why, "hunter2") && !strstr(why, "ter2"), "%s", why);
    }
    cr_expect_null(parsed.via);
}

Test(settings, a_megabyte_of_anything_is_one_short_sentence) {
    char *huge = malloc(1 << 20);
    cr_assert_not_null(huge);
    for (int byte = 1; byte < 256; byte += 37) {
        memset(huge, byte, (1 << 20) - 1);
        huge[(1 << 20) - 1] = '\0';
        for (size_t i = 0; i < setting_row_count; i++) {
            if (strcmp(setting_rows[i].name, "SAFE_FUNCTIONS") == 0)
                continue;
            cr_expect_not(parse(setting_rows[i].name, huge), "%s of %d", setting_rows[i].name, byte);
            cr_expect(strlen(why) > 20 && strlen(why) < 255, "%s", why);
            for (const char *at = why; *at; at++)
                cr_expect((unsigned char)*at >= ' ' && *at != 0x7f);
        }
    }
    memset(huge, ',', (1 << 20) - 1);
    huge[1000] = 'f';
    cr_expect(parse("SAFE_FUNCTIONS", huge) && strcmp(parsed.safe_functions[0], "f") == 0);
    free(huge);
}

Test(settings_of_process, environment_is_read_once) {
    setenv("PQONE_MODE", "session", 1);
    setenv("PQONE_STACK", "99", 1);
    setenv("PQONE_LINGER", "", 1);
    setenv("PQONE_LOG", "none", 1);
    setenv("PQONE_RUN", "run-1.x", 1);
    const struct settings *first = settings();
    cr_expect(first->mode == MODE_SESSION);
    cr_expect(first->stack == 16, "a bad value leaves the default");
    cr_expect(first->linger == SECOND, "set but empty is unset");
    cr_expect_str_eq(first->run, "run-1.x");
    setenv("PQONE_MODE", "observe", 1);
    cr_expect(settings() == first && first->mode == MODE_SESSION);
}

Test(settings_of_process, a_run_that_leaves_the_directory_is_ignored) {
    setenv("PQONE_LOG", "none", 1);
    setenv("PQONE_RUN", "../../etc/x", 1);
    cr_expect_str_eq(settings()->run, "");
}
