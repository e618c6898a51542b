/* ledger_reader.c: ledgers as a living, a killed and a hostile process would leave them. */
#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/ledger_reader.h"
#include "ledger_sample.h"

static struct ledger_header *header;
static struct ledger ledger;
static char why[256];

static void make(void) {
    header = sample_ledger(4711);
}
static void drop(void) {
    ledger_release(&ledger);
    free(header);
}
TestSuite(ledger_reader, .init = make, .fini = drop);

static bool parse(size_t size) {
    memset(why, 0, sizeof why);
    ledger_release(&ledger);
    return ledger_parse(header, size, &ledger, why, sizeof why);
}

Test(ledger_reader, rows_come_back_as_they_were_written) {
    sample_module(header, "/usr/lib/libshop.so");
    sample_site(header, "route_products+0x1c (libshop.so)")->duplicates = 5;
    sample_target(header, "app@db:5432/shop")->busy_peak = 3;
    sample_server(header, 9120, 0);
    sample_handle(header, 0, 0)->server = 0;
    cr_assert(parse(header->file_size), "%s", why);
    cr_expect(ledger.header.pid == 4711 && !ledger.alive && ledger.end == header->closed_monotonic);
    cr_expect_str_eq(ledger.modules[0].path, "/usr/lib/libshop.so");
    cr_expect(ledger.site_count == 1 && ledger.sites[0].duplicates == 5 && ledger.sites[0].depth == 1);
    cr_expect(ledger.targets[0].busy_peak == 3);
    cr_expect(ledger.handles[0].server == 0 && ledger.servers[0].backend_pid == 9120);
}

Test(ledger_reader, every_truncation_is_refused) {
    sample_site(header, "x");
    size_t size = header->file_size;
    for (size_t cut = 0; cut < size; cut += cut < 4096 ? 1 : 1009) {
        /* In memory of exactly that size, so that a sanitizer sees a read beyond it. */
        void *bytes = malloc(cut ? cut : 1);
        memcpy(bytes, header, cut);
        cr_expect_not(ledger_parse(bytes, cut, &ledger, why, sizeof why), "%zu bytes", cut);
        free(bytes);
    }
    cr_expect(parse(size));
}

Test(ledger_reader, foreign_files_and_other_versions_are_told_apart) {
    header->magic[0] = 'X';
    cr_expect_not(parse(header->file_size));
    cr_expect_str_eq(why, "is not a ledger of pqone");
    header->magic[0] = LEDGER_MAGIC[0];
    header->version = LEDGER_VERSION + 1;
    cr_expect_not(parse(header->file_size));
    cr_expect(strstr(why, "version"), "%s", why);
}

Test(ledger_reader, tables_outside_the_file_are_refused) {
    struct ledger_table *tables[] = {&header->modules, &header->sites, &header->targets, &header->handles,
                                     &header->servers};
    for (size_t i = 0; i < 5; i++) {
        struct ledger_table good = *tables[i];
        tables[i]->offset = UINT32_MAX;
        cr_expect_not(parse(header->file_size));
        *tables[i] = good;
        tables[i]->offset = 8; /* inside the header */
        cr_expect_not(parse(header->file_size));
        *tables[i] = good;
        tables[i]->row_size = 0;
        cr_expect_not(parse(header->file_size));
        *tables[i] = good;
        tables[i]->row_size = UINT32_MAX;
        tables[i]->capacity = UINT32_MAX;
        cr_expect_not(parse(header->file_size));
        *tables[i] = good;
        cr_expect(parse(header->file_size), "%s", why);
    }
}

Test(ledger_reader, counts_and_indexes_are_brought_into_range) {
    struct ledger_site *site = sample_site(header, "x");
    struct ledger_handle *handle = sample_handle(header, 77, 88);
    handle->server = 99;
    site->depth = 4000;
    site->frames[0] = LEDGER_FRAME(7, 0x123);
    struct ledger_handle *odd = sample_handle(header, 0, 0);
    odd->state = 12345;
    header->sites.used = UINT32_MAX;
    cr_assert(parse(header->file_size), "%s", why);
    cr_expect(ledger.site_count == LEDGER_SITES);
    cr_expect(ledger.sites[0].depth == LEDGER_FRAMES);
    cr_expect(LEDGER_FRAME_MODULE(ledger.sites[0].frames[0]) == LEDGER_NO_MODULE);
    cr_expect(LEDGER_FRAME_OFFSET(ledger.sites[0].frames[0]) == 0x123);
    cr_expect(ledger.handles[0].site == 77, "a row that `used` claims");
    cr_expect(ledger.handles[0].target == LEDGER_ROW_NONE && ledger.handles[0].server == LEDGER_ROW_NONE);
    cr_expect(ledger.handles[1].state == LEDGER_HANDLE_FREE);
}

Test(ledger_reader, texts_end_and_steer_no_terminal) {
    struct ledger_target *target = sample_target(header, "x");
    memset(target->name, 0x1b, sizeof target->name);
    memset(header->program, 'p', sizeof header->program);
    struct ledger_module *module = sample_module(header, "/m");
    module->build_id_length = 1000;
    cr_assert(parse(header->file_size), "%s", why);
    cr_expect(strlen(ledger.targets[0].name) == sizeof target->name - 1);
    cr_expect_not(strchr(ledger.targets[0].name, 0x1b));
    cr_expect(strlen(ledger.header.program) == sizeof header->program - 1);
    cr_expect(ledger.modules[0].build_id_length == 0);
}

Test(ledger_reader, rows_may_be_longer_or_shorter_than_ours) {
    sample_target(header, "app@db:5432/shop")->servers_peak = 4;
    sample_target(header, "app@db:5432/mail");
    struct ledger_header *wide = sample_ledger(1);
    uint32_t row = sizeof(struct ledger_target) + 16;
    /* The targets move behind everything else, in rows with 16 bytes more than we know. */
    size_t size = header->file_size + (size_t)row * 2;
    wide = realloc(wide, size);
    memcpy(wide, header, header->file_size);
    memset((char *)wide + header->file_size, 0xee, (size_t)row * 2);
    for (int i = 0; i < 2; i++)
        memcpy((char *)wide + header->file_size + (size_t)row * (size_t)i,
               (char *)header + header->targets.offset + sizeof(struct ledger_target) * (size_t)i,
               sizeof(struct ledger_target));
    wide->targets.offset = (uint32_t)header->file_size;
    wide->targets.row_size = row;
    wide->targets.capacity = 2;
    wide->file_size = size;
    free(header);
    header = wide;
    cr_assert(parse(size), "%s", why);
    cr_expect_str_eq(ledger.targets[1].name, "app@db:5432/mail");
    header->targets.row_size = offsetof(struct ledger_target, servers_peak);
    header->targets.capacity = 1;
    cr_assert(parse(size), "%s", why);
    cr_expect(ledger.target_count == 1 && ledger.targets[0].servers_peak == 0,
              "what an older shim did not write");
}

Test(ledger_reader, a_directory_is_no_ledger) {
    cr_expect_not(ledger_read("/", &ledger, why, sizeof why));
    cr_expect_str_eq(why, "is not a regular file");
    cr_expect_not(ledger_read("/nonexistent", &ledger, why, sizeof why));
    cr_expect(strstr(why, "No such file"), "%s", why);
}
