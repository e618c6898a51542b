/* sharing.c: which handles share a server connection, and which never do. */
#include "case/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Exported and never inlined: the log names them as call sites. */
PGconn *open_the_first(void);
PGconn *open_the_second(void);
__attribute__((noinline)) PGconn *open_the_first(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(handle), CONNECTION_OK);
    return handle;
}
__attribute__((noinline)) PGconn *open_the_second(void) {
    PGconn *handle = PQconnectdb("dbname=shop user=app");
    expect_number(PQstatus(handle), CONNECTION_OK);
    return handle;
}

CASE(two_handles, "",
     "two PQconnectdb of one target are one backend and one duplicate line with both call sites") {
    PGconn *first = open_the_first(), *second = open_the_second();
    expect(first != second);
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_backends(2, 1);
    PQfinish(first);
    expect_text(ask(second, "SELECT 3"), "3");
    expect_backends(1, 1);
    if (sharing()) {
        expect_number(log_lines("duplicate:", NULL), 1);
        expect_number(log_lines("open_the_second", "open_the_first"), 1);
    }
    PQfinish(second);
}

CASE(duplicates_are_counted, "", "fifty duplicates from one place are a few lines with counts, not fifty") {
    PGconn *first = open_the_first(), *others[50];
    for (int i = 0; i < 50; i++)
        others[i] = open_the_second();
    for (int i = 0; i < 50; i++)
        PQfinish(others[i]);
    PQfinish(first);
    if (sharing()) {
        expect(log_lines("duplicate:", NULL) >= 1);
        expect(log_lines("duplicate:", NULL) <= 3);
    }
}

CASE(churn_of_handles, "", "handles that are opened and finished while one stays never disturb it") {
    PGconn *stays = open_handle();
    for (int i = 0; i < 100; i++) {
        PGconn *goes = open_handle();
        expect_text(ask(goes, "SELECT 'goes'"), "goes");
        PQfinish(goes);
        expect_text(ask(stays, "SELECT 'stays'"), "stays");
    }
    expect_backends(1, 1);
    PQfinish(stays);
}

/* Two handles, the second spelled otherwise: one backend under the shim. */
static void same_target(PGconn *first, PGconn *second) {
    expect_text(PQerrorMessage(second), "");
    expect_number(PQstatus(second), CONNECTION_OK);
    expect_text(ask(first, "SELECT current_user || '@' || current_database()"), "app@shop");
    expect_text(ask(second, "SELECT current_user || '@' || current_database()"), "app@shop");
    expect_backends(2, 1);
    PQfinish(first);
    expect_text(ask(second, "SELECT 'alive'"), "alive");
    PQfinish(second);
}

CASE(by_params, "", "PQconnectdbParams, with and without expand_dbname, resolves to the same target") {
    const char *words[] = {"user", "dbname", NULL}, *values[] = {"app", "shop", NULL};
    const char *expanded[] = {"dbname", NULL}, *string[] = {"dbname=shop user=app", NULL};
    PGconn *third = PQconnectdbParams(expanded, string, 1);
    expect_number(PQstatus(third), CONNECTION_OK);
    PQfinish(third);
    same_target(open_handle(), PQconnectdbParams(words, values, 0));
}

CASE(by_login, "", "PQsetdbLogin and PQsetdb resolve to the same target") {
    same_target(open_handle(), PQsetdbLogin(NULL, NULL, NULL, NULL, "shop", "app", NULL));
}

CASE(by_uri, "", "a URI resolves to the same target") {
    same_target(open_handle(), PQconnectdb("postgresql://app@/shop"));
}

CASE(by_environment, "", "PG* variables resolve to the same target") {
    PGconn *first = open_handle();
    setenv("PGUSER", "app", 1);
    setenv("PGDATABASE", "shop", 1);
    same_target(first, PQconnectdb(""));
}

CASE(by_service, "", "a service file resolves to the same target") {
    char path[512];
    snprintf(path, sizeof path, "%s/services", case_directory());
    FILE *file = fopen(path, "w");
    fputs("[counter]\ndbname=shop\nuser=app\n", file);
    fclose(file);
    setenv("PGSERVICEFILE", path, 1);
    same_target(open_handle(), PQconnectdb("service=counter"));
}

