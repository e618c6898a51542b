/* report_junit.c: the report as JUnit XML. */
#include "report_junit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../symbols/source_path.h"
#include "../symbols/stack_names.h"
#include "findings.h"
#include "sentence.h"
#include "utf8.h"

/* Handles are opened there, or a finding has no other place. */
struct test_case {
    char *file, *name;
    struct stack stack;         /* of a site without a finding: its own */
    const struct stack *stands; /* the stack that names it, NULL: none */
    uint64_t opened;
    size_t finding; /* the verdicts' number of one that was found here, NONE for a site without */
};
enum { NONE = SIZE_MAX };

struct cases {
    struct test_case *rows;
    size_t count, capacity;
    struct source_root root;
};

/* What the rows of one case come to. */
struct group {
    size_t begin, end, failing, suppressed, known;
    uint64_t opened;
};

static void put_text(FILE *out, const char *text, bool attribute) {
    while (*text) {
        uint32_t code;
        text += utf8_next(text, &code);
        if (code == '<' || code == '>' || code == '&' || code == '"' ||
            (attribute && (code == '\n' || code == '\t')))
            fprintf(out, "&#%u;", code);
        else
            utf8_put(out, utf8_is_control(code) ? UTF8_REPLACEMENT : code);
    }
}

/* Through memory, since what comes is printed by functions that know nothing of XML. */
static bool put_stacks(FILE *out, const struct finding *finding) {
    char *text = NULL;
    size_t size;
    FILE *plain = open_memstream(&text, &size);
    if (!plain)
        return false;
    finding_stacks(plain, finding, "    ");
    bool good = fclose(plain) == 0;
    if (good)
        put_text(out, text, false);
    free(text);
    return good;
}

/* Sets the names of a case by the place that a report names; `callers` tell it from others of that place. */
static bool name_case(struct cases *cases, struct test_case *row, const char *callers) {
    const struct frame *frame = stack_first(row->stands);
    char file[PATH_MAX] = "unknown", name[1024];
    if (frame && frame->file[0])
        source_path(&cases->root, frame->file, file, sizeof file);
    else if (frame && frame->module[0])
        snprintf(file, sizeof file, "%s", frame->module);
    if (frame && frame->line)
        snprintf(name, sizeof name, "%.900s:%d", frame->function[0] ? frame->function : "?", frame->line);
    else
        frame_text(frame, name, sizeof name);
    row->file = strdup(file);
    if (asprintf(&row->name, "%s%s", name, callers) < 0)
        row->name = NULL;
    return row->file && row->name;
}

/* Of all cases at once: one for each stack, also where one function opens all handles. */
static bool name_cases(struct cases *cases) {
    static const struct stack none = {0};
    const struct stack **stacks = calloc(cases->count + 1, sizeof *stacks);
    char **names = calloc(cases->count + 1, sizeof *names);
    bool good = stacks && names;
    for (size_t i = 0; good && i < cases->count; i++) {
        struct test_case *row = &cases->rows[i];
        row->stands = row->stands ? row->stands : &row->stack;
        stacks[i] = row->name ? &none : row->stands;
    }
    good = good && stack_names(stacks, cases->count, names);
    for (size_t i = 0; good && i < cases->count; i++) {
        if (!cases->rows[i].name)
            good = name_case(cases, &cases->rows[i], stack_name_callers(names[i], stacks[i]));
    }
    for (size_t i = 0; names && i < cases->count; i++)
        free(names[i]);
    free(names);
    free(stacks);
    return good;
}

static struct test_case *add_case(struct cases *cases) {
    if (cases->count == cases->capacity) {
        size_t capacity = cases->capacity ? 2 * cases->capacity : 64;
        struct test_case *rows = realloc(cases->rows, capacity * sizeof *rows);
        if (!rows)
            return NULL;
        cases->rows = rows;
        cases->capacity = capacity;
    }
    struct test_case *row = &cases->rows[cases->count++];
    *row = (struct test_case){.finding = NONE};
    return row;
}

static bool add_sites(struct cases *cases, const struct ledger *ledger, struct symbols *symbols) {
    for (uint32_t i = 0; i < ledger->site_count; i++) {
        if (!ledger->sites[i].opened)
            continue;
        struct test_case *row = add_case(cases);
        if (!row || !stack_of_site(symbols, ledger, i, &row->stack))
            return false;
        row->opened = ledger->sites[i].opened;
    }
    return true;
}

static bool add_findings(struct cases *cases, const struct verdicts *verdicts) {
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        struct test_case *row = add_case(cases);
        if (!row)
            return false;
        row->finding = i;
        if (finding->kind == FINDING_BUDGET) {
            row->file = strdup(finding->target[0] ? finding->target : "unknown");
            row->name = strdup(finding_word(finding->kind));
            if (!row->file || !row->name)
                return false;
        } else {
            row->stands = finding->opened.count ? &finding->opened : &finding->place;
        }
    }
    return true;
}

