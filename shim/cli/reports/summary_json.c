/* summary_json.c: what happened in each process, for the JSON report; the form is documented in pqone.1. */
#include <inttypes.h>
#include <jansson.h>

#include "../../pin.h"
#include "../symbols/stack.h"
#include "findings.h"
#include "summary.h"
#include "utf8.h"

static json_t *text(const char *bytes) {
    return *bytes ? utf8_json(bytes) : json_string("");
}

/* A counter beyond what JSON integers hold can only be damage. */
static json_t *number(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static void put(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *seconds(int64_t nanoseconds) {
    return json_real((double)nanoseconds / 1e9);
}

/* CLOCK_MONOTONIC of the process as seconds since 1970. */
static json_t *moment(const struct ledger *ledger, int64_t monotonic) {
    return json_real((double)ledger->header.opened_realtime / 1e9 +
                     (double)findings_span(ledger->header.opened_monotonic, monotonic) / 1e9);
}

static json_t *counters_of(const struct ledger *ledger) {
    const struct ledger_counters *counters = &ledger->header.counters;
    json_t *object = json_object();
#define COUNTER(name) put(object, #name, number(counters->name))
    COUNTER(handles_opened);
    COUNTER(handles_finished);
    COUNTER(connects_failed);
    COUNTER(duplicates);
    COUNTER(handles_alive);
    COUNTER(handles_alive_peak);
    COUNTER(busy);
    COUNTER(busy_peak);
    COUNTER(servers_opened);
    COUNTER(servers_alive);
    COUNTER(servers_alive_peak);
    put(object, "statements", number(findings_statements(ledger)));
    COUNTER(pins);
    COUNTER(waits);
    COUNTER(wait_timeouts);
    COUNTER(over_cap);
    COUNTER(replaced_dead);
    COUNTER(misuse);
    COUNTER(handles_unlisted);
    COUNTER(calls_unlisted);
    COUNTER(left);
    COUNTER(results_alive);
    COUNTER(misuses_unlisted);
    COUNTER(scripts_unlisted);
    COUNTER(spans_unlisted);
#undef COUNTER
    return object;
}

static json_t *pins_of(const struct ledger *ledger) {
    json_t *object = json_object();
    for (uint32_t reason = 0; reason < PIN_REASONS; reason++)
        if (ledger->header.counters.pins_by_reason[reason])
            put(object, pin_row(reason)->word, number(ledger->header.counters.pins_by_reason[reason]));
    return object;
}

static json_t *target_name(const struct ledger *ledger, uint32_t target) {
    return target < ledger->target_count ? text(ledger->targets[target].name) : json_null();
}

static json_t *targets_of(const struct ledger *ledger) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < ledger->target_count; i++) {
        const struct ledger_target *target = &ledger->targets[i];
        json_t *object = json_object();
        put(object, "name", text(target->name));
        put(object, "handles_opened", number(target->opened));
        put(object, "duplicates", number(target->duplicates));
        put(object, "handles_alive", number(target->alive));
        put(object, "handles_alive_peak", number(target->alive_peak));
        put(object, "busy_peak", number(target->busy_peak));
        put(object, "servers", number(target->servers));
        put(object, "servers_peak", number(target->servers_peak));
        json_array_append_new(array, object);
    }
    return array;
}

json_t *summary_json_frame(const struct frame *frame) {
    char line[1024];
    json_t *object = json_object();
    put(object, "text", text(frame_text(frame, line, sizeof line)));
    put(object, "function", frame->function[0] ? text(frame->function) : json_null());
    put(object, "file", frame->file[0] ? text(frame->file) : json_null());
    put(object, "line", frame->line ? json_integer(frame->line) : json_null());
    put(object, "module", frame->module[0] ? text(frame->module) : json_null());
    put(object, "offset", frame->script ? json_null() : number(frame->offset));
    put(object, "replaced", json_boolean(frame->replaced));
    put(object, "script", json_boolean(frame->script));
    put(object, "inlined", json_boolean(frame->inlined));
    put(object, "noise", json_boolean(frame->noise));
    return object;
}

/* An array in the ledger's order: "site" of a handle is an index into it. */
static json_t *sites_of(const struct ledger *ledger, struct symbols *symbols) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        const struct ledger_site *site = &ledger->sites[i];
        struct stack stack;
        if (!stack_of_site(symbols, ledger, i, &stack))
            stack = (struct stack){0};
        char line[1024];
        json_t *object = json_object(), *frames = json_array();
        put(object, "text", text(frame_text(stack_first(&stack), line, sizeof line)));
        put(object, "opened", number(site->opened));
        put(object, "failed", number(site->failed));
        put(object, "duplicates", number(site->duplicates));
        put(object, "finished", number(site->finished));
        put(object, "left", number(site->left));
        put(object, "pins", number(site->pins));
        for (size_t frame = 0; frame < stack.count; frame++)
            json_array_append_new(frames, summary_json_frame(&stack.frames[frame]));
        put(object, "frames", frames);
        json_array_append_new(array, object);
        stack_release(&stack);
    }
    return array;
}

