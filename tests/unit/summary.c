/* summary.c: what people and programs read of a ledger. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/reports/report_json.h"
#include "cli/reports/summary.h"
#include "ledger_sample.h"
#include "pin.h"

static struct ledger_header *header;
static char *text;

static void make(void) {
    header = sample_ledger(4711);
}
static void drop(void) {
    free(header);
    free(text);
}
TestSuite(summary, .init = make, .fini = drop);

/* The report of the ledger `times` over. */
static const char *render(bool json, size_t times) {
    struct ledger ledgers[25];
    char why[256];
    size_t size;
    free(text);
    for (size_t i = 0; i < times; i++)
        cr_assert(ledger_parse(header, header->file_size, &ledgers[i], why, sizeof why), "%s", why);
    FILE *out = open_memstream(&text, &size);
    struct ledger_list list = {.ledgers = ledgers, .count = times, .capacity = times};
    if (json)
        cr_expect(report_json(out, &(struct report){.list = &list}));
    else
        summary_text(out, ledgers, times, NULL, false);
    fclose(out);
    for (size_t i = 0; i < times; i++)
        ledger_release(&ledgers[i]);
    return text;
}

static void says(const char *part) {
    cr_expect(strstr(text, part), "not in the report: %s\n%s", part, text);
}
static void silent_about(const char *part) {
    cr_expect_not(strstr(text, part), "in the report: %s\n%s", part, text);
}

static void fill(void) {
    sample_site(header, "route_products+0x1c (libshop.so)")->duplicates = 7;
    sample_site(header, "route_brands+0x10 (libshop.so)")->duplicates = 2;
    struct ledger_target *target = sample_target(header, "app@db.local:5432/shop");
    target->opened = 40;
    target->busy_peak = 3;
    header->counters.handles_opened = 40;
    header->counters.handles_alive_peak = 12;
    header->counters.busy_peak = 3;
    header->counters.duplicates = 9;
    sample_handle(header, 1, 0);
    sample_handle(header, 0, 0)->pin = PIN_LISTEN;
}

Test(summary, opens_with_the_sentence_of_the_design) {
    fill();
    render(false, 1);
    says("pqone[4711] shop: 40 handles opened, peak 12 alive, peak 3 busy at once: 3 connections would have "
         "done. "
         "2 unfinished, 9 duplicates at 2 call sites.\n");
}

Test(summary, singular_is_singular) {
    sample_site(header, "main+0x1 (shop)")->duplicates = 1;
    sample_target(header, "a@b:1/c")->busy_peak = 1;
    header->counters.handles_opened = 1;
    header->counters.duplicates = 1;
    render(false, 1);
    says("1 handle opened, peak 0 alive, peak 0 busy at once: 1 connection would have done. 0 unfinished, "
         "1 duplicate at 1 call site.\n");
}

Test(summary, what_a_shutdown_finished_is_no_silent_zero) {
    sample_target(header, "a@b:1/c")->busy_peak = 1;
    header->counters.handles_opened = 6;
    header->counters.left = 6;
    render(false, 1);
    says(" 0 unfinished, 6 left to a runtime's shutdown, no duplicates.\n");
}

Test(summary, needed_connections_are_summed_over_targets_and_never_zero_when_connected) {
    sample_target(header, "a")->busy_peak = 2;
    sample_target(header, "b")->busy_peak = 3;
    header->counters.handles_opened = 5;
    header->counters.busy_peak = 4;
    render(false, 1);
    says(": 5 connections would have done.");
    header->targets.used = 0;
    header->counters.busy_peak = 0;
    render(false, 1);
    says(": 1 connection would have done.");
    header->counters.connects_failed = 5;
    render(false, 1);
    says(": none ever connected.");
}

Test(summary, pinned_handles_need_more_than_the_busy_ones) {
    fill();
    header->counters.servers_alive_peak = 30;
    header->counters.pins = 31;
    header->counters.pins_by_reason[PIN_SEQUENCE] = 30;
    header->counters.pins_by_reason[PIN_LISTEN] = 1;
    render(false, 1);
    says(": 3 connections would have done, 30 were needed because handles are pinned (listen, sequence). 2 "
         "unfinished");
    strcpy(header->mode, "observe");
    render(false, 1);
    says(": 3 connections would have done. 2");
    strcpy(header->mode, "share");
    header->counters.servers_alive_peak = 3;
    render(false, 1);
    says(": 3 connections would have done. 2");
    header->counters.servers_alive_peak = 30;
    header->counters.pins = 0;
    render(false, 1);
    says(": 3 connections would have done. 2");
}

Test(summary, a_single_target_has_no_line_of_its_own) {
    fill();
    header->counters.servers_opened = 2;
    header->counters.servers_alive_peak = 1;
    render(false, 1);
    says("    server connections: 2 opened, peak 1 at once, mode share, to app@db.local:5432/shop\n");
    silent_about("shop: 40 handles, ");
    sample_target(header, "app@db.local:5432/stock")->opened = 4;
    render(false, 1);
    says("    server connections: 2 opened, peak 1 at once, mode share\n"
         "        app@db.local:5432/shop: 40 handles, peak 0 alive, peak 3 busy, peak 0 server connections\n"
         "        app@db.local:5432/stock: 4 handles, ");
}

Test(summary, places_come_biggest_first_and_only_ten) {
    header->counters.handles_opened = 100;
    for (int i = 0; i < 13; i++) {
        char name[32];
        snprintf(name, sizeof name, "site_%d", i);
        sample_site(header, name)->duplicates = (uint64_t)i + 1;
    }
    render(false, 1);
    says("     13  site_12\n         12  site_11\n");
    says("and 3 more call sites\n");
    says("  site_3\n");
    silent_about("  site_2\n");
}

