/* verdicts.c: what a run's ledgers come to, and which of it fails. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/verdicts/baseline.h"
#include "cli/verdicts/gate.h"
#include "cli/verdicts/suppressions.h"
#include "cli/verdicts/verdicts.h"
#include "ledger_sample.h"

enum { MAX = 4 };
static struct ledger_header *headers[MAX];
static struct ledger ledgers[MAX];
static struct ledger_list list;
static struct symbols *symbols;
static struct verdicts verdicts;
static struct gate gate;
static char why[1024];

static void make(void) {
    for (int i = 0; i < MAX; i++) {
        headers[i] = sample_ledger(1000000000 + i);
        headers[i]->opened_monotonic += i * SAMPLE_SECOND;
        sample_site(headers[i], "open_orders");
        sample_target(headers[i], "app@db.local:5432/shop");
    }
    symbols = symbols_new();
    gate = (struct gate){.budget = UINT64_MAX};
    cr_assert(gate_fail_on("leak,misuse", &gate.fail_on, why, sizeof why));
}
static void drop(void) {
    verdicts_release(&verdicts);
    symbols_free(symbols);
    for (int i = 0; i < MAX; i++) {
        free(headers[i]);
        ledger_release(&ledgers[i]);
    }
}
TestSuite(verdicts, .init = make, .fini = drop);

static void gather(size_t count) {
    verdicts_release(&verdicts);
    for (size_t i = 0; i < count; i++) {
        ledger_release(&ledgers[i]);
        cr_assert(ledger_parse(headers[i], headers[i]->file_size, &ledgers[i], why, sizeof why), "%s", why);
    }
    list = (struct ledger_list){.ledgers = ledgers, .count = count};
    cr_assert(verdicts_gather(&list, symbols, &gate, &verdicts));
}

static const struct finding *the_only(enum finding_kind kind) {
    const struct finding *found = NULL;
    for (size_t i = 0; i < verdicts.count; i++) {
        if (verdicts.findings[i].kind != kind)
            continue;
        cr_assert_null(found, "two findings of kind %s", finding_word(kind));
        found = &verdicts.findings[i];
    }
    cr_assert(found, "no finding of kind %s", finding_word(kind));
    return found;
}

static struct ledger_handle *unfinished(int process, enum ledger_verdict verdict) {
    struct ledger_handle *handle = sample_handle(headers[process], 0, 0);
    headers[process]->search = LEDGER_SEARCH_DONE;
    handle->verdict = verdict;
    return handle;
}

Test(verdicts, lost_held_and_unknown_are_told_apart) {
    unfinished(0, LEDGER_LOST);
    unfinished(0, LEDGER_HELD);
    unfinished(0, LEDGER_HELD)->state = LEDGER_HANDLE_FAILED;
    gather(1);
    cr_expect_eq(the_only(FINDING_LOST)->count, 1);
    cr_expect_eq(the_only(FINDING_HELD)->count, 2);
    cr_expect_eq(the_only(FINDING_HELD)->never_connected, 1);
    cr_expect_eq(verdicts.failing, 2);
    cr_expect_eq(the_only(FINDING_LOST)->age, 59 * SAMPLE_SECOND);
    cr_expect_eq(the_only(FINDING_LOST)->unused, 58 * SAMPLE_SECOND);
    headers[0]->search = LEDGER_SEARCH_NONE;
    headers[0]->process_state = LEDGER_RUNNING;
    headers[0]->closed_monotonic = 0;
    gather(1);
    cr_expect_eq(the_only(FINDING_UNKNOWN)->count, 3);
    cr_expect_eq(the_only(FINDING_UNKNOWN)->age, -1);
    cr_expect_eq(verdicts.totals.unknown, 3);
}

Test(verdicts, one_place_in_several_processes_is_one_finding) {
    unfinished(0, LEDGER_LOST);
    unfinished(1, LEDGER_LOST);
    unfinished(1, LEDGER_LOST);
    gather(3);
    cr_expect_eq(the_only(FINDING_LOST)->count, 3);
    cr_expect_eq(the_only(FINDING_LOST)->processes, 2);
    cr_expect_eq(the_only(FINDING_LOST)->pid, 1000000000);
    cr_expect_eq(verdicts.totals.processes, 3);
    cr_expect_str_eq(the_only(FINDING_LOST)->target, "app@db.local:5432/shop");
}

Test(verdicts, what_found_no_room_is_counted) {
    headers[0]->counters.handles_unlisted = 7;
    headers[0]->counters.duplicates = 5;
    headers[0]->counters.misuses_unlisted = 2;
    headers[0]->process_state = LEDGER_RUNNING;
    ((struct ledger_site *)((char *)headers[0] + headers[0]->sites.offset))->duplicates = 3;
    gather(1);
    cr_expect_eq(the_only(FINDING_UNKNOWN)->count, 7);
    cr_expect_eq(the_only(FINDING_MISUSE)->count, 2);
    cr_expect(the_only(FINDING_MISUSE)->fails);
    uint64_t duplicates = 0;
    for (size_t i = 0; i < verdicts.count; i++)
        duplicates += verdicts.findings[i].kind == FINDING_DUPLICATE ? verdicts.findings[i].count : 0;
    cr_expect_eq(duplicates, 5);
}

/* The child's row of a handle that its parent opened. */
static struct ledger_handle *inherit(int child, int parent, const struct ledger_handle *opened,
                                     enum ledger_handle_state state) {
    struct ledger_handle *row = sample_handle(headers[child], 0, 0);
    headers[child]->forked_from = headers[parent]->pid;
    row->number = opened->number;
    row->address = opened->address;
    row->opened_monotonic = opened->last_used_monotonic + SAMPLE_SECOND;
    row->last_used_monotonic = row->opened_monotonic + SAMPLE_SECOND;
    row->state = state;
    return row;
}

