/* report_github.c: annotations and the step summary of GitHub Actions. */
#include "report_github.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../say.h"
#include "../symbols/source_path.h"
#include "../symbols/stack_names.h"
#include "sentence.h"
#include "utf8.h"

/* GitHub takes a MiB for a step's summary, and nothing of a longer one; a row stays far below the difference.
 */
enum { ANNOTATIONS = 10, SUMMARY_BYTES = 1000 * 1000, LOUDNESSES = LOUD_NOTE + 1 };

static const char *const commands[] = {"error", "warning", "notice"};

/* The runner undoes exactly these (and a carriage return, which is a control character here); in a property,
 * a colon or a comma would end it. */
static void put_escaped(FILE *out, const char *text, bool property) {
    while (*text) {
        uint32_t code;
        text += utf8_next(text, &code);
        if (code == '%' || code == '\n' || (property && (code == ':' || code == ',')))
            fprintf(out, "%%%02X", code);
        else
            utf8_put(out, utf8_is_control(code) ? UTF8_REPLACEMENT : code);
    }
}

/* What tells the finding from others of the same line; "" if nothing has to. */
static const char *callers_of(const struct finding *finding) {
    const struct stack *stack = finding->place.count ? &finding->place : &finding->opened;
    const char *name = finding->place.count ? finding->place_name : finding->opened_name;
    return name ? stack_name_callers(name, stack) : "";
}

static void put_annotation(FILE *out, const struct source_root *root, const struct finding *finding,
                           const char *sentence) {
    char rule[64], path[PATH_MAX];
    const struct frame *frame = source_frame(root, finding->place.count ? &finding->place : &finding->opened);
    fprintf(out, "::%s ", commands[finding_loudness(finding)]);
    if (frame) {
        source_path(root, frame->file, path, sizeof path);
        fputs("file=", out);
        put_escaped(out, path, true);
        fprintf(out, ",line=%d,", frame->line);
    }
    fputs("title=", out);
    char title[512];
    /* Where one line opens handles for many, all annotations stand there: the title tells them apart. */
    snprintf(title, sizeof title, "pqone: %s%s", finding_rule(finding, rule, sizeof rule),
             callers_of(finding));
    put_escaped(out, title, true);
    fputs("::", out);
    put_escaped(out, sentence, false);
    char *stacks = NULL;
    size_t size;
    FILE *text = open_memstream(&stacks, &size);
    if (text) {
        finding_stacks(text, finding, "");
        if (fclose(text) == 0 && *stacks) {
            stacks[size - 1] = '\0'; /* the last newline */
            fputs("%0A", out);
            put_escaped(out, stacks, false);
        }
        free(stacks);
    }
    putc('\n', out);
}

/* What cannot be shown, by loudness; `silenced` are those that need not be. */
struct share {
    size_t found[LOUDNESSES], room[LOUDNESSES], silenced;
};

static struct share share_of(const struct verdicts *verdicts, const struct outcome *outcome) {
    struct share share = {.room = {ANNOTATIONS, ANNOTATIONS, ANNOTATIONS - 1}}; /* the summary is a notice */
    if (outcome)
        share.found[outcome_is_failure(outcome) ? LOUD_ERROR : LOUD_WARNING] = outcome->problem_count;
    for (size_t i = 0; i < verdicts->count; i++)
        if (finding_is_silenced(&verdicts->findings[i]))
            share.silenced++;
        else
            share.found[finding_loudness(&verdicts->findings[i])]++;
    return share;
}

static void put_share(FILE *out, const struct share *share) {
    const char *between = " Not annotated, since GitHub shows ten of each kind a step: ";
    for (size_t i = 0; i < LOUDNESSES; i++) {
        if (share->found[i] <= share->room[i])
            continue;
        size_t rest = share->found[i] - share->room[i];
        fprintf(out, "%s%zu more %s%s", between, rest, commands[i], rest == 1 ? "" : "s");
        between = ", ";
    }
    if (*between == ',')
        putc('.', out);
    if (share->silenced)
        fprintf(out, " %zu finding%s suppressed or known from the baseline.", share->silenced,
                share->silenced == 1 ? " is" : "s are");
}

/* As character references, which Markdown reads as text and nothing else, in any place. */
static void put_markdown(FILE *out, const char *text) {
    while (*text) {
        uint32_t code;
        text += utf8_next(text, &code);
        if (code == '\n')
            fputs("<br>", out);
        else if (code == '\t')
            putc(' ', out);
        else if (code < 0x80 && code > ' ' && strchr("!\"#$&'()*+:<=>@[\\]^_`{|}~-", (int)code))
            fprintf(out, "&#%u;", code);
        else
            utf8_put(out, utf8_is_control(code) ? UTF8_REPLACEMENT : code);
    }
}