static int by_name(const void *left, const void *right) {
    const struct test_case *a = left, *b = right;
    int order = strcmp(a->file, b->file);
    order = order ? order : strcmp(a->name, b->name);
    return order ? order : a->finding < b->finding ? -1 : a->finding > b->finding;
}

/* The rows from `begin` on that have one name. */
static struct group group_at(const struct cases *cases, const struct verdicts *verdicts, size_t begin) {
    struct group group = {.begin = begin, .end = begin};
    const struct test_case *first = &cases->rows[begin];
    for (; group.end < cases->count; group.end++) {
        const struct test_case *row = &cases->rows[group.end];
        if (strcmp(row->file, first->file) != 0 || strcmp(row->name, first->name) != 0)
            break;
        group.opened += row->opened;
        if (row->finding == NONE)
            continue;
        group.failing += verdicts->findings[row->finding].fails;
        group.suppressed += verdicts->findings[row->finding].suppressed_by != NULL;
        group.known += verdicts->findings[row->finding].is_known;
    }
    return group;
}

/* The sentences and stacks of a group's findings, all or only those that fail. */
static bool put_findings(FILE *out, const struct cases *cases, const struct group *group,
                         const struct verdicts *verdicts, bool failing) {
    bool good = true;
    for (size_t i = group->begin; good && i < group->end; i++) {
        if (cases->rows[i].finding == NONE)
            continue;
        const struct finding *finding = &verdicts->findings[cases->rows[i].finding];
        if (failing && !finding->fails)
            continue;
        char *sentence = finding_sentence(finding), rule[64];
        good = sentence != NULL;
        if (!good)
            break;
        put_text(out, finding_rule(finding, rule, sizeof rule), false);
        fputs(": ", out);
        put_text(out, sentence, false);
        putc('\n', out);
        free(sentence);
        good = put_stacks(out, finding);
    }
    return good;
}

static bool put_failure(FILE *out, const struct cases *cases, const struct group *group,
                        const struct verdicts *verdicts) {
    const struct finding *first = NULL;
    for (size_t i = group->begin; !first; i++)
        if (cases->rows[i].finding != NONE && verdicts->findings[cases->rows[i].finding].fails)
            first = &verdicts->findings[cases->rows[i].finding];
    char *sentence = finding_sentence(first), rule[64];
    if (!sentence)
        return false;
    fputs("      <failure type=\"", out);
    put_text(out, finding_rule(first, rule, sizeof rule), true);
    fputs("\" message=\"", out);
    put_text(out, sentence, true);
    if (group->failing > 1)
        fprintf(out, " And %zu more.", group->failing - 1);
    fputs("\">", out);
    free(sentence);
    bool good = put_findings(out, cases, group, verdicts, true);
    fputs("</failure>\n", out);
    return good;
}

static void put_skipped(FILE *out, const struct cases *cases, const struct group *group,
                        const struct verdicts *verdicts) {
    fputs("      <skipped>", out);
    for (size_t i = group->begin, said = 0; i < group->end; i++) {
        if (cases->rows[i].finding == NONE)
            continue;
        const struct finding *finding = &verdicts->findings[cases->rows[i].finding];
        if (!finding_is_silenced(finding))
            continue;
        fputs(said++ ? ", " : "", out);
        fputs(finding->suppressed_by ? "suppressed by " : "known from the baseline", out);
        if (finding->suppressed_by)
            put_text(out, finding->suppressed_by, false);
    }
    fputs("</skipped>\n", out);
}

static bool put_case(FILE *out, const struct cases *cases, const struct group *group,
                     const struct verdicts *verdicts) {
    const struct test_case *first = &cases->rows[group->begin];
    bool good = true;
    fputs("    <testcase classname=\"", out);
    put_text(out, first->file, true);
    fputs("\" name=\"", out);
    put_text(out, first->name, true);
    fputs("\" time=\"0\"", out);
    if (group->failing) {
        fputs(">\n", out);
        good = put_failure(out, cases, group, verdicts);
        fputs("    </testcase>\n", out);
    } else if (group->suppressed || group->known) {
        fputs(">\n", out);
        put_skipped(out, cases, group, verdicts);
        fputs("    </testcase>\n", out);
    } else {
        fputs("/>\n", out);
    }
    return good;
}

static void put_problems(FILE *out, const struct outcome *outcome) {
    for (size_t i = 0; outcome && i < outcome->problem_count; i++) {
        put_text(out, outcome->problems[i], false);
        putc('\n', out);
    }
}

