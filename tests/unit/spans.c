/* spans.c: what the timeline keeps, in a table made small. Each test is a process of its own. */
#include "watch/spans.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static char directory[] = "/tmp/pqone-spans-XXXXXX";

static void enter(void) {
    cr_assert_not_null(mkdtemp(directory));
    setenv("PQONE_LEDGER_DIR", directory, 1);
    setenv("PQONE_LOG", "none", 1);
    setenv("PQONE_TRACE", "1", 1);
    unsetenv("PQONE_RUN");
}

static void leave(void) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    cr_expect(system(command) == 0);
}
TestSuite(spans, .init = enter, .fini = leave);

static const struct ledger_span *row(uint32_t index) {
    const struct ledger_header *ledger = recorder();
    return (const struct ledger_span *)((const char *)ledger + ledger->spans.offset) + index;
}

static void rest(long microseconds) {
    nanosleep(&(struct timespec){0, microseconds * 1000}, NULL);
}

static struct span_owner owner(uint64_t number) {
    return (struct span_owner){number, 1, 2};
}

Test(spans, a_life_with_its_busy_parts) {
    struct spans spans = {0};
    spans_open(&spans, owner(7), LEDGER_HANDLE_OPEN);
    spans_busy(&spans, owner(7));
    spans_idle(&spans);
    rest(3000);
    spans_busy(&spans, owner(7));
    spans_close(&spans);
    cr_assert_eq(recorder()->spans.used, 3);
    cr_expect_eq(row(0)->kind, LEDGER_SPAN_ALIVE);
    cr_expect_eq(row(0)->handle, 7);
    cr_expect_eq(row(0)->site, 1);
    cr_expect_eq(row(0)->target, 2);
    cr_expect_eq(row(0)->periods, 2);
    for (uint32_t i = 1; i < 3; i++) {
        cr_expect_eq(row(i)->kind, LEDGER_SPAN_BUSY);
        cr_expect_eq(row(i)->handle, 7);
        cr_expect(row(i)->begin >= row(0)->begin && row(i)->end <= row(0)->end &&
                  row(i)->end >= row(i)->begin);
    }
    cr_expect_eq(row(2)->end, row(0)->end, "what is busy ends with the handle");
    cr_expect(row(2)->begin - row(1)->end >= 3000000);
}

Test(spans, short_parts_without_company_are_one) {
    struct spans spans = {0};
    spans_open(&spans, owner(1), LEDGER_HANDLE_OPEN);
    for (int i = 0; i < 500; i++) {
        spans_busy(&spans, owner(1));
        spans_idle(&spans);
    }
    uint64_t periods = 0;
    for (uint32_t i = 1; i < recorder()->spans.used; i++) {
        periods += row(i)->periods;
        cr_expect(row(i)->idle >= 0 && row(i)->idle <= row(i)->end - row(i)->begin);
    }
    cr_expect_eq(periods, 500);
    cr_expect_lt(recorder()->spans.used, 100, "only a pause of this machine begins a new one");
}

Test(spans, short_parts_of_two_in_turns_never_overlap) {
    struct spans one = {0}, other = {0};
    spans_open(&one, owner(1), LEDGER_HANDLE_OPEN);
    spans_open(&other, owner(2), LEDGER_HANDLE_OPEN);
    for (int i = 0; i < 100; i++) {
        spans_busy(&one, owner(1));
        spans_idle(&one);
        spans_busy(&other, owner(2));
        spans_idle(&other);
    }
    int64_t last = 0;
    for (uint32_t i = 0; i < recorder()->spans.used; i++)
        if (row(i)->kind == LEDGER_SPAN_BUSY) {
            cr_expect(row(i)->begin >= last, "part %u begins before another's end", i);
            last = row(i)->end;
        }
}

Test(spans, busy_parts_leave_a_quarter_to_handles) {
    struct spans spans[8];
    memset(spans, 0, sizeof spans);
    recorder()->spans.capacity = 8;
    spans_open(&spans[0], owner(1), LEDGER_HANDLE_OPEN);
    for (int i = 0; i < 10; i++) {
        spans_busy(&spans[0], owner(1));
        spans_idle(&spans[0]);
        rest(2000);
    }
    cr_expect_eq(recorder()->spans.used, 6);
    cr_expect_eq(recorder()->counters.spans_unlisted, 5);
    cr_expect_gt(recorder()->spans_full_monotonic, row(5)->end);
    cr_expect_eq(row(0)->periods, 10, "the count goes on");
    for (uint64_t i = 1; i < 4; i++)
        spans_open(&spans[i], owner(i + 1), LEDGER_HANDLE_OPEN);
    cr_expect_eq(recorder()->spans.used, 8);
    cr_expect_eq(row(7)->handle, 3);
    cr_expect_eq(recorder()->counters.spans_unlisted, 6);
    for (int i = 0; i < 4; i++)
        spans_close(&spans[i]);
}

Test(spans, without_a_trace_there_is_no_room_and_no_row) {
    unsetenv("PQONE_TRACE");
    cr_expect_not(spans_wanted(recorder()));
    cr_expect_eq(recorder()->spans.capacity, 0);
}

Test(spans, where_they_find_no_room_the_ledger_does_without) {
    struct rlimit limit = {4 << 20, 4 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_expect_eq(recorder()->traced, 1);
    cr_expect_eq(recorder()->spans.capacity, 0);
    cr_assert_str_neq(recorder_file(), "", "there is a ledger all the same");
    struct spans spans = {0};
    spans_open(&spans, owner(1), LEDGER_HANDLE_OPEN);
    spans_busy(&spans, owner(1));
    spans_close(&spans);
    cr_expect_gt(recorder()->counters.spans_unlisted, 0);
}