static void put_row(FILE *out, const struct source_root *root, const struct finding *finding) {
    static const char *const marks[] = {"fails", "warning", "note"};
    char rule[64], place[1024], path[PATH_MAX];
    const struct stack *stack = finding->place.count ? &finding->place : &finding->opened;
    const struct frame *frame = source_frame(root, stack);
    fprintf(out, "| %s | ",
            finding->suppressed_by ? "suppressed"
            : finding->is_known    ? "known"
                                   : marks[finding_loudness(finding)]);
    put_markdown(out, finding_rule(finding, rule, sizeof rule));
    fprintf(out, " | %" PRIu64 " | <code>", finding->count);
    put_markdown(out, finding->place.count ? finding_place(finding, place, sizeof place)
                                           : finding_opened(finding, place, sizeof place));
    /* The place of a library is none that a reader can go to. */
    if (frame && frame != stack_first(stack)) {
        source_path(root, frame->file, path, sizeof path);
        snprintf(place, sizeof place, "%.900s:%d", path, frame->line);
        fputs("</code><br><code>", out);
        put_markdown(out, place);
    }
    fputs("</code> | <code>", out);
    put_markdown(out, finding->target[0] ? finding->target : "-");
    fputs("</code> | ", out);
    put_markdown(out, finding->says);
    fputs(" |\n", out);
}

static void put_summary(FILE *out, const struct source_root *root, const struct report *report,
                        const char *sentence) {
    const struct verdicts *verdicts = report->verdicts;
    fputs("### pqone check\n\n", out);
    put_markdown(out, sentence);
    fputs("\n\n", out);
    for (size_t i = 0; report->outcome && i < report->outcome->problem_count; i++) {
        put_markdown(out, report->outcome->problems[i]);
        fputs("\n\n", out);
    }
    if (!verdicts->count)
        return;
    fputs("| | finding | count | where | target | what |\n| --- | --- | ---: | --- | --- | --- |\n", out);
    size_t shown = 0;
    while (shown < verdicts->count && ftell(out) < SUMMARY_BYTES)
        put_row(out, root, &verdicts->findings[shown++]);
    if (shown < verdicts->count)
        fprintf(out, "\n%zu more findings have no room here.\n", verdicts->count - shown);
    putc('\n', out);
}

/* Once, however many annotation reports were asked for. */
static void write_summary(const struct source_root *root, const struct report *report, const char *sentence) {
    static bool written;
    const char *path = getenv("GITHUB_STEP_SUMMARY");
    if (!path || !*path || written)
        return;
    written = true;
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_CLOEXEC, 0666);
    char *text = NULL;
    size_t size = 0;
    FILE *out = file < 0 ? NULL : open_memstream(&text, &size);
    bool complete = false;
    if (out) {
        put_summary(out, root, report, sentence);
        complete = fclose(out) == 0 && say_bytes(file, text, size);
        free(text);
    }
    if (file < 0 || close(file) != 0 || !complete)
        say("the step's summary %.512s cannot be written: %s", path, strerror(errno));
}

/* Before the findings, of which they take the worth. */
static void put_problems(FILE *out, const struct outcome *outcome, struct share *share) {
    enum loudness loudness = outcome_is_failure(outcome) ? LOUD_ERROR : LOUD_WARNING;
    for (size_t i = 0; outcome && i < outcome->problem_count && share->room[loudness]; i++) {
        share->room[loudness]--;
        fprintf(out, "::%s title=pqone check::", commands[loudness]);
        put_escaped(out, outcome->problems[i], false);
        putc('\n', out);
    }
}

static bool put_findings(FILE *out, const struct source_root *root, const struct verdicts *verdicts,
                         struct share *share) {
    for (size_t i = 0; i < verdicts->count; i++) {
        const struct finding *finding = &verdicts->findings[i];
        size_t *room = &share->room[finding_loudness(finding)];
        if (finding_is_silenced(finding) || !*room)
            continue;
        --*room;
        char *sentence = finding_sentence(finding);
        if (!sentence)
            return false;
        put_annotation(out, root, finding, sentence);
        free(sentence);
    }
    return true;
}

bool report_github(FILE *out, const struct report *report) {
    struct source_root *root = malloc(sizeof *root);
    char *sentence = report_sentence(report);
    bool good = root && sentence;
    if (good) {
        source_root_find(root);
        struct share share = share_of(report->verdicts, report->outcome);
        fputs("::notice title=pqone check::", out);
        put_escaped(out, sentence, false);
        put_share(out, &share);
        putc('\n', out);
        put_problems(out, report->outcome, &share);
        good = put_findings(out, root, report->verdicts, &share);
        write_summary(root, report, sentence);
    }
    free(root);
    free(sentence);
    return good;
}
