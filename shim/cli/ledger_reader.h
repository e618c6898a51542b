/*
 * ledger_reader.h: a ledger file as arrays that can be believed.
 *
 * The file may be of a process that still writes, died in the middle of a row, or never was a ledger.
 * After a successful read every count fits its array, every text ends, and every index into another
 * table is below that table's count or LEDGER_ROW_NONE.
 */
#ifndef PQONE_LEDGER_READER_H
#define PQONE_LEDGER_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../watch/ledger.h"

#define LEDGER_ROW_NONE UINT32_MAX

struct ledger {
    char *path; /* NULL when parsed from memory */
    struct ledger_header header;
    struct ledger_module *modules;
    struct ledger_site *sites;
    struct ledger_target *targets;
    struct ledger_handle *handles;
    struct ledger_server *servers;
    struct ledger_misuse *misuses;
    struct ledger_span *spans;
    char *texts; /* ends in a NUL byte; a site's script frames lie within */
    uint32_t module_count, site_count, target_count, handle_count, server_count;
    uint32_t misuse_count, span_count, text_length;
    bool alive;    /* the image that wrote it still runs */
    bool replaced; /* another image has taken its place by exec */
    int signal;    /* that ended the process, where somebody knows (the launcher of its child), else 0 */
    bool left;     /* known to have ended without a signal, and without exit() too if still RUNNING */
    int64_t end;   /* CLOCK_MONOTONIC of its last moment, or now if it runs; 0 if nobody knows */
};

/* Reads bytes that may be anything. False: `why` holds what is wrong with them, without the file's name. */
bool ledger_parse(const void *bytes, size_t size, struct ledger *into, char *why, size_t why_size);

/* The same for a file, whatever it is (a device, a pipe): waits for nothing. */
bool ledger_read(const char *path, struct ledger *into, char *why, size_t why_size);

/* Frees the arrays; harmless on one that is all zero. */
void ledger_release(struct ledger *ledger);

#endif
