/* summary.c: what happened, as text for people. */
#include "summary.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../pin.h"
#include "findings.h"
#include "quantity.h"

enum { PLACES_SHOWN = 10, PROCESSES_SHOWN = 20 };

/* Where and how one process's block is written. */
struct block {
    FILE *out;
    const struct ledger *ledger;
    const struct findings *findings;
    const char *bold, *plain;
};

/* "3 handles" */
static void count_of(FILE *out, uint64_t count, const char *noun) {
    fprintf(out, "%" PRIu64 " %s%s", count, noun, quantity_plural(count));
}

/* A moment of the process as time of day, for one whose end nobody knows. */
static void put_moment(FILE *out, const struct ledger_header *header, int64_t monotonic) {
    int64_t since = findings_span(header->opened_monotonic, monotonic), moment;
    struct tm parts;
    char text[64];
    if (__builtin_add_overflow(header->opened_realtime, since, &moment))
        moment = 0;
    time_t seconds = (time_t)(moment / 1000000000);
    if (localtime_r(&seconds, &parts) && strftime(text, sizeof text, "%H:%M:%S", &parts))
        fputs(text, out);
    else
        fputs("an unknown time", out);
}

/* "listen, sequence": for what handles were pinned. */
static void put_reasons(FILE *out, const struct ledger_counters *counters) {
    const char *between = "";
    for (uint32_t reason = 0; reason < PIN_REASONS; reason++) {
        if (counters->pins_by_reason[reason] == 0)
            continue;
        fprintf(out, "%s%s", between, pin_row(reason)->word);
        between = ", ";
    }
}

/* A pinned handle holds a connection while it is not busy, which a count of busy handles does not see. */
static void put_needed(FILE *out, const struct ledger_header *header, const struct findings *findings) {
    const struct ledger_counters *counters = &header->counters;
    if (findings->needed == 0) {
        fputs("none ever connected.", out);
        return;
    }
    count_of(out, findings->needed, "connection");
    fputs(" would have done", out);
    if (counters->pins && counters->servers_alive_peak > findings->needed &&
        strcmp(header->mode, "share") == 0) {
        fprintf(out, ", %" PRIu64 " were needed because handles are pinned (", counters->servers_alive_peak);
        put_reasons(out, counters);
        fputc(')', out);
    }
    fputc('.', out);
}

/* Finished in the end, but not by the program. */
static void put_left(FILE *out, uint64_t left) {
    if (left)
        fprintf(out, ", %" PRIu64 " left to a runtime's shutdown", left);
}

/* The sentence that a report opens with. */
static void put_opening(FILE *out, const struct ledger_header *header, const struct findings *findings) {
    const struct ledger_counters *counters = &header->counters;
    if (counters->handles_opened == 0) {
        fputs(header->notes & LEDGER_NOTE_OFF
                  ? "pqone was switched off (mode off or PQONE_DISABLE), nothing was watched."
                  : "no handle opened.",
              out);
        return;
    }
    count_of(out, counters->handles_opened, "handle");
    fprintf(out,
            " opened, peak %" PRIu64 " alive, peak %" PRIu64 " busy at once: ", counters->handles_alive_peak,
            counters->busy_peak);
    put_needed(out, header, findings);
    fprintf(out, " %" PRIu64 " %s", findings->unfinished,
            findings->fate == FATE_ALIVE ? "not finished yet" : "unfinished");
    put_left(out, counters->left);
    if (counters->duplicates) {
        fputs(", ", out);
        count_of(out, counters->duplicates, "duplicate");
        if (findings->duplicate_places) {
            fputs(" at ", out);
            count_of(out, findings->duplicate_places, "call site");
        }
    } else {
        fputs(", no duplicates", out);
    }
    fputc('.', out);
}

static const char *target_name(const struct ledger_target *target) {
    return target->name[0] ? target->name : "(unnamed)";
}