static json_t *handle_of(const struct ledger *ledger, const struct ledger_handle *handle) {
    json_t *object = json_object();
    put(object, "number", number(handle->number));
    put(object, "connected", json_boolean(handle->state != LEDGER_HANDLE_FAILED));
    put(object, "target", target_name(ledger, handle->target));
    put(object, "site", handle->site == LEDGER_ROW_NONE ? json_null() : json_integer(handle->site));
    put(object, "opened", moment(ledger, handle->opened_monotonic));
    put(object, "last_used", moment(ledger, handle->last_used_monotonic));
    put(object, "age",
        ledger->end ? seconds(findings_span(handle->opened_monotonic, ledger->end)) : json_null());
    put(object, "unused",
        ledger->end ? seconds(findings_span(handle->last_used_monotonic, ledger->end)) : json_null());
    put(object, "statements", number(handle->statements));
    put(object, "pin", handle->pin ? text(pin_row(handle->pin)->word) : json_null());
    put(object, "verdict",
        handle->verdict == LEDGER_LOST   ? json_string("lost")
        : handle->verdict == LEDGER_HELD ? json_string("held")
                                         : json_null());
    put(object, "thread", json_integer(handle->thread));
    put(object, "backend_pid",
        handle->server == LEDGER_ROW_NONE ? json_null()
                                          : json_integer(ledger->servers[handle->server].backend_pid));
    return object;
}

static json_t *unfinished_of(const struct ledger *ledger) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < ledger->handle_count; i++) {
        uint32_t state = ledger->handles[i].state;
        if (state == LEDGER_HANDLE_OPEN || state == LEDGER_HANDLE_FAILED || state == LEDGER_HANDLE_TAKEN)
            json_array_append_new(array, handle_of(ledger, &ledger->handles[i]));
    }
    return array;
}

static json_t *notes_of(const struct ledger *ledger) {
    static const char *const words[] = {"unknown-exports", "bypassed", "off", "road"};
    json_t *array = json_array();
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (ledger->header.notes & 1u << i)
            json_array_append_new(array, json_string(words[i]));
    return array;
}

/* Members that are not known are null rather than absent, so that a reader can rely on the form. */
static json_t *process_of(const struct ledger *ledger, const struct findings *findings,
                          struct symbols *symbols) {
    static const char *const fates[] = {[FATE_ALIVE] = "running",
                                        [FATE_EXITED] = "exited",
                                        [FATE_EXECED] = "replaced by exec",
                                        [FATE_KILLED] = "killed or _exit"};
    const struct ledger_header *header = &ledger->header;
    json_t *object = json_object();
    char signal[32];
    put(object, "pid", json_integer(header->pid));
    put(object, "parent_pid", json_integer(header->parent_pid));
    put(object, "forked_from", header->forked_from ? json_integer(header->forked_from) : json_null());
    put(object, "state", json_string(fates[findings->fate]));
    put(object, "signal",
        ledger->signal ? text(findings_signal(ledger->signal, signal, sizeof signal)) : json_null());
    put(object, "program", text(header->program));
    put(object, "libpq", header->libpq[0] ? text(header->libpq) : json_null());
    put(object, "mode", text(header->mode));
    put(object, "run", header->run[0] ? text(header->run) : json_null());
    put(object, "ledger", ledger->path ? text(ledger->path) : json_null());
    put(object, "started", moment(ledger, header->opened_monotonic));
    put(object, "ended",
        ledger->end && findings->fate != FATE_ALIVE ? moment(ledger, ledger->end) : json_null());
    put(object, "notes", notes_of(ledger));
    put(object, "connections_needed", number(findings->needed));
    put(object, "unfinished", number(findings->unfinished));
    put(object, "counters", counters_of(ledger));
    put(object, "pins_by_reason", pins_of(ledger));
    put(object, "targets", targets_of(ledger));
    put(object, "sites", sites_of(ledger, symbols));
    put(object, "handles", unfinished_of(ledger));
    return object;
}

json_t *summary_json(const struct ledger *ledger, struct symbols *symbols) {
    struct findings findings;
    if (!findings_gather(ledger, symbols, &findings))
        return NULL;
    json_t *process = process_of(ledger, &findings, symbols);
    findings_release(&findings);
    return process;
}