Test(verdicts, a_handle_that_the_child_finished_is_handed_over_and_no_leak) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    inherit(1, 0, opened, LEDGER_HANDLE_HANDED);
    gather(2);
    cr_expect_eq(the_only(FINDING_HANDED)->count, 1);
    cr_expect_eq(verdicts.count, 1);
    cr_expect_eq(verdicts.failing, 0);
}

Test(verdicts, a_child_that_only_tidies_up_takes_no_blame_from_its_parent) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    struct ledger_handle *row = inherit(1, 0, opened, LEDGER_HANDLE_HANDED);
    row->last_used_monotonic = row->opened_monotonic;
    gather(2);
    cr_expect_eq(the_only(FINDING_HELD)->count, 1);
    /* daemon(3): the parent has gone, and what it had is the child's. */
    headers[0]->process_state = LEDGER_RUNNING;
    headers[0]->search = LEDGER_SEARCH_NONE;
    gather(2);
    cr_expect_eq(the_only(FINDING_HANDED)->count, 1);
    cr_expect_eq(verdicts.count, 1);
}

Test(verdicts, a_handle_that_the_parent_used_on_is_its_own) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    struct ledger_handle *row = inherit(1, 0, opened, LEDGER_HANDLE_HANDED);
    opened->last_used_monotonic = row->opened_monotonic + SAMPLE_SECOND;
    gather(2);
    cr_expect_eq(the_only(FINDING_HELD)->count, 1);
    cr_expect_eq(verdicts.count, 1);
}

Test(verdicts, use_on_both_sides_is_no_handing_over) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    inherit(1, 0, opened, LEDGER_HANDLE_HANDED);
    sample_misuse(headers[1], MISUSE_BOTH_SIDES, 0)->handle = opened->number;
    gather(2);
    cr_expect_eq(the_only(FINDING_HELD)->count, 1);
    cr_expect_eq(the_only(FINDING_MISUSE)->count, 1);
    cr_expect_eq(verdicts.count, 2);
}

Test(verdicts, what_the_child_took_and_left_open_counts_once) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    headers[1]->search = LEDGER_SEARCH_DONE;
    inherit(1, 0, opened, LEDGER_HANDLE_TAKEN)->verdict = LEDGER_LOST;
    gather(2);
    cr_expect_eq(the_only(FINDING_LOST)->count, 1);
    cr_expect_eq(the_only(FINDING_LOST)->pid, 1000000001);
    cr_expect_eq(verdicts.count, 1);
}

Test(verdicts, what_the_child_only_inherited_is_the_parents_leak) {
    struct ledger_handle *opened = unfinished(0, LEDGER_LOST);
    inherit(1, 0, opened, LEDGER_HANDLE_INHERITED);
    gather(2);
    cr_expect_eq(the_only(FINDING_LOST)->count, 1);
    cr_expect_eq(verdicts.count, 1);
}

Test(verdicts, a_grandchild_may_be_the_heir) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    inherit(1, 0, opened, LEDGER_HANDLE_INHERITED);
    inherit(2, 1, opened, LEDGER_HANDLE_HANDED);
    gather(3);
    cr_expect_eq(the_only(FINDING_HANDED)->count, 1);
    cr_expect_eq(verdicts.count, 1);
}