/* The numbers of a single target are those of the process. */
static void put_servers(const struct block *block) {
    const struct ledger *ledger = block->ledger;
    const struct ledger_counters *counters = &ledger->header.counters;
    fputs("    server connections: ", block->out);
    fprintf(block->out, "%" PRIu64 " opened, peak %" PRIu64 " at once, mode %s", counters->servers_opened,
            counters->servers_alive_peak, ledger->header.mode[0] ? ledger->header.mode : "unknown");
    if (ledger->target_count == 1)
        fprintf(block->out, ", to %s", target_name(&ledger->targets[0]));
    fputc('\n', block->out);
    for (uint32_t i = 0; ledger->target_count > 1 && i < ledger->target_count; i++) {
        const struct ledger_target *target = &ledger->targets[i];
        fprintf(block->out, "        %s: ", target_name(target));
        count_of(block->out, target->opened, "handle");
        fprintf(block->out, ", peak %u alive, peak %u busy, peak ", target->alive_peak, target->busy_peak);
        count_of(block->out, target->servers_peak, "server connection");
        fputc('\n', block->out);
        if (i + 1 == PLACES_SHOWN && ledger->target_count > PLACES_SHOWN) {
            fprintf(block->out, "        and %u more targets\n", ledger->target_count - PLACES_SHOWN);
            break;
        }
    }
}

typedef uint64_t measure(const struct place *);
static uint64_t duplicates_of(const struct place *place) {
    return place->duplicates;
}
static uint64_t pins_of(const struct place *place) {
    return place->pins;
}
static uint64_t unfinished_of(const struct place *place) {
    return place->unfinished;
}

/* qsort hands its comparison no argument; the report is made by one thread. */
static measure *sort_measure;
static int biggest_first(const void *left, const void *right) {
    uint64_t a = sort_measure(*(const struct place *const *)left),
             b = sort_measure(*(const struct place *const *)right);
    if (a != b)
        return a < b ? 1 : -1;
    return strcmp((*(const struct place *const *)left)->text, (*(const struct place *const *)right)->text);
}

static void put_unfinished(const struct block *block, const struct place *place) {
    FILE *out = block->out;
    const struct ledger *ledger = block->ledger;
    fprintf(out, ": %s",
            place->target == LEDGER_ROW_NONE ? "unknown target" : ledger->targets[place->target].name);
    if (place->never_connected)
        fprintf(out, ", %" PRIu64 " never connected", place->never_connected);
    if (place->lost)
        fprintf(out, ", %" PRIu64 " lost (nothing points at %s any more)", place->lost,
                place->lost == 1 ? "it" : "them");
    if (place->held)
        fprintf(out, ", %" PRIu64 " still held", place->held);
    const char *whose = place->unfinished > 1 ? "oldest " : "";
    if (ledger->end) {
        fprintf(out, ", %s", whose);
        quantity_put_span(out, findings_span(place->oldest_opened, ledger->end));
        fputs(" old, last used ", out);
        quantity_put_span(out, findings_span(place->last_used, ledger->end));
        fputs(block->findings->fate == FATE_ALIVE ? " ago" : " before the end", out);
    } else {
        fprintf(out, ", %sopened at ", whose);
        put_moment(out, &ledger->header, place->oldest_opened);
        fputs(", last used at ", out);
        put_moment(out, &ledger->header, place->last_used);
    }
    if (place->pin)
        fprintf(out, ", pinned: %s", pin_row(place->pin)->says);
}

