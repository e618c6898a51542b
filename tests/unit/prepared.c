/* prepared.c: lists of prepared statements, the names that they have on a connection, and texts that cannot
 * be prepared twice. */
#include <criterion/criterion.h>
#include <string.h>

#include "prepared.h"
#include "server.h"
#include "statement.h"

Test(prepared, names_are_told_apart_as_the_server_does) {
    struct prepared *list = NULL;
    char one[80], other[80];
    memset(one, 'a', sizeof one);
    memset(other, 'a', sizeof other);
    one[64] = other[70] = '\0';
    cr_assert_null(prepared_named(list, one));
    cr_assert_null(prepared_named(list, NULL));
    struct prepared *added = prepared_add(&list, 1, one, "SELECT 1", 0, NULL);
    cr_assert_eq(prepared_named(list, other), added);
    other[62] = '\0';
    cr_assert_null(prepared_named(list, other));
    cr_assert_null(prepared_named(list, ""));
    cr_assert_str_eq(prepared_add(&list, 2, "", "SELECT 2", 0, NULL)->text, "SELECT 2");
    cr_assert_eq(prepared_named(list, "")->number, 2);
    prepared_remove(&list, prepared_named(list, ""));
    cr_assert_null(prepared_named(list, ""));
    prepared_clear(&list);
    cr_assert_null(list);
}

Test(prepared, only_what_is_not_older_serves) {
    struct server server = {.prepared = NULL};
    struct prepared *list = NULL;
    const Oid number = 23, text = 25;
    const struct prepared *wanted = prepared_add(&list, 10, "q", "SELECT $1", 1, &number);
    prepared_put_on(&server, 9, "SELECT $1", 1, &number);
    cr_assert_null(prepared_on(&server, wanted), "prepared before it");
    prepared_put_on(&server, 11, "SELECT $1", 1, &text);
    prepared_put_on(&server, 12, "SELECT $1", 0, NULL);
    prepared_put_on(&server, 13, "SELECT $1 ", 1, &number);
    cr_assert_null(prepared_on(&server, wanted), "of other types, or another text");
    struct prepared *sent = prepared_put_on(&server, 14, "SELECT $1", 1, &number);
    sent->unproven = true;
    cr_assert_null(prepared_on(&server, wanted), "perhaps not there");
    sent->unproven = false;
    cr_assert_eq(prepared_on(&server, wanted)->number, 14);
    prepared_put_on(&server, 10, "SELECT $1", 1, &number)->unproven = true;
    cr_assert_eq(prepared_on(&server, wanted)->number, 10, "its own before any other");
    cr_assert_eq(server.names, 6);
    prepared_leave(&server);
    cr_assert_null(server.prepared);
    cr_assert_eq(server.names, 0);
    prepared_clear(&list);
}

Test(prepared, names_of_ours_are_nobody_elses) {
    char name[PREPARED_NAME];
    uint64_t number = prepared_next();
    cr_assert_eq(prepared_next(), number + 1);
    prepared_write_name(number, name);
    cr_assert_eq(prepared_foreign_name(name), prepared_nobodys);
    cr_assert_str_eq(prepared_foreign_name("pqone_1"), "pqone_1");
    cr_assert_str_eq(prepared_foreign_name(""), "");
    cr_assert_null(prepared_foreign_name(NULL));
}

Test(prepared, a_literal_may_fix_the_time) {
    static const char *const fixes[] = {"SELECT 'now'::timestamptz",   "SELECT date ' Today '",
                                        "SELECT timestamp 'tomorrow'", "SELECT $$yesterday$$::date",
                                        "SELECT E'\\x6eow'::date",     "SELECT 'open"};
    static const char *const does_not[] = {"SELECT now()",          "SELECT 'unknown', 'nowhere'",
                                           "SELECT \"now\" FROM t", "SELECT 'a' ~ '\\w' -- 'now'",
                                           "SELECT 1, $1",          "SELECT '2020-01-01'::date"};
    for (size_t i = 0; i < sizeof fixes / sizeof *fixes; i++)
        cr_expect(prepared_fixes_time(fixes[i]), "%s", fixes[i]);
    for (size_t i = 0; i < sizeof does_not / sizeof *does_not; i++)
        cr_expect_not(prepared_fixes_time(does_not[i]), "%s", does_not[i]);
}

static struct verdict judged(const char *sql) {
    struct reading reading = {.standard_conforming_strings = true, .backslash_safe_encoding = true};
    return statement_judge(sql, &reading);
}

