/* report_sarif.c: the report as SARIF 2.1.0. */
#include "report_sarif.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../commands.h"
#include "../symbols/source_path.h"
#include "findings.h"
#include "sentence.h"
#include "utf8.h"

/* In the order of enum finding_kind; the rules of misuses follow them. */
static const struct rule {
    const char *says, *level, *help;
} rules[FINDING_KINDS] = {
    [FINDING_LOST] = {"A handle was never finished, and nothing in memory points at it any more", "error",
                      "PQfinish every handle on every path, also where connecting failed."},
    [FINDING_HELD] = {"A handle was never finished, though something still points at it", "error",
                      "PQfinish every handle before the program ends."},
    [FINDING_UNKNOWN] = {"A handle was not finished when the process ended in a way that let nobody look",
                         "error", "PQfinish every handle before the process ends."},
    [FINDING_MISUSE] = {"libpq's contract was broken", "error", "See libpq's manual."},
    [FINDING_BUDGET] = {"More handles were alive at once than the budget allows", "error",
                        "Share handles, or raise the budget."},
    [FINDING_DUPLICATE] = {"A handle was opened while another one for the same target was unfinished",
                           "warning", "Keep one handle and pass it on."},
    [FINDING_LEFT] = {"A handle was finished by a runtime's shutdown, not by the program", "note",
                      "Close it where it is done with."},
    [FINDING_HANDED] = {"A handle was opened before a fork, then used and finished by the child alone",
                        "note", "Nothing: this is how a connection is handed over."},
};

static void put(json_t *object, const char *key, json_t *value) {
    json_object_set_new(object, key, value);
}

static json_t *text_object(const char *text) {
    json_t *object = json_object(), *value = utf8_json(text);
    put(object, "text", json_is_null(value) ? json_string("-") : json_incref(value));
    json_decref(value);
    return object;
}

static json_t *uri_of(const char *prefix, const char *path, const char *suffix) {
    char *uri = NULL;
    size_t size;
    FILE *out = open_memstream(&uri, &size);
    if (!out)
        return NULL;
    fputs(prefix, out);
    source_uri(out, path);
    fputs(suffix, out);
    json_t *value = fclose(out) == 0 ? json_string(uri) : NULL;
    free(uri);
    return value;
}

static json_t *artifact(const struct source_root *root, const char *file) {
    char path[PATH_MAX];
    json_t *object = json_object();
    if (source_path(root, file, path, sizeof path)) {
        put(object, "uri", uri_of("", path, ""));
        put(object, "uriBaseId", json_string("%SRCROOT%"));
    } else {
        put(object, "uri", uri_of(*path == '/' ? "file://" : "", path, ""));
    }
    return object;
}

/* A frame without a file is still said: as an address in its module. */
static json_t *location_of(const struct source_root *root, const struct frame *frame, bool with_function) {
    json_t *location = json_object(), *physical = json_object();
    char text[1024];
    frame_text(frame, text, sizeof text);
    if (frame->file[0]) {
        put(physical, "artifactLocation", artifact(root, frame->file));
        if (frame->line > 0)
            put(physical, "region", json_pack("{s:i}", "startLine", frame->line));
    } else {
        json_t *address = json_object();
        put(address, "offsetFromParent", json_integer((json_int_t)(frame->offset & INT64_MAX)));
        put(address, "fullyQualifiedName", utf8_json(text));
        put(physical, "address", address);
    }
    put(location, "physicalLocation", physical);
    if (with_function && frame->function[0]) {
        json_t *logical = json_object();
        put(logical, "fullyQualifiedName", utf8_json(frame->function));
        put(logical, "kind", json_string("function"));
        put(location, "logicalLocations", json_pack("[o]", logical));
    }
    put(location, "message", text_object(text));
    return location;
}

static json_t *stack_of(const struct source_root *root, const struct stack *stack, const char *says) {
    json_t *object = json_object(), *frames = json_array();
    for (size_t i = 0; i < stack->count; i++) {
        json_t *frame = json_object();
        put(frame, "location", location_of(root, &stack->frames[i], true));
        if (stack->frames[i].module[0])
            put(frame, "module", utf8_json(stack->frames[i].module));
        json_array_append_new(frames, frame);
    }
    put(object, "message", text_object(says));
    put(object, "frames", frames);
    return object;
}

/* Outermost first, as it happened. */
static void add_steps(json_t *steps, const struct source_root *root, const struct stack *stack) {
    for (size_t i = stack->count; i-- > 0;)
        if (stack->frames[i].line && stack->frames[i].file[0] && !stack->frames[i].noise) {
            json_t *step = json_object();
            put(step, "location", location_of(root, &stack->frames[i], false));
            json_array_append_new(steps, step);
        }
}