/* The places where `of` is not 0, biggest first. */
static void put_places(const struct block *block, const char *heading, measure *of,
                       void (*detail)(const struct block *, const struct place *)) {
    const struct findings *findings = block->findings;
    const struct place **sorted = malloc((findings->place_count + 1) * sizeof *sorted);
    size_t count = 0;
    for (size_t i = 0; sorted && i < findings->place_count; i++)
        if (of(&findings->places[i]))
            sorted[count++] = &findings->places[i];
    if (count) {
        sort_measure = of;
        qsort(sorted, count, sizeof *sorted, biggest_first);
        fprintf(block->out, "    %s\n", heading);
    }
    for (size_t i = 0; i < count && i < PLACES_SHOWN; i++) {
        fprintf(block->out, "    %7" PRIu64 "  %s", of(sorted[i]), sorted[i]->text);
        if (detail)
            detail(block, sorted[i]);
        fputc('\n', block->out);
    }
    if (count > PLACES_SHOWN)
        fprintf(block->out, "             and %zu more call sites\n", count - PLACES_SHOWN);
    free(sorted);
}

/* A counter that is worth a line only when it is not 0. */
static void put_event(const struct block *block, uint64_t count, const char *one, const char *many) {
    if (count == 1)
        fprintf(block->out, "    %s\n", one);
    else if (count)
        fprintf(block->out, "    %" PRIu64 " %s\n", count, many);
}

static void put_events(const struct block *block) {
    const struct ledger_counters *counters = &block->ledger->header.counters;
    put_event(block, counters->connects_failed, "1 handle never connected", "handles never connected");
    put_event(block, counters->misuse, "1 misuse of libpq; the log has it",
              "misuses of libpq; the log has them");
    put_event(block, counters->waits, "1 wait for a server connection", "waits for a server connection");
    put_event(block, counters->wait_timeouts, "1 wait ended in a timeout: its call failed",
              "waits ended in a timeout: their calls failed");
    put_event(block, counters->over_cap, "went over the cap once; the log says why",
              "times over the cap; the log says why");
    put_event(block, counters->replaced_dead, "1 server connection that died while idle was replaced",
              "server connections that died while idle were replaced");
    put_event(block, counters->handles_unlisted, "1 unfinished handle has no row: the ledger was full",
              "unfinished handles have no row: the ledger was full");
    put_event(block, counters->calls_unlisted, "1 connect has no call site: the ledger was full",
              "connects have no call site: the ledger was full");
}

/* An end that is not exit(). */
static void put_fate(const struct block *block) {
    const struct ledger *ledger = block->ledger;
    char signal[32];
    if (block->findings->fate == FATE_EXECED)
        fputs("    the process was replaced by exec\n", block->out);
    else if (block->findings->fate != FATE_KILLED)
        return;
    else if (ledger->signal)
        fprintf(block->out, "    the process was killed by %s\n",
                findings_signal(ledger->signal, signal, sizeof signal));
    else if (ledger->left)
        fputs("    the process left by _exit, or after an exec of something that never used libpq\n",
              block->out);
    else
        fputs("    the process was killed by a signal or left by _exit\n", block->out);
}

static void put_notes(const struct block *block) {
    uint32_t notes = block->ledger->header.notes;
    if (notes & LEDGER_NOTE_OFF && block->ledger->header.counters.handles_opened)
        fputs("    pqone was switched off here (mode off or PQONE_DISABLE): nothing was shared or watched\n",
              block->out);
    if (notes & LEDGER_NOTE_BYPASSED)
        fputs("    libpq was loaded, but no connect was made through the shim: none was made, or it "
              "by-passed pqone\n",
              block->out);
    if (notes & LEDGER_NOTE_ROAD)
        fputs("    a way to libpq was used that pqone cannot take, so not everything was watched; the log "
              "says which\n",
              block->out);
    if (notes & LEDGER_NOTE_UNKNOWN_EXPORTS)
        fputs("    this libpq has functions that pqone does not know, so it was only watched, not shared\n",
              block->out);
    if (block->findings->inherited)
        fprintf(block->out, "    %" PRIu64 " inherited from the parent, never used\n",
                block->findings->inherited);
    put_fate(block);
}