Test(verdicts, a_damaged_family_does_not_go_round_in_circles, .timeout = 5) {
    struct ledger_handle *opened = unfinished(0, LEDGER_HELD);
    opened->state = LEDGER_HANDLE_INHERITED;
    inherit(1, 0, opened, LEDGER_HANDLE_HANDED);
    headers[0]->forked_from = headers[1]->pid;
    headers[1]->opened_monotonic = headers[0]->opened_monotonic;
    gather(2);
    cr_expect_eq(verdicts.failing, 0);
}

Test(verdicts, a_living_process_is_not_judged) {
    unfinished(0, LEDGER_UNKNOWN);
    headers[0]->pid = getpid();
    headers[0]->process_state = LEDGER_RUNNING;
    gather(1);
    if (!ledgers[0].alive) {
        /* Its start time has to be ours. */
        FILE *in = fopen("/proc/self/stat", "re");
        char text[1024] = "";
        cr_assert(in && fgets(text, sizeof text, in));
        fclose(in);
        char *at = strrchr(text, ')');
        for (int field = 2; at && field < 22; field++)
            at = strchr(at + 1, ' ');
        headers[0]->process_start = strtoull(at, NULL, 10);
        gather(1);
    }
    cr_assert(ledgers[0].alive);
    cr_expect_eq(verdicts.count, 0);
    cr_expect_eq(verdicts.running_count, 1);
    cr_expect_eq(verdicts.running[0].handles, 1);
    cr_expect_eq(verdicts.totals.unjudged, 1);
}

Test(verdicts, left_to_a_runtime_with_the_rest_that_was_only_counted) {
    for (int i = 0; i < LEDGER_LEFT_LISTED; i++) {
        struct ledger_handle *handle = sample_handle(headers[0], 0, 0);
        handle->state = LEDGER_HANDLE_LEFT;
        handle->runtime = LEDGER_BY_PYTHON;
        handle->ended = UINT32_MAX;
    }
    ((struct ledger_site *)((char *)headers[0] + headers[0]->sites.offset))->left = 100;
    gather(1);
    cr_expect_eq(the_only(FINDING_LEFT)->count, 100);
    cr_expect(strstr(the_only(FINDING_LEFT)->says, "Python"));
    cr_expect_eq(verdicts.failing, 0);
    cr_assert(gate_fail_on("left", &gate.fail_on, why, sizeof why));
    gather(1);
    cr_expect_eq(verdicts.failing, 1);
}

Test(verdicts, the_programs_own_atexit_is_the_program) {
    struct ledger_handle *handle = sample_handle(headers[0], 0, 0);
    handle->state = LEDGER_HANDLE_LEFT;
    handle->runtime = LEDGER_AT_EXIT;
    handle->ended = 0;
    gather(1);
    cr_expect_eq(verdicts.count, 0);
}

Test(verdicts, a_note_never_fails) {
    sample_misuse(headers[0], MISUSE_UNCOMMITTED_READ, 0);
    sample_misuse(headers[0], MISUSE_DOUBLE_FINISH, 0);
    gather(1);
    cr_expect_eq(verdicts.count, 2);
    cr_expect_eq(verdicts.failing, 1);
    cr_expect(verdicts.findings[0].fails && !verdicts.findings[0].is_note);
    cr_expect_str_eq(verdicts.findings[0].misuse->word, "double-finish");
    cr_expect_eq(verdicts.totals.misuses, 1);
}

Test(verdicts, a_budget_is_a_peak_for_each_target_and_no_sum) {
    struct ledger_target *targets[] = {
        (struct ledger_target *)((char *)headers[0] + headers[0]->targets.offset),
        (struct ledger_target *)((char *)headers[1] + headers[1]->targets.offset)};
    targets[0]->alive_peak = 5;
    targets[1]->alive_peak = 7;
    gate.budget = 7;
    gather(2);
    cr_expect_eq(verdicts.count, 0);
    gate.budget = 4;
    gate.fail_on |= 1u << FINDING_BUDGET;
    gather(2);
    cr_expect_eq(the_only(FINDING_BUDGET)->count, 7);
    cr_expect_eq(the_only(FINDING_BUDGET)->budget, 4);
    cr_expect_eq(the_only(FINDING_BUDGET)->processes, 2);
    cr_expect_eq(verdicts.failing, 1);
}

Test(verdicts, a_suppressed_finding_does_not_fail) {
    sample_script(headers[0], (struct ledger_site *)((char *)headers[0] + headers[0]->sites.offset),
                  LEDGER_PYTHON, "app/db.py\t41\tget_conn\n");
    unfinished(0, LEDGER_LOST);
    gate.suppressions = suppressions_parse("leak:get_conn", 13, "list", why, sizeof why);
    gather(1);
    cr_expect_str_eq(the_only(FINDING_LOST)->suppressed_by, "leak:get_conn");
    cr_expect_eq(verdicts.failing, 0);
    suppressions_free(gate.suppressions);
}