static json_t *flows_of(const struct source_root *root, const struct finding *finding) {
    json_t *steps = json_array();
    add_steps(steps, root, &finding->opened);
    add_steps(steps, root, &finding->place);
    if (json_array_size(steps) == 0) {
        json_decref(steps);
        return NULL;
    }
    return json_pack("[{s:[{s:o}]}]", "threadFlows", "locations", steps);
}

/* FNV-1a: an identity may be long, and its functions need not be in public. */
static json_t *fingerprint(const char *identity) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    char text[17];
    for (; identity && *identity; identity++)
        hash = (hash ^ (unsigned char)*identity) * UINT64_C(0x100000001b3);
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    return json_pack("{s:s}", "pqoneIdentity/v1", text);
}

/* Where the reader is led, then the place that a text report names; the program where no place is known. */
static json_t *locations_of(const struct source_root *root, const struct finding *finding) {
    const struct stack *stack = finding->place.count ? &finding->place : &finding->opened;
    const struct frame *frame = source_frame(root, stack);
    if (!frame)
        frame = stack_first(stack);
    json_t *location;
    if (frame) {
        location = location_of(root, frame, true);
    } else {
        location = json_object();
        put(location, "message", text_object("an unknown place"));
    }
    /* Code scanning shows no result without a file. */
    if (!frame || !frame->file[0]) {
        const char *file = frame && frame->module[0] ? frame->module : finding->program;
        json_t *physical = json_object_get(location, "physicalLocation");
        if (!physical) {
            physical = json_object();
            put(location, "physicalLocation", physical);
        }
        if (file && *file)
            put(physical, "artifactLocation", artifact(root, file));
        if (json_object_size(physical) == 0)
            json_object_del(location, "physicalLocation");
    }
    return json_pack("[o]", location);
}

static json_t *properties_of(const struct finding *finding) {
    json_t *object = json_object();
    put(object, "count", json_integer((json_int_t)(finding->count & INT64_MAX)));
    put(object, "neverConnected", json_integer((json_int_t)(finding->never_connected & INT64_MAX)));
    put(object, "target", utf8_json(finding->target));
    put(object, "function", utf8_json(finding->function));
    put(object, "statement", utf8_json(finding->statement));
    put(object, "pid", json_integer(finding->pid));
    put(object, "program", utf8_json(finding->program));
    put(object, "processes", json_integer((json_int_t)finding->processes));
    put(object, "fails", json_boolean(finding->fails));
    return object;
}

static json_t *suppressions_of(const struct finding *finding) {
    json_t *array = json_array();
    if (finding->suppressed_by) {
        json_t *one = json_pack("{s:s, s:s}", "kind", "external", "status", "accepted");
        put(one, "justification", utf8_json(finding->suppressed_by));
        json_array_append_new(array, one);
    }
    return array;
}

static size_t rule_index(const struct finding *finding) {
    if (!finding->misuse)
        return finding->kind;
    size_t kind = 1;
    while (kind + 1 < MISUSES && misuse_row((uint32_t)kind) != finding->misuse)
        kind++;
    return FINDING_KINDS + kind - 1;
}

static json_t *result_of(const struct report *report, const struct source_root *root,
                         const struct finding *finding) {
    static const char *const levels[] = {"error", "warning", "note"};
    char rule[64];
    char *sentence = finding_sentence(finding);
    if (!sentence)
        return NULL;
    json_t *result = json_object(), *stacks = json_array();
    put(result, "ruleId", utf8_json(finding_rule(finding, rule, sizeof rule)));
    put(result, "ruleIndex", json_integer((json_int_t)rule_index(finding)));
    put(result, "level", json_string(levels[finding_loudness(finding)]));
    put(result, "message", text_object(sentence));
    free(sentence);
    put(result, "locations", locations_of(root, finding));
    if (finding->count)
        put(result, "occurrenceCount", json_integer((json_int_t)(finding->count & INT32_MAX)));
    put(result, "partialFingerprints", fingerprint(finding->identity));
    if (finding->place.count)
        json_array_append_new(
            stacks,
            stack_of(root, &finding->place, finding->kind == FINDING_MISUSE ? "happened at" : "finished at"));
    if (finding->opened.count)
        json_array_append_new(stacks, stack_of(root, &finding->opened, "opened at"));
    put(result, "stacks", stacks);
    json_t *flows = flows_of(root, finding);
    if (flows)
        put(result, "codeFlows", flows);
    put(result, "suppressions", suppressions_of(finding));
    if (report->outcome && report->outcome->has_baseline)
        put(result, "baselineState", json_string(finding->is_known ? "unchanged" : "new"));
    put(result, "properties", properties_of(finding));
    return result;
}