/* What pqone could not do is an error, which no reader takes for a test that passed. */
static void put_own_case(FILE *out, const struct outcome *outcome) {
    fputs("    <testcase classname=\"pqone\" name=\"check\" time=\"0\"", out);
    if (!outcome_is_failure(outcome)) {
        fputs("/>\n", out);
        return;
    }
    fputs(">\n      <error type=\"pqone\" message=\"", out);
    put_text(out, outcome->why, true);
    fputs("\">", out);
    put_problems(out, outcome);
    fputs("</error>\n    </testcase>\n", out);
}

/* The suite's attributes and properties. */
static void put_head(FILE *out, const struct report *report, size_t tests, size_t failures, size_t skipped) {
    const struct ledger_list *list = report->list;
    int64_t opened = INT64_MAX, span = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct ledger *ledger = &list->ledgers[i];
        if (ledger->header.opened_realtime < opened)
            opened = ledger->header.opened_realtime;
        int64_t lasted = ledger->end ? findings_span(ledger->header.opened_monotonic, ledger->end) : 0;
        span = lasted > span ? lasted : span;
    }
    time_t when = list->count ? (time_t)(opened / 1000000000) : time(NULL);
    char stamp[32] = "1970-01-01T00:00:00", host[256] = "";
    struct tm utc;
    /* Four digits of a year are all that the schema has room for. */
    if (gmtime_r(&when, &utc) && utc.tm_year >= 0 && utc.tm_year < 8000)
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
    if (gethostname(host, sizeof host - 1) != 0 || !*host)
        strcpy(host, "localhost");
    fprintf(out, "  <testsuite id=\"0\" package=\"pqone\" name=\"pqone check\" timestamp=\"%s\" hostname=\"",
            stamp);
    put_text(out, host, true);
    fprintf(out, "\" tests=\"%zu\" failures=\"%zu\" errors=\"%d\"", tests, failures,
            outcome_is_failure(report->outcome));
    if (skipped) /* old schemas do not know it */
        fprintf(out, " skipped=\"%zu\"", skipped);
    fprintf(out, " time=\"%" PRId64 ".%03d\">\n    <properties>\n", span / 1000000000,
            (int)(span / 1000000 % 1000));
    const struct totals *totals = &report->verdicts->totals;
#define PROPERTY(name) \
    fprintf(out, "      <property name=\"" #name "\" value=\"%" PRIu64 "\"/>\n", (uint64_t)totals->name)
    PROPERTY(opened);
    PROPERTY(alive_peak);
    PROPERTY(busy_peak);
    PROPERTY(needed);
    PROPERTY(duplicates);
    PROPERTY(processes);
#undef PROPERTY
    fputs("    </properties>\n", out);
}

static bool put_suite(FILE *out, const struct cases *cases, const struct report *report) {
    const struct verdicts *verdicts = report->verdicts;
    size_t tests = 0, failures = 0, skipped = 0;
    struct group group;
    for (size_t at = 0; at < cases->count; at = group.end) {
        group = group_at(cases, verdicts, at);
        tests++;
        failures += group.failing > 0;
        skipped += !group.failing && (group.suppressed || group.known);
    }
    bool own = !tests || outcome_is_failure(report->outcome);
    put_head(out, report, tests + own, failures, skipped);
    if (own)
        put_own_case(out, report->outcome);
    bool good = true;
    for (size_t at = 0; good && at < cases->count; at = group.end) {
        group = group_at(cases, verdicts, at);
        good = put_case(out, cases, &group, verdicts);
    }
    char *sentence = report_sentence(report);
    fputs("    <system-out>", out);
    if (sentence) {
        put_text(out, sentence, false);
        putc('\n', out);
    }
    free(sentence);
    group = (struct group){.begin = 0, .end = cases->count};
    good = good && sentence && put_findings(out, cases, &group, verdicts, false);
    fputs("</system-out>\n    <system-err>", out);
    put_problems(out, report->outcome);
    fputs("</system-err>\n  </testsuite>\n", out);
    return good;
}

bool report_junit(FILE *out, const struct report *report) {
    struct cases *cases = calloc(1, sizeof *cases);
    if (!cases)
        return false;
    source_root_find(&cases->root);
    bool good = true;
    for (size_t i = 0; good && i < report->list->count; i++)
        good = add_sites(cases, &report->list->ledgers[i], report->symbols);
    good = good && add_findings(cases, report->verdicts) && name_cases(cases);
    if (good) {
        if (cases->count)
            qsort(cases->rows, cases->count, sizeof *cases->rows, by_name);
        fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n", out);
        good = put_suite(out, cases, report);
        fputs("</testsuites>\n", out);
    }
    for (size_t i = 0; i < cases->count; i++) {
        free(cases->rows[i].file);
        free(cases->rows[i].name);
        stack_release(&cases->rows[i].stack);
    }
    free(cases->rows);
    free(cases);
    return good;
}