Test(prepared, what_changes_how_statements_are_read) {
    static const char *const reparses[] = {"PREPARE q AS SELECT 1",
                                           "EXECUTE q",
                                           "EXPLAIN EXECUTE q",
                                           "CREATE TABLE t AS EXECUTE q",
                                           "CREATE TEMP TABLE t (n int)",
                                           "DO $$BEGIN END$$",
                                           "SELECT app.f()",
                                           "SELECT 'open",
                                           "SELECT * FROM pg_prepared_statements",
                                           "SELECT * FROM pg_prepared_statement()",
                                           "DEALLOCATE ALL; SELECT 1"};
    static const char *const does_not[] = {"SELECT 1",
                                           "SELECT nextval('s')",
                                           "SELECT pg_advisory_lock(1)",
                                           "LISTEN c",
                                           "BEGIN; SELECT 1",
                                           "SET LOCAL work_mem = '1MB'",
                                           "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
                                           "SELECT pg_backend_pid()"};
    for (size_t i = 0; i < sizeof reparses / sizeof *reparses; i++)
        cr_expect(judged(reparses[i]).reparses, "%s", reparses[i]);
    for (size_t i = 0; i < sizeof does_not / sizeof *does_not; i++)
        cr_expect_not(judged(does_not[i]).reparses || judged(does_not[i]).reparses_locally, "%s",
                      does_not[i]);
    static const char *const rereads[] = {"SELECT 1; SET TimeZone = 'UTC'",
                                          "SET SESSION TIME ZONE 'UTC'",
                                          "SET NAMES 'UTF8'",
                                          "RESET ALL",
                                          "SET U&\"TimeZone\" = 'UTC'",
                                          "SET app.x = '1'; SET datestyle = iso; SET app.y = '1'",
                                          "SELECT nextval('s'), set_config($1, $2, false)",
                                          "SELECT set_config('Time'\n'Zone', 'UTC', false)",
                                          "SELECT set_config(E'TimeZone', 'UTC', false)"};
    static const char *const does_not_reread[] = {
        "SET work_mem = '1MB'", "SET app.tenant = '1'", "RESET \"work_mem\"",
        "SELECT nextval('s'), set_config('app.tenant', $1, true)", "SELECT set_config('work_mem', $1, true)"};
    for (size_t i = 0; i < sizeof rereads / sizeof *rereads; i++)
        cr_expect(judged(rereads[i]).rereads, "%s", rereads[i]);
    for (size_t i = 0; i < sizeof does_not_reread / sizeof *does_not_reread; i++)
        cr_expect_not(judged(does_not_reread[i]).rereads || judged(does_not_reread[i]).reparses ||
                          judged(does_not_reread[i]).reparses_locally,
                      "%s", does_not_reread[i]);
    cr_expect(judged("SET LOCAL client_encoding = 'LATIN1'").reparses_locally);
    cr_expect(judged("SET LOCAL TimeZone = 'UTC'").reparses_locally);
    cr_expect(judged("SET LOCAL TIME ZONE 'UTC'").reparses_locally);
    cr_expect(judged("BEGIN; SET LOCAL \"datestyle\" TO iso").reparses_locally);
    cr_expect(judged("SELECT set_config('TimeZone', 'UTC', true)").reparses_locally);
    cr_expect(judged("TABLE pg_prepared_statements").shows_prepared);
}

Test(prepared, what_settings_may_read_in_another_way) {
    static const char *const does[] = {"SELECT '1'",
                                       "SELECT $$1$$",
                                       "SELECT B'1'",
                                       "SELECT 'open",
                                       "SELECT a = NULL FROM t",
                                       "SELECT \"\xc3\xa9\"",
                                       "SELECT U&\"a\"",
                                       "SELECT NULL",
                                       "/* \xc3\xa9 */ SELECT 1"};
    static const char *const does_not[] = {"SELECT 1, $1, \"null\" -- 'x'",
                                           "SELECT a FROM t WHERE b IS NOT NULL OR c is null"};
    for (size_t i = 0; i < sizeof does / sizeof *does; i++)
        cr_expect(prepared_holds_literal(does[i]), "%s", does[i]);
    for (size_t i = 0; i < sizeof does_not / sizeof *does_not; i++)
        cr_expect_not(prepared_holds_literal(does_not[i]), "%s", does_not[i]);
}