static json_t *rule_of(const char *id, const char *says, const char *level, const char *help) {
    json_t *object = json_object();
    put(object, "id", json_string(id));
    put(object, "shortDescription", text_object(says));
    put(object, "help", text_object(help));
    put(object, "defaultConfiguration", json_pack("{s:s}", "level", level));
    return object;
}

static json_t *rules_array(void) {
    json_t *array = json_array();
    char id[64];
    for (int i = 0; i < FINDING_KINDS; i++)
        json_array_append_new(
            array, rule_of(finding_word((enum finding_kind)i), rules[i].says, rules[i].level, rules[i].help));
    for (uint32_t i = 1; i < MISUSES; i++) {
        const struct misuse_row *row = misuse_row(i);
        snprintf(id, sizeof id, "misuse/%s", row->word);
        json_array_append_new(array, rule_of(id, row->says, row->is_note ? "note" : "error", row->advice));
    }
    return array;
}

static json_t *moment(int64_t realtime) {
    time_t when = (time_t)(realtime / 1000000000);
    char text[64];
    struct tm utc;
    if (!gmtime_r(&when, &utc) || utc.tm_year < 0 || utc.tm_year >= 8000)
        return NULL;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return json_string(text);
}

static json_t *invocation_of(const struct report *report, const struct source_root *root) {
    json_t *object = json_object();
    bool failed = outcome_is_failure(report->outcome);
    put(object, "executionSuccessful", json_boolean(!failed));
    if (report->outcome) {
        put(object, "exitCode", json_integer(report->outcome->status));
        put(object, "exitCodeDescription", utf8_json(report->outcome->why));
    }
    if (root->here[0])
        put(object, "workingDirectory", json_pack("{s:o}", "uri", uri_of("file://", root->here, "/")));
    int64_t began = INT64_MAX;
    for (size_t i = 0; i < report->list->count; i++)
        if (report->list->ledgers[i].header.opened_realtime < began)
            began = report->list->ledgers[i].header.opened_realtime;
    json_t *start = report->list->count ? moment(began) : NULL;
    if (start)
        put(object, "startTimeUtc", start);
    json_t *notifications = json_array();
    for (size_t i = 0; report->outcome && i < report->outcome->problem_count; i++) {
        json_t *notification = json_pack("{s:s}", "level", failed ? "error" : "warning");
        put(notification, "message", text_object(report->outcome->problems[i]));
        json_array_append_new(notifications, notification);
    }
    put(object, "toolExecutionNotifications", notifications);
    return object;
}

static json_t *run_of(const struct report *report, const struct source_root *root) {
    json_t *run = json_object(), *results = json_array();
    char *sentence = report_sentence(report);
    put(run, "tool",
        json_pack("{s:{s:s, s:s, s:o}}", "driver", "name", "pqone", "version", PQONE_VERSION, "rules",
                  rules_array()));
    put(run, "invocations", json_pack("[o]", invocation_of(report, root)));
    if (root->root[0])
        put(run, "originalUriBaseIds",
            json_pack("{s:{s:o}}", "%SRCROOT%", "uri",
                      uri_of("file://", root->root, strcmp(root->root, "/") ? "/" : "")));
    put(run, "columnKind", json_string("utf16CodeUnits"));
    bool good = sentence != NULL;
    for (size_t i = 0; good && i < report->verdicts->count; i++) {
        json_t *result = result_of(report, root, &report->verdicts->findings[i]);
        good = result && json_array_append_new(results, result) == 0;
    }
    put(run, "results", results);
    json_t *properties = json_object();
    put(properties, "summary", utf8_json(sentence));
    put(run, "properties", properties);
    free(sentence);
    if (good)
        return run;
    json_decref(run);
    return NULL;
}

bool report_sarif(FILE *out, const struct report *report) {
    struct source_root *root = malloc(sizeof *root);
    if (!root)
        return false;
    source_root_find(root);
    json_t *run = run_of(report, root), *log = json_object();
    put(log, "$schema", json_string("https://json.schemastore.org/sarif-2.1.0.json"));
    put(log, "version", json_string("2.1.0"));
    bool good = run && json_object_set_new(log, "runs", json_pack("[o]", run)) == 0;
    good = good && json_dumpf(log, out, JSON_COMPACT) == 0 && putc('\n', out) != EOF;
    json_decref(log);
    free(root);
    return good;
}
