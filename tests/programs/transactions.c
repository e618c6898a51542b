/* transactions.c: transactions of two handles never mix, whoever finishes, fails or waits. */
#include "case/case.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_table(void) {
    control("DROP TABLE IF EXISTS item; CREATE TABLE item (name text); GRANT ALL ON item TO PUBLIC");
}

CASE(interleaved, "",
     "BEGIN; INSERT on one handle, INSERT on another, ROLLBACK: exactly the second's row stays") {
    make_table();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN; INSERT INTO item VALUES ('first')");
    ask(second, "INSERT INTO item VALUES ('second')");
    expect_number(PQtransactionStatus(first), PQTRANS_INTRANS);
    expect_number(PQtransactionStatus(second), PQTRANS_IDLE);
    expect_text(ask(second, "SELECT string_agg(name, ',') FROM item"), "second");
    ask(first, "ROLLBACK");
    expect_text(control("SELECT string_agg(name, ',') FROM item"), "second");
    PQfinish(first);
    PQfinish(second);
}

CASE(both_open, "", "two open transactions at once: each commits its own") {
    make_table();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    ask(second, "BEGIN");
    ask(first, "INSERT INTO item VALUES ('first')");
    ask(second, "INSERT INTO item VALUES ('second')");
    expect_text(ask(first, "SELECT string_agg(name, ',') FROM item"), "first");
    expect_text(ask(second, "SELECT string_agg(name, ',') FROM item"), "second");
    ask(second, "COMMIT");
    ask(first, "ROLLBACK");
    expect_text(control("SELECT string_agg(name, ',') FROM item"), "second");
    PQfinish(first);
    PQfinish(second);
}

CASE(failed_transaction, "", "a failed transaction fails its own handle only") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    expect_text(refused(first, "SELECT 1/0"), "22012");
    expect_text(ask(second, "SELECT 'fine'"), "fine");
    expect_text(refused(first, "SELECT 1"), "25P02");
    expect_number(PQtransactionStatus(first), PQTRANS_INERROR);
    expect_number(PQtransactionStatus(second), PQTRANS_IDLE);
    ask(first, "ROLLBACK");
    expect_text(ask(first, "SELECT 'again'"), "again");
    PQfinish(first);
    PQfinish(second);
}

CASE(chained, "", "COMMIT AND CHAIN leaves the handle in a transaction of its own") {
    make_table();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN");
    ask(first, "COMMIT AND CHAIN");
    expect_number(PQtransactionStatus(first), PQTRANS_INTRANS);
    ask(second, "INSERT INTO item VALUES ('second')");
    ask(first, "INSERT INTO item VALUES ('first')");
    ask(first, "ROLLBACK");
    expect_text(control("SELECT string_agg(name, ',') FROM item"), "second");
    PQfinish(first);
    PQfinish(second);
}

CASE(savepoints, "", "savepoints belong to their handle") {
    make_table();
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN; INSERT INTO item VALUES ('a'); SAVEPOINT s; INSERT INTO item VALUES ('b')");
    expect_text(refused(second, "ROLLBACK TO SAVEPOINT s"), "25P01");
    ask(first, "ROLLBACK TO SAVEPOINT s; COMMIT");
    expect_text(control("SELECT string_agg(name, ',') FROM item"), "a");
    PQfinish(first);
    PQfinish(second);
}

CASE(finish_inside, "", "PQfinish inside a transaction rolls back before anybody else gets the connection") {
    make_table();
    PGconn *stays = open_handle();
    for (int i = 0; i < 20; i++) {
        PGconn *goes = open_handle();
        ask(goes, "BEGIN; LOCK TABLE item; INSERT INTO item VALUES ('lost')");
        PQfinish(goes);
        expect_number(PQtransactionStatus(stays), PQTRANS_IDLE);
        expect_text(ask(stays, "SELECT count(*) FROM item"), "0");
    }
    expect_text(control("SELECT count(*) FROM item"), "0");
    PQfinish(stays);
}

CASE(set_local, "", "SET LOCAL and a transaction's isolation end with it and are not seen next door") {
    PGconn *first = open_handle(), *second = open_handle();
    ask(first, "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL work_mem = '3MB'");
    expect_text(ask(second, "SHOW transaction_isolation"), "read committed");
    expect_text(ask(second, "SELECT current_setting('work_mem') = '3MB'"), "f");
    expect_text(ask(first, "SHOW work_mem"), "3MB");
    ask(first, "COMMIT");
    expect_text(ask(first, "SELECT current_setting('work_mem') = '3MB'"), "f");
    PQfinish(first);
    PQfinish(second);
}

enum { THREADS = 32, ACCOUNTS = 20, START = 1000 };
static atomic_bool stop;
static atomic_long transfers, mistakes;
static char first_mistake[512];

static bool step(PGconn *handle, const char *sql) {
    PGresult *result = PQexec(handle, sql);
    bool good = PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!good && atomic_fetch_add(&mistakes, 1) == 0)
        snprintf(first_mistake, sizeof first_mistake, "%s: %s", sql, PQerrorMessage(handle));
    PQclear(result);
    return good;
}

/* Moves money between rows, taking the row locks in order; every seventh transfer is rolled back, every
 * fiftieth by PQfinish in the middle. */
static void *transfer(void *seed_of_thread) {
    unsigned seed = (unsigned)(size_t)seed_of_thread;
    char sql[256];
    PGconn *handle = open_handle();
    for (int round = 1; !atomic_load(&stop); round++) {
        int one = rand_r(&seed) % ACCOUNTS, two = rand_r(&seed) % ACCOUNTS, amount = rand_r(&seed) % 100;
        if (one == two)
            continue;
        int low = one < two ? one : two, high = one < two ? two : one;
        step(handle, "BEGIN");
        snprintf(sql, sizeof sql, "SELECT amount FROM account WHERE id IN (%d, %d) ORDER BY id FOR UPDATE",
                 low, high);
        step(handle, sql);
        snprintf(sql, sizeof sql, "UPDATE account SET amount = amount - %d WHERE id = %d", amount, one);
        step(handle, sql);
        if (round % 50 == 0) {
            PQfinish(handle);
            handle = open_handle();
            continue;
        }
        snprintf(sql, sizeof sql, "UPDATE account SET amount = amount + %d WHERE id = %d", amount, two);
        step(handle, sql);
        step(handle, round % 7 == 0 ? "ROLLBACK" : "COMMIT");
        atomic_fetch_add(&transfers, 1);
    }
    PQfinish(handle);
    return NULL;
}

static void transfer_money(void) {
    const char *seconds = getenv("TRANSFER_SECONDS");
    pthread_t threads[THREADS];
    control("DROP TABLE IF EXISTS account; CREATE TABLE account (id int PRIMARY KEY, amount bigint);"
            "GRANT ALL ON account TO PUBLIC;"
            "INSERT INTO account SELECT i, 1000 FROM generate_series(0, 19) i");
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, transfer, (void *)(i + 1));
    sleep_ms(1000 * (seconds ? atoi(seconds) : 2));
    atomic_store(&stop, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_text(first_mistake, "");
    expect(atomic_load(&transfers) > THREADS);
    expect_text(control("SELECT sum(amount) FROM account"), "20000");
}

CASE(money, "", "32 threads that transfer money between rows conserve it") {
    transfer_money();
}

CASE(money_at_cap, "PQONE_MAX_CONNECTIONS=4",
     "32 threads on 4 connections conserve it too, without one error") {
    transfer_money();
    if (sharing())
        expect(backends() <= 4);
}
