/* report_json.c: what happened and what was judged, as one JSON document; the form is documented in pqone.1.
 */
#include "report_json.h"

#include <stdlib.h>
#include <string.h>

#include "sentence.h"
#include "summary.h"
#include "utf8.h"

static void put(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

/* A counter beyond what JSON integers hold can only be damage. */
static json_t *number(uint64_t value) {
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

static json_t *seconds(int64_t nanoseconds) {
    return nanoseconds < 0 ? json_null() : json_real((double)nanoseconds / 1e9);
}

static json_t *summary_of(const struct verdicts *verdicts) {
    const struct totals *totals = &verdicts->totals;
    json_t *object = json_object();
    put(object, "processes", number(totals->processes));
    put(object, "handles_opened", number(totals->opened));
    put(object, "handles_finished", number(totals->finished));
    put(object, "connects_failed", number(totals->failed_connects));
    put(object, "handles_alive_peak", number(totals->alive_peak));
    put(object, "busy_peak", number(totals->busy_peak));
    put(object, "servers_alive_peak", number(totals->servers_peak));
    put(object, "connections_needed", number(totals->needed));
    put(object, "statements", number(totals->statements));
    put(object, "duplicates", number(totals->duplicates));
    put(object, "duplicate_places", number(totals->duplicate_places));
    put(object, "lost", number(totals->lost));
    put(object, "held", number(totals->held));
    put(object, "unknown", number(totals->unknown));
    put(object, "left", number(totals->left));
    put(object, "handed", number(totals->handed));
    put(object, "open", number(totals->unjudged));
    put(object, "misuses", number(totals->misuses));
    put(object, "findings", number(verdicts->count));
    put(object, "failing", number(verdicts->failing));
    return object;
}

/* `text` tells it from the stacks of other findings. */
static json_t *stack_of(const struct stack *stack, const char *text) {
    static const char *const languages[] = {"native", "python", "ruby",       "php",
                                            "perl",   "lua",    "javascript", "libuv-pool"};
    if (!stack->count && stack->language == LEDGER_NATIVE)
        return json_null();
    json_t *object = json_object(), *frames = json_array();
    size_t language = stack->language;
    put(object, "text", utf8_json(text));
    put(object, "language",
        language < sizeof languages / sizeof *languages ? json_string(languages[language]) : json_null());
    for (size_t i = 0; i < stack->count; i++)
        json_array_append_new(frames, summary_json_frame(&stack->frames[i]));
    put(object, "frames", frames);
    return object;
}

static json_t *finding_of(const struct finding *finding) {
    char place[1024];
    json_t *object = json_object();
    put(object, "kind", json_string(finding_word(finding->kind)));
    put(object, "misuse", utf8_json(finding->misuse ? finding->misuse->word : NULL));
    put(object, "count", number(finding->count));
    put(object, "never_connected", number(finding->never_connected));
    put(object, "says", utf8_json(finding->says));
    put(object, "advice", utf8_json(finding->advice));
    put(object, "target", utf8_json(finding->target));
    put(object, "function", utf8_json(finding->function));
    put(object, "statement", utf8_json(finding->statement));
    put(object, "opened", stack_of(&finding->opened, finding_opened(finding, place, sizeof place)));
    put(object, "place", stack_of(&finding->place, finding_place(finding, place, sizeof place)));
    put(object, "pid", finding->pid ? json_integer(finding->pid) : json_null());
    put(object, "program", utf8_json(finding->program));
    put(object, "processes", number(finding->processes));
    put(object, "budget", finding->kind == FINDING_BUDGET ? number(finding->budget) : json_null());
    put(object, "age", seconds(finding->age));
    put(object, "unused", seconds(finding->unused));
    put(object, "suppressed_by", utf8_json(finding->suppressed_by));
    put(object, "known", json_boolean(finding->is_known));
    put(object, "note", json_boolean(finding->is_note));
    put(object, "fails", json_boolean(finding->fails));
    put(object, "identity", utf8_json(finding->identity));
    return object;
}

static json_t *findings_of(const struct verdicts *verdicts) {
    json_t *array = json_array();
    for (size_t i = 0; i < verdicts->count; i++)
        json_array_append_new(array, finding_of(&verdicts->findings[i]));
    return array;
}

struct target {
    const char *name;
    uint64_t opened, duplicates, alive_peak, busy_peak, processes;
};

static int by_name(const void *left, const void *right) {
    return strcmp(((const struct target *)left)->name, ((const struct target *)right)->name);
}

static json_t *target_of(const struct target *target) {
    json_t *object = json_object();
    put(object, "name", utf8_json(target->name));
    put(object, "processes", number(target->processes));
    put(object, "handles_opened", number(target->opened));
    put(object, "duplicates", number(target->duplicates));
    put(object, "handles_alive_peak", number(target->alive_peak));
    put(object, "busy_peak", number(target->busy_peak));
    return object;
}

/* Over all processes: opened and duplicates add up, of the peaks the largest counts. */
static json_t *targets_of(const struct ledger_list *list) {
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += list->ledgers[i].target_count;
    struct target *targets = calloc(count + 1, sizeof *targets);
    if (!targets)
        return NULL;
    count = 0;
    for (size_t i = 0; i < list->count; i++)
        for (uint32_t row = 0; row < list->ledgers[i].target_count; row++) {
            const struct ledger_target *target = &list->ledgers[i].targets[row];
            targets[count++] = (struct target){target->name,       target->opened,    target->duplicates,
                                               target->alive_peak, target->busy_peak, 1};
        }
    qsort(targets, count, sizeof *targets, by_name);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++) {
        struct target *next = &targets[i + 1];
        if (i + 1 == count || strcmp(next->name, targets[i].name) != 0) {
            json_array_append_new(array, target_of(&targets[i]));
            continue;
        }
        next->opened += targets[i].opened;
        next->duplicates += targets[i].duplicates;
        next->processes += targets[i].processes;
        if (next->alive_peak < targets[i].alive_peak)
            next->alive_peak = targets[i].alive_peak;
        if (next->busy_peak < targets[i].busy_peak)
            next->busy_peak = targets[i].busy_peak;
    }
    free(targets);
    return array;
}

static json_t *running_of(const struct verdicts *verdicts) {
    json_t *array = json_array();
    for (size_t i = 0; i < verdicts->running_count; i++) {
        json_t *object = json_object();
        put(object, "pid", json_integer(verdicts->running[i].pid));
        put(object, "program", utf8_json(verdicts->running[i].program));
        put(object, "handles", number(verdicts->running[i].handles));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *suppressions_of(const struct outcome *outcome) {
    json_t *array = json_array();
    for (size_t i = 0; i < outcome->suppression_count; i++) {
        json_t *object = json_object();
        put(object, "pattern", utf8_json(outcome->suppressions[i].pattern));
        put(object, "hits", number(outcome->suppressions[i].hits));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *problems_of(const struct outcome *outcome) {
    json_t *array = json_array();
    for (size_t i = 0; i < outcome->problem_count; i++)
        json_array_append_new(array, utf8_json(outcome->problems[i]));
    return array;
}

static json_t *exit_of(const struct outcome *outcome) {
    json_t *object = json_object();
    put(object, "status", json_integer(outcome->status));
    put(object, "program_status",
        outcome->program_status < 0 ? json_null() : json_integer(outcome->program_status));
    put(object, "decided_by", json_string(outcome->decided_by));
    put(object, "why", utf8_json(outcome->why));
    return object;
}

static json_t *check_of(const struct report *report) {
    const struct verdicts *verdicts = report->verdicts;
    json_t *object = json_object(), *targets = targets_of(report->list);
    char *sentence = report_sentence(report);
    put(object, "version", json_integer(REPORT_JSON_CHECK_VERSION));
    put(object, "text", utf8_json(sentence));
    put(object, "summary", summary_of(verdicts));
    put(object, "targets", targets);
    put(object, "findings", findings_of(verdicts));
    put(object, "running", running_of(verdicts));
    put(object, "suppressions", report->outcome ? suppressions_of(report->outcome) : json_array());
    put(object, "problems", report->outcome ? problems_of(report->outcome) : json_array());
    put(object, "exit", report->outcome ? exit_of(report->outcome) : json_null());
    free(sentence);
    if (sentence && targets)
        return object;
    json_decref(object);
    return NULL;
}

/* An element a line, since there may be thousands. */
static bool put_array(FILE *out, const json_t *array) {
    size_t index;
    json_t *element;
    bool good = true;
    json_array_foreach(array, index, element) {
        fputs(index ? ",\n        " : "[\n        ", out);
        good = json_dumpf(element, out, JSON_ENCODE_ANY) == 0 && good;
    }
    fputs("\n      ]", out);
    return good;
}

/* Each process is written and forgotten: all of them together may be larger than memory should have to hold.
 */
static bool put_process(FILE *out, const struct ledger *ledger, struct symbols *symbols) {
    json_t *process = summary_json(ledger, symbols), *value;
    const char *key, *between = "    {\n";
    bool good = process != NULL;
    json_object_foreach(process, key, value) {
        fprintf(out, "%s      \"%s\": ", between, key);
        good =
            (json_array_size(value) ? put_array(out, value) : json_dumpf(value, out, JSON_ENCODE_ANY) == 0) &&
            good;
        between = ",\n";
    }
    fputs("\n    }", out);
    json_decref(process);
    return good;
}

bool report_json(FILE *out, const struct report *report) {
    json_t *check = report->verdicts ? check_of(report) : json_null();
    fprintf(out, "{\n  \"pqone_report\": %d,\n  \"check\": ", REPORT_JSON_VERSION);
    bool good = check && json_dumpf(check, out, JSON_INDENT(2) | JSON_ENCODE_ANY) == 0;
    json_decref(check);
    fputs(",\n  \"processes\": [", out);
    for (size_t i = 0; good && i < report->list->count; i++) {
        fputs(i ? ",\n" : "\n", out);
        good = put_process(out, &report->list->ledgers[i], report->symbols);
    }
    fputs(report->list->count ? "\n  ]\n}\n" : "]\n}\n", out);
    return good && !ferror(out);
}