Test(summary, sites_with_one_text_are_one_place) {
    header->counters.handles_opened = 9;
    header->counters.duplicates = 7;
    sample_site(header, "db_connect+0x9 (shop)")->duplicates = 3;
    sample_site(header, "db_connect+0x9 (shop)")->duplicates = 4;
    render(false, 1);
    says("7 duplicates at 1 call site.");
    says("      7  db_connect+0x9 (shop)\n");
}

Test(summary, unfinished_handles_have_age_last_use_target_and_pin) {
    fill();
    render(false, 1);
    says("  1  route_brands+0x10 (libshop.so): app@db.local:5432/shop, 59.0s old, last used 58.0s before the "
         "end\n");
    says(", pinned: listens on a channel\n");
}

Test(summary, a_killed_process_is_said_to_be_killed) {
    fill();
    header->process_state = LEDGER_RUNNING;
    header->closed_monotonic = 0;
    render(false, 1);
    says("was killed by a signal or left by _exit");
    says(", opened at ");
    silent_about(" old");
    header->process_state = LEDGER_EXITED;
    render(false, 1);
    silent_about("was killed");
}

Test(summary, inherited_handles_are_the_parents_to_finish) {
    fill();
    render(false, 1);
    silent_about("inherited");
    sample_handle(header, 0, 0)->state = LEDGER_HANDLE_INHERITED;
    render(false, 1);
    says(" 2 unfinished,");
    says("    1 inherited from the parent, never used\n");
    render(true, 1);
    says("\"unfinished\": 2,");
    header->counters.handles_unlisted = 5;
    render(false, 1);
    says(" 7 unfinished,");
}

Test(summary, absence_is_not_silent) {
    header->notes = LEDGER_NOTE_BYPASSED | LEDGER_NOTE_UNKNOWN_EXPORTS | LEDGER_NOTE_OFF | LEDGER_NOTE_ROAD;
    render(false, 1);
    says("libpq was loaded, but no connect was made through the shim: none was made, or it by-passed "
         "pqone\n");
    says("a way to libpq was used that pqone cannot take");
    says("functions that pqone does not know");
    says(" shop: pqone was switched off (mode off or PQONE_DISABLE), nothing was watched.\n");
    silent_about("no handle opened");
    header->notes = 0;
    render(false, 1);
    says(" shop: no handle opened.\n");
}

Test(summary, several_processes_have_a_line_over_all) {
    fill();
    render(false, 2);
    says("pqone: 2 processes: 80 handles opened on 0 server connections, 4 unfinished, 18 duplicates.\n");
    header->handles.used = header->sites.used = 0;
    header->counters.duplicates = 0;
    render(false, 2);
    says("pqone: 2 of them have nothing to report.\n");
    silent_about("pqone[4711]");
}

Test(summary, a_crowd_of_processes_is_cut) {
    fill();
    render(false, 25);
    says("pqone: 25 processes: 1000 handles opened");
    says("pqone: 5 more processes have something to report;");
    silent_about("nothing to report");
}

Test(summary, json_is_json_whatever_the_texts_are) {
    fill();
    memcpy(header->program, "/bin/\xff\xfe\"\\\n", 11);
    header->counters.statements = UINT64_MAX;
    json_error_t error;
    json_t *root = json_loads(render(true, 1), 0, &error);
    cr_assert(root, "%s", error.text);
    cr_expect(json_integer_value(json_object_get(root, "pqone_report")) == REPORT_JSON_VERSION);
    json_t *process = json_array_get(json_object_get(root, "processes"), 0);
    cr_expect(json_integer_value(json_object_get(process, "unfinished")) == 2);
    cr_expect(json_array_size(json_object_get(process, "handles")) == 2);
    cr_expect_str_eq(
        json_string_value(json_object_get(json_array_get(json_object_get(process, "handles"), 1), "pin")),
        "listen");
    cr_expect(json_integer_value(json_object_get(json_object_get(process, "counters"), "statements")) ==
              INT64_MAX);
    json_decref(root);
}

Test(summary, statements_of_a_finished_handle_count_once) {
    header->counters.statements = 5;
    struct ledger_handle *finished = sample_handle(header, 0, 0);
    finished->statements = 5;
    finished->state = LEDGER_HANDLE_FREE;
    sample_handle(header, 0, 0)->statements = 20;
    struct ledger_handle *failed = sample_handle(header, 0, 0), *inherited = sample_handle(header, 0, 0);
    failed->statements = 300;
    failed->state = LEDGER_HANDLE_FAILED;
    inherited->statements = 4000;
    inherited->state = LEDGER_HANDLE_INHERITED;
    json_t *root = json_loads(render(true, 1), 0, NULL);
    json_t *process = json_array_get(json_object_get(root, "processes"), 0);
    cr_expect(json_integer_value(json_object_get(json_object_get(process, "counters"), "statements")) ==
              4325);
    json_decref(root);
}

Test(summary, absurd_times_are_no_trap) {
    fill();
    header->opened_monotonic = INT64_MIN;
    header->opened_realtime = INT64_MAX;
    header->closed_monotonic = 0;
    struct ledger_handle *handle = sample_handle(header, 0, 0);
    handle->opened_monotonic = INT64_MAX;
    handle->last_used_monotonic = INT64_MIN;
    render(false, 1);
    says(" 3 unfinished,");
    render(true, 1);
    says("\"unfinished\": 3");
}