CASE(service_edited, "", "a service that means something else by now leads there, however it is named") {
    const char *named[] = {"service=counter", "postgresql:///?service=counter", NULL};
    char path[512];
    snprintf(path, sizeof path, "%s/services", case_directory());
    setenv("PGSERVICEFILE", path, 1);
    for (int i = 0; i < 6; i++) {
        const char *meant = i % 2 ? "other" : "shop", *keywords[] = {"service", NULL},
                   *values[] = {"counter", NULL};
        FILE *file = fopen(path, "w");
        fprintf(file, "[counter]\ndbname=%s\nuser=app\n", meant);
        fclose(file);
        PGconn *handle = named[i / 2] ? PQconnectdb(named[i / 2]) : PQconnectdbParams(keywords, values, 0);
        expect_text(PQerrorMessage(handle), "");
        expect_text(ask(handle, "SELECT current_database()"), meant);
        PQfinish(handle);
    }
}

CASE(by_start, "", "PQconnectStart and PQconnectPoll give a handle that answers") {
    PGconn *first = open_handle(), *second = PQconnectStart("dbname=shop user=app");
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    double deadline = seconds_now() + 10;
    while (state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED && seconds_now() < deadline) {
        sleep_ms(2);
        state = PQconnectPoll(second);
    }
    expect_number(state, PGRES_POLLING_OK);
    expect_text(ask(second, "SELECT 7"), "7");
    PQfinish(first);
    expect_text(ask(second, "SELECT 8"), "8");
    PQfinish(second);
}

/* Two handles that must never share. */
static void other_target(const char *first_words, const char *second_words) {
    PGconn *first = open_with(first_words), *second = open_with(second_words);
    expect_text(ask(first, "SELECT 1"), "1");
    expect_text(ask(second, "SELECT 2"), "2");
    expect_number(role_backends("app"), 2);
    PQfinish(first);
    expect_text(ask(second, "SELECT 3"), "3");
    PQfinish(second);
}

CASE(other_database, "", "another dbname is another target") {
    other_target("", "dbname=other");
}
CASE(other_options, "", "other options are another target") {
    other_target("", "options='-c work_mem=1MB'");
    PGconn *handle = open_with("options='-c work_mem=1MB'");
    expect_text(ask(handle, "SHOW work_mem"), "1MB");
    PQfinish(handle);
}
CASE(other_application, "", "another application_name is another target, and the server sees each") {
    other_target("application_name=one", "application_name=two");
    PGconn *first = open_with("application_name=shop-front"),
           *second = open_with("application_name=shop-back");
    expect_text(ask(first, "SHOW application_name"), "shop-front");
    expect_text(ask(second, "SHOW application_name"), "shop-back");
    PQfinish(first);
    PQfinish(second);
}
CASE(other_password, "", "another password is another target, even where the server does not ask") {
    other_target("password=one", "password=two");
}
CASE(other_environment, "", "PGOPTIONS set between two connects makes another target") {
    PGconn *first = open_handle();
    setenv("PGOPTIONS", "-c work_mem=2MB", 1);
    PGconn *second = open_handle();
    expect_text(ask(second, "SHOW work_mem"), "2MB");
    expect_text(ask(first, "SELECT current_setting('work_mem') <> '2MB'"), "t");
    PQfinish(first);
    PQfinish(second);
}

CASE(wrong_password, "", "a wrong password is refused by the server, though the right one is connected") {
    char wrong[256];
    snprintf(wrong, sizeof wrong, "%s", tcp_conninfo("app", "not-it"));
    PGconn *right = PQconnectdb(tcp_conninfo("app", "app"));
    expect_number(PQstatus(right), CONNECTION_OK);
    for (int i = 0; i < 3; i++) {
        PGconn *refused_one = PQconnectdb(wrong);
        expect_number(PQstatus(refused_one), CONNECTION_BAD);
        expect_part(PQerrorMessage(refused_one), "password authentication failed for user \"app\"");
        PQfinish(refused_one);
    }
    expect_text(ask(right, "SELECT 1"), "1");
    PQfinish(right);
}

CASE(scram, "", "handles that authenticate share, and each says what it used") {
    PGconn *first = PQconnectdb(tcp_conninfo("app", "app")),
           *second = PQconnectdb(tcp_conninfo("app", "app"));
    expect_number(PQstatus(first), CONNECTION_OK);
    expect_number(PQstatus(second), CONNECTION_OK);
    expect_number(PQconnectionUsedPassword(first), 1);
    expect_number(PQconnectionUsedPassword(second), 1);
    expect_text(PQpass(second), "app");
    expect_backends(2, 1);
    PQfinish(first);
    PQfinish(second);
}