/* The base name: paths are long, and the JSON report has them. */
static const char *program_name(const struct ledger_header *header) {
    const char *slash = strrchr(header->program, '/');
    const char *name = slash ? slash + 1 : header->program;
    return *name ? name : "unknown program";
}

static void put_pins(const struct block *block) {
    const char *between = "        by reason: ";
    put_places(block, "pins, by the place that opened the handle", pins_of, NULL);
    for (uint32_t reason = 0; reason < PIN_REASONS; reason++) {
        uint64_t count = block->ledger->header.counters.pins_by_reason[reason];
        if (count == 0)
            continue;
        fprintf(block->out, "%s%" PRIu64 " %s", between, count, pin_row(reason)->word);
        between = ", ";
    }
    if (between[0] == ',')
        fputc('\n', block->out);
}

static void put_block(const struct block *block) {
    const struct ledger_header *header = &block->ledger->header;
    fprintf(block->out, "%spqone[%d] %s:%s ", block->bold, (int)header->pid, program_name(header),
            block->plain);
    put_opening(block->out, header, block->findings);
    fputc('\n', block->out);
    put_notes(block);
    if (header->counters.handles_opened == 0 && block->ledger->target_count == 0)
        return;
    put_servers(block);
    put_places(block, "duplicates, by the place that asked", duplicates_of, NULL);
    put_places(block,
               block->findings->fate == FATE_ALIVE ? "not finished yet"
                                                   : "unfinished, by the place that opened them",
               unfinished_of, put_unfinished);
    put_pins(block);
    put_events(block);
}

/* With several processes: one line over all. Peaks of different processes do not add up, so it has none. */
static void put_total(FILE *out, const struct ledger *ledgers, const struct findings *findings,
                      size_t count) {
    uint64_t opened = 0, servers = 0, duplicates = 0, unfinished = 0, left = 0;
    for (size_t i = 0; i < count; i++) {
        opened += ledgers[i].header.counters.handles_opened;
        servers += ledgers[i].header.counters.servers_opened;
        duplicates += ledgers[i].header.counters.duplicates;
        unfinished += findings[i].unfinished;
        left += ledgers[i].header.counters.left;
    }
    fprintf(out, "pqone: %zu processes: ", count);
    count_of(out, opened, "handle");
    fputs(" opened on ", out);
    count_of(out, servers, "server connection");
    fprintf(out, ", %" PRIu64 " unfinished", unfinished);
    put_left(out, left);
    fputs(", ", out);
    count_of(out, duplicates, "duplicate");
    fputs(".\n", out);
}

void summary_text(FILE *out, const struct ledger *ledgers, size_t count, struct symbols *symbols,
                  bool colour) {
    struct findings *findings = calloc(count ? count : 1, sizeof *findings);
    size_t shown = 0, left = 0, quiet = 0;
    /* Where memory ends the report is shorter, not absent. */
    for (size_t i = 0; findings && i < count; i++)
        if (!findings_gather(&ledgers[i], symbols, &findings[i]))
            count = i;
    if (!findings)
        return;
    if (count > 1)
        put_total(out, ledgers, findings, count);
    for (size_t i = 0; i < count; i++) {
        struct block block = {out, &ledgers[i], &findings[i], colour ? "\033[1m" : "",
                              colour ? "\033[0m" : ""};
        if (count > 1 && !findings_matter(&ledgers[i], &findings[i])) {
            quiet++;
        } else if (shown == PROCESSES_SHOWN) {
            left++;
        } else {
            put_block(&block);
            shown++;
        }
    }
    /* A test suite can run thousands; its terminal is not the place for them. */
    if (left)
        fprintf(out, "pqone: %zu more processes have something to report; --report json=FILE has them all.\n",
                left);
    if (quiet)
        fprintf(out, "pqone: %zu of them %s nothing to report.\n", quiet, quiet == 1 ? "has" : "have");
    for (size_t i = 0; i < count; i++)
        findings_release(&findings[i]);
    free(findings);
}
