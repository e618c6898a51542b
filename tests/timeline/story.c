/*
 * story.c: writes a ledger with a timeline, made by hand: story NAMES HANDLES SPANS [UNLISTED] >FILE.
 *
 * NAMES: plain, or hostile (markup, quotes, line separators and a right-to-left override in everything that a
 * program can name). Says on standard error what a reader must find: "handles, busy parts, alive, busy" as
 * counted here, one by one.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "watch/ledger.h"

#define SECOND INT64_C(1000000000)
enum { SITES = 16 };

static const char *const plain[SITES] = {
    "app/db.py\t41\tget_conn\napp/views.py\t118\tcheckout\napp/wsgi.py\t12\tapplication\n",
    "app/db.py\t41\tget_conn\napp/views.py\t64\tlist_products\napp/wsgi.py\t12\tapplication\n",
    "app/reports.py\t209\tnightly\napp/cron.py\t7\t<module>\n",
    "app/models.py\t33\tProduct.load\napp/views.py\t70\tlist_products\n",
    "app/health.py\t9\tprobe\n",
    "app/tasks.py\t55\tsend_mail\napp/queue.py\t21\twork\n",
    "app/search.py\t88\treindex\n",
    "app/cart.py\t14\tCart.__init__\napp/views.py\t118\tcheckout\n",
    "vendor/orm/pool.py\t301\t_connect\n",
    "app/export.py\t5\tcsv\n",
    "app/import.py\t76\tbatch\n",
    "app/audit.py\t19\twrite\n",
    "app/session.py\t40\topen\n",
    "app/locks.py\t8\tacquire\n",
    "app/prices.py\t61\trefresh\n",
    "app/stock.py\t27\tcount\n",
};
static const char *const hostile[SITES] = {
    "</script><script>window.broken=1</script>\t1\t<img src=x onerror=window.broken=1>\n",
    "\xe2\x80\xa8window.broken=1;\xe2\x80\xa9\t2\t\"'`${window.broken=1}`\n",
    "<!--<script>\t3\t]]>&lt;b&gt;\\u003cscript\\\n",
    "\xe2\x80\xae(evil).py\t4\t<b>bold</b>\n",
};

static char *image;
static struct ledger_header *header;
static uint32_t sites;

/* Numbers that are the same on every machine. */
static uint64_t random_below(uint64_t limit) {
    static uint64_t state = 88172645463325252ull;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % (limit ? limit : 1);
}

static size_t lay(struct ledger_table *table, size_t offset, size_t row_size, uint32_t capacity) {
    *table = (struct ledger_table){(uint32_t)offset, (uint32_t)row_size, capacity, 0};
    return (offset + row_size * capacity + 63) / 64 * 64;
}

static void *next_row(struct ledger_table *table) {
    if (table->used == table->capacity) {
        fprintf(stderr, "story: a table is too small\n");
        exit(2);
    }
    return image + table->offset + (size_t)table->used++ * table->row_size;
}

static void begin(uint32_t handles, uint32_t spans) {
    struct ledger_header layout = {
        .magic = LEDGER_MAGIC, .version = LEDGER_VERSION, .header_size = sizeof layout};
    size_t size = lay(&layout.modules, sizeof layout, sizeof(struct ledger_module), 1);
    size = lay(&layout.sites, size, sizeof(struct ledger_site), SITES);
    size = lay(&layout.targets, size, sizeof(struct ledger_target), 4);
    size = lay(&layout.handles, size, sizeof(struct ledger_handle), handles);
    size = lay(&layout.servers, size, sizeof(struct ledger_server), 1);
    size = lay(&layout.misuses, size, sizeof(struct ledger_misuse), 1);
    size = lay(&layout.texts, size, 1, 8192);
    size = lay(&layout.spans, size, sizeof(struct ledger_span), handles + spans);
    layout.file_size = size;
    image = calloc(1, size);
    header = (struct ledger_header *)image;
    *header = layout;
    header->pid = 4711;
    header->parent_pid = 1;
    header->process_start = 1;
    header->process_state = LEDGER_EXITED;
    header->opened_realtime = INT64_C(1767000000) * SECOND;
    header->opened_monotonic = 10 * SECOND;
    header->closed_monotonic = 70 * SECOND;
    header->traced = 1;
    header->search = LEDGER_SEARCH_DONE;
    strcpy(header->mode, "observe");
}

static void name_things(bool evil) {
    const char *const *scripts = evil ? hostile : plain;
    strcpy(header->program, evil ? "/tmp/<script>window.broken=1<" : "/usr/bin/shop");
    strcpy(header->libpq, evil ? "/tmp/\"><img src=x onerror=window.broken=1>" : "/usr/lib/libpq.so.5");
    for (sites = 0; sites < SITES && scripts[sites]; sites++) {
        struct ledger_site *site = next_row(&header->sites);
        site->language = LEDGER_PYTHON;
        site->script_offset = header->texts.used;
        site->script_length = (uint32_t)strlen(scripts[sites]);
        memcpy(image + header->texts.offset + header->texts.used, scripts[sites], site->script_length);
        header->texts.used += site->script_length;
        site->frames[0] = LEDGER_FRAME(LEDGER_NO_MODULE, 0x1000 + sites);
        site->depth = 1;
    }
    struct ledger_target *target = next_row(&header->targets);
    strcpy(target->name, evil ? "app@<b onclick='x'>:5432/</td><script>window.broken=1</script>"
                              : "app@db.local:5432/shop");
    target->servers = target->servers_peak = 1;
}