static char *baseline_text(const char *path) {
    static char text[8192];
    FILE *in = fopen(path, "re");
    cr_assert(in);
    text[fread(text, 1, sizeof text - 1, in)] = '\0';
    fclose(in);
    return text;
}

Test(verdicts, a_baseline_forgives_as_many_as_it_has) {
    char path[] = "/tmp/pqone-baseline.XXXXXX";
    int file = mkstemp(path);
    cr_assert(file >= 0);
    close(file);
    struct ledger_site *site = (struct ledger_site *)((char *)headers[0] + headers[0]->sites.offset);
    sample_script(headers[0], site, LEDGER_PYTHON, "app/db.py\t41\tget_conn\napp/main.py\t7\tmain\n");
    unfinished(0, LEDGER_LOST);
    struct ledger_handle *second = unfinished(0, LEDGER_HELD);
    gather(1);
    cr_assert(baseline_write(path, verdicts.findings, verdicts.count, why, sizeof why), "%s", why);
    cr_expect(strstr(baseline_text(path), "\"pqone_baseline\": 1"));
    cr_expect(strstr(baseline_text(path), "get_conn"));
    cr_expect_not(strstr(baseline_text(path), "41"), "a line: %s", baseline_text(path));
    /* Lines move, and what was held is lost the next time. */
    headers[0]->texts.used = 0;
    sample_script(headers[0], site, LEDGER_PYTHON, "app/db.py\t48\tget_conn\napp/main.py\t9\tmain\n");
    second->verdict = LEDGER_LOST;
    gate.baseline = baseline_read(path, why, sizeof why);
    cr_assert(gate.baseline, "%s", why);
    gather(1);
    cr_expect_eq(verdicts.failing, 0);
    cr_expect(the_only(FINDING_LOST)->is_known);
    uint64_t known = the_only(FINDING_LOST)->count;
    cr_expect_eq(the_only(FINDING_LOST)->grown, 0);
    unfinished(0, LEDGER_LOST);
    gather(1);
    cr_expect_eq(verdicts.failing, 1);
    cr_expect_not(the_only(FINDING_LOST)->is_known);
    cr_expect(the_only(FINDING_LOST)->known == known && the_only(FINDING_LOST)->grown == 1);
    baseline_free(gate.baseline);
    unlink(path);
}

Test(verdicts, a_bad_baseline_is_refused_with_a_sentence) {
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "no JSON"},
        {"[]", "not a baseline"},
        {"{\"pqone_baseline\": 2, \"findings\": []}", "version"},
        {"{\"pqone_baseline\": 1, \"findings\": [3]}", "no finding"},
        {"{\"pqone_baseline\": 1, \"findings\": [{\"identity\": \"x\", \"count\": -1}]}", "no finding"}};
    char path[] = "/tmp/pqone-baseline.XXXXXX";
    int file = mkstemp(path);
    cr_assert(file >= 0);
    close(file);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        FILE *out = fopen(path, "we");
        fputs(cases[i].text, out);
        fclose(out);
        cr_expect_null(baseline_read(path, why, sizeof why));
        cr_expect(strstr(why, cases[i].part), "%s: %s", cases[i].text, why);
    }
    unlink(path);
    cr_expect_null(baseline_read(path, why, sizeof why));
    cr_expect(strstr(why, "--write-baseline"));
}

Test(verdicts, fail_on_reads_its_words) {
    static const struct {
        const char *list;
        unsigned bits;
    } good[] = {
        {"none", 0},
        {"leak", 1u << FINDING_LOST | 1u << FINDING_HELD | 1u << FINDING_UNKNOWN},
        {"lost", 1u << FINDING_LOST},
        {"unknown", 1u << FINDING_UNKNOWN},
        {"held,left", 1u << FINDING_HELD | 1u << FINDING_UNKNOWN | 1u << FINDING_LEFT},
        {"duplicate,misuse,budget", 1u << FINDING_DUPLICATE | 1u << FINDING_MISUSE | 1u << FINDING_BUDGET}};
    static const char *const bad[] = {"",          "leek",       "leak,",
                                      ",leak",     "leak,,lost", "none,leak",
                                      "leak,none", "LEAK",       "leakleakleakleakleakleakleakleakleak"};
    unsigned bits;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_expect(gate_fail_on(good[i].list, &bits, why, sizeof why), "%s: %s", good[i].list, why);
        cr_expect_eq(bits, good[i].bits, "%s", good[i].list);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_not(gate_fail_on(bad[i], &bits, why, sizeof why), "%s", bad[i]);
}
