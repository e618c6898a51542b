/* ledger_sample.c: ledgers made by hand. */
#include "ledger_sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t lay(struct ledger_table *table, size_t offset, size_t row_size, uint32_t capacity) {
    table->offset = (uint32_t)offset;
    table->row_size = (uint32_t)row_size;
    table->capacity = capacity;
    return offset + row_size * capacity;
}

struct ledger_header *sample_ledger(int pid) {
    struct ledger_header layout = {.version = LEDGER_VERSION, .header_size = sizeof layout};
    size_t size = sizeof layout;
    size = lay(&layout.modules, size, sizeof(struct ledger_module), LEDGER_MODULES);
    size = lay(&layout.sites, size, sizeof(struct ledger_site), LEDGER_SITES);
    size = lay(&layout.targets, size, sizeof(struct ledger_target), LEDGER_TARGETS);
    size = lay(&layout.handles, size, sizeof(struct ledger_handle), LEDGER_HANDLES);
    size = lay(&layout.servers, size, sizeof(struct ledger_server), LEDGER_SERVERS);
    size = lay(&layout.misuses, size, sizeof(struct ledger_misuse), LEDGER_MISUSES);
    size = lay(&layout.texts, size, 1, 4096);
    memcpy(layout.magic, LEDGER_MAGIC, sizeof layout.magic);
    layout.file_size = size;
    layout.pid = pid;
    layout.process_start = 1;
    layout.process_state = LEDGER_EXITED;
    layout.opened_realtime = INT64_C(1700000000) * SAMPLE_SECOND;
    layout.opened_monotonic = SAMPLE_OPENED;
    layout.closed_monotonic = SAMPLE_OPENED + 60 * SAMPLE_SECOND;
    strcpy(layout.mode, "share");
    strcpy(layout.program, "/usr/bin/shop");
    struct ledger_header *header = calloc(1, size);
    if (header)
        memcpy(header, &layout, sizeof layout);
    return header;
}

static void *next_row(struct ledger_header *header, struct ledger_table *table) {
    uint32_t row = table->used++;
    return (char *)header + table->offset + (size_t)row * table->row_size;
}

struct ledger_module *sample_module(struct ledger_header *header, const char *path) {
    struct ledger_module *module = next_row(header, &header->modules);
    snprintf(module->path, sizeof module->path, "%s", path);
    return module;
}

struct ledger_site *sample_site(struct ledger_header *header, const char *name) {
    struct ledger_site *site = next_row(header, &header->sites);
    snprintf(site->name, sizeof site->name, "%s", name);
    site->frames[0] = LEDGER_FRAME(LEDGER_NO_MODULE, 0x1000 * header->sites.used);
    site->depth = 1;
    return site;
}

struct ledger_target *sample_target(struct ledger_header *header, const char *name) {
    struct ledger_target *target = next_row(header, &header->targets);
    snprintf(target->name, sizeof target->name, "%s", name);
    return target;
}

struct ledger_handle *sample_handle(struct ledger_header *header, unsigned site, unsigned target) {
    struct ledger_handle *handle = next_row(header, &header->handles);
    handle->site = site;
    handle->target = target;
    handle->server = UINT32_MAX;
    handle->number = header->handles.used;
    handle->opened_monotonic = SAMPLE_OPENED + SAMPLE_SECOND;
    handle->last_used_monotonic = SAMPLE_OPENED + 2 * SAMPLE_SECOND;
    handle->state = LEDGER_HANDLE_OPEN;
    return handle;
}

struct ledger_server *sample_server(struct ledger_header *header, int backend_pid, unsigned target) {
    struct ledger_server *server = next_row(header, &header->servers);
    server->backend_pid = backend_pid;
    server->target = target;
    server->state = LEDGER_SERVER_OPEN;
    return server;
}

struct ledger_misuse *sample_misuse(struct ledger_header *header, unsigned kind, unsigned site) {
    struct ledger_misuse *misuse = next_row(header, &header->misuses);
    misuse->kind = kind;
    misuse->site = site;
    misuse->place = UINT32_MAX;
    misuse->target = UINT32_MAX;
    misuse->count = 1;
    strcpy(misuse->function, "PQexec");
    return misuse;
}

void sample_script(struct ledger_header *header, struct ledger_site *site, enum ledger_language language,
                   const char *lines) {
    uint32_t length = (uint32_t)strlen(lines);
    site->language = language;
    site->script_offset = header->texts.used;
    site->script_length = length;
    memcpy((char *)header + header->texts.offset + header->texts.used, lines, length);
    header->texts.used += length;
}