struct edge {
    int64_t time;
    int change;
};
static int in_order(const void *left, const void *right) {
    const struct edge *a = left, *b = right;
    return a->time != b->time ? (a->time < b->time ? -1 : 1) : a->change - b->change;
}

static uint64_t peak_of(struct edge *edges, size_t count) {
    int64_t now = 0, peak = 0;
    qsort(edges, count, sizeof *edges, in_order);
    for (size_t i = 0; i < count; i++) {
        now += edges[i].change;
        peak = now > peak ? now : peak;
    }
    return (uint64_t)peak;
}

/* All times are whole microseconds, as the page has them. */
static int64_t after(int64_t time, int64_t milliseconds) {
    return time + (int64_t)random_below((uint64_t)milliseconds * 1000 + 1) * 1000 + 1000;
}

static struct ledger_span *add_span(enum ledger_span_kind kind, uint64_t handle, uint32_t site, int64_t from,
                                    int64_t to) {
    struct ledger_span *span = next_row(&header->spans);
    span->kind = kind;
    span->handle = handle;
    span->site = site;
    span->begin = from;
    span->end = to;
    return span;
}

static void add_unfinished(uint64_t number, uint32_t site, int64_t from, bool lost) {
    struct ledger_handle *row = next_row(&header->handles);
    row->state = LEDGER_HANDLE_OPEN;
    row->number = number;
    row->site = site;
    row->server = UINT32_MAX;
    row->ended = UINT32_MAX;
    row->opened_monotonic = from;
    row->last_used_monotonic = from;
    row->verdict = lost ? LEDGER_LOST : LEDGER_HELD;
    strcpy(row->statement, "SELECT id FROM products WHERE name = ?");
}

/* A handle that lives for a while, or leaks, and is busy now and then. */
static size_t live(uint64_t number, uint32_t busy, uint64_t many, struct edge *alive, struct edge *edges) {
    struct ledger_site *rows = (struct ledger_site *)(image + header->sites.offset);
    int64_t end = header->closed_monotonic, from = after(header->opened_monotonic, 55000);
    uint32_t site = (uint32_t)(random_below(sites) * random_below(sites) / sites);
    bool leaks = number % 23 == 5, pool = number % 7 == 1;
    int64_t to = leaks ? end : after(from + 20000000, pool ? 40000 : many > 1000 ? 9000 : 3000);
    if (to > end)
        to = end - 1000;
    struct ledger_span *life = add_span(LEDGER_SPAN_ALIVE, number, site, from, leaks ? 0 : to);
    bool left = !leaks && number % 11 == 3;
    life->state = left ? LEDGER_HANDLE_LEFT : LEDGER_HANDLE_OPEN;
    rows[site].left += left;
    header->counters.left += left;
    life->periods = busy;
    rows[site].opened++;
    rows[site].finished += !leaks;
    if (leaks)
        add_unfinished(number, site, from, number % 2);
    header->counters.handles_opened++;
    header->counters.handles_finished += !leaks;
    alive[0] = (struct edge){from, 1};
    alive[1] = (struct edge){to, -1};
    int64_t at = from, room = (to - from) / 1000000 / (busy + 1);
    size_t made = 0;
    for (uint32_t i = 0; i < busy; i++) {
        int64_t first = after(at, room), last = after(first, room / 3 > 0 ? room / 3 : 1);
        if (last >= to)
            break;
        add_span(LEDGER_SPAN_BUSY, number, site, first, last)->periods = 1;
        edges[made++] = (struct edge){first, 1};
        edges[made++] = (struct edge){last, -1};
        at = last + 1000;
    }
    return made;
}

int main(int count, char **arguments) {
    if (count < 4)
        return fprintf(stderr, "usage: %s plain|hostile HANDLES SPANS [UNLISTED]\n", arguments[0]), 2;
    uint32_t handles = (uint32_t)atoi(arguments[2]), spans = (uint32_t)atoi(arguments[3]);
    begin(handles, spans);
    name_things(strcmp(arguments[1], "hostile") == 0);
    struct edge *alive = calloc(2 * (size_t)handles + 1, sizeof *alive),
                *busy = calloc(2 * (size_t)spans + 1, sizeof *busy);
    size_t edges = 0;
    for (uint32_t i = 0; i < handles; i++)
        edges += live(i + 1, spans / handles, handles, alive + 2 * i, busy + edges);
    struct ledger_target *target = (struct ledger_target *)(image + header->targets.offset);
    header->counters.handles_alive_peak = peak_of(alive, 2 * (size_t)handles);
    header->counters.busy_peak = peak_of(busy, edges);
    header->counters.handles_alive = header->counters.handles_opened - header->counters.handles_finished;
    target->opened = handles;
    target->alive_peak = (uint32_t)header->counters.handles_alive_peak;
    target->busy_peak = (uint32_t)header->counters.busy_peak;
    if (count > 4) {
        header->counters.spans_unlisted = (uint64_t)atoi(arguments[4]);
        header->spans_full_monotonic = 50 * SECOND;
    }
    fprintf(stderr, "%u %zu %llu %llu\n", handles, edges / 2,
            (unsigned long long)header->counters.handles_alive_peak,
            (unsigned long long)header->counters.busy_peak);
    return fwrite(image, header->file_size, 1, stdout) == 1 ? 0 : 2;
}
