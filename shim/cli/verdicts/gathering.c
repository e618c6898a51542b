/* gathering.c: findings while they are put together. */
#include "gathering.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By what a finding is recognised while it is gathered: everything that a reader would see of its place. */
struct key {
    uint64_t hash;
    char *text;
    pid_t last_process; /* that it was found in */
};

struct gathering {
    struct symbols *symbols;
    const struct ledger *ledger;
    char **site_texts; /* of the ledger at hand, by row; NULL where nobody asked yet */
    struct finding *findings;
    struct key *keys; /* one for each finding */
    size_t count, capacity;
    bool failed;
};

struct gathering *gathering_new(struct symbols *symbols) {
    struct gathering *gathering = calloc(1, sizeof *gathering);
    if (gathering)
        gathering->symbols = symbols;
    return gathering;
}

static void forget_texts(struct gathering *gathering) {
    for (uint32_t i = 0; gathering->site_texts && i < gathering->ledger->site_count; i++)
        free(gathering->site_texts[i]);
    free(gathering->site_texts);
    gathering->site_texts = NULL;
}

void gathering_begin(struct gathering *gathering, const struct ledger *ledger) {
    forget_texts(gathering);
    gathering->ledger = ledger;
    gathering->site_texts = calloc(ledger->site_count + (size_t)1, sizeof *gathering->site_texts);
    gathering->failed = gathering->failed || !gathering->site_texts;
}

/* An interpreter that adapts runs the same line of a script through other functions of its own later on. */
static bool tells(const struct stack *stack, const struct frame *frame) {
    return frame->script || !frame->noise || !stack->frames[0].script;
}

static char *text_of(struct gathering *gathering, uint32_t site) {
    struct stack stack;
    char *text = NULL;
    size_t size = 0;
    if (!stack_of_site(gathering->symbols, gathering->ledger, site, &stack))
        return NULL;
    FILE *out = open_memstream(&text, &size);
    for (size_t i = 0; out && i < stack.count; i++) {
        char frame[1024];
        if (tells(&stack, &stack.frames[i]))
            fprintf(out, "%s\n", frame_text(&stack.frames[i], frame, sizeof frame));
    }
    if (!out || fclose(out) != 0) {
        free(text);
        text = NULL;
    }
    stack_release(&stack);
    return text;
}

const char *gathering_site_text(struct gathering *gathering, uint32_t site) {
    if (site >= gathering->ledger->site_count)
        return "";
    if (!gathering->site_texts)
        return NULL;
    char **text = &gathering->site_texts[site];
    if (!*text)
        *text = text_of(gathering, site);
    gathering->failed = gathering->failed || !*text;
    return *text;
}

static uint64_t hash_of(const char *text) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return hash;
}

static const char *target_name(const struct ledger *ledger, uint32_t target) {
    return target < ledger->target_count ? ledger->targets[target].name : "";
}

/* A budget belongs to a target and has no place; a sentence tells apart what befell handles of one place. */
static char *key_of(struct gathering *gathering, const struct occurrence *occurrence) {
    const char *opened = gathering_site_text(gathering, occurrence->opened);
    const char *place = gathering_site_text(gathering, occurrence->place);
    char *text = NULL;
    const char *target =
        occurrence->kind == FINDING_BUDGET ? target_name(gathering->ledger, occurrence->target) : "";
    if (!opened || !place ||
        asprintf(&text, "%d\n%s\n%s\n%s\n%s%s", (int)occurrence->kind, target, occurrence->says,
                 occurrence->function, opened, place) < 0)
        return NULL;
    return text;
}

static struct finding *find(struct gathering *gathering, const char *text, uint64_t hash) {
    for (size_t i = 0; i < gathering->count; i++)
        if (gathering->keys[i].hash == hash && strcmp(gathering->keys[i].text, text) == 0)
            return &gathering->findings[i];
    return NULL;
}

static bool grow(struct gathering *gathering) {
    if (gathering->count < gathering->capacity)
        return true;
    size_t capacity = gathering->capacity ? gathering->capacity * 2 : 32;
    struct finding *findings = realloc(gathering->findings, capacity * sizeof *findings);
    if (findings)
        gathering->findings = findings;
    struct key *keys = realloc(gathering->keys, capacity * sizeof *keys);
    if (keys)
        gathering->keys = keys;
    if (!findings || !keys)
        return false;
    gathering->capacity = capacity;
    return true;
}

static struct finding *make(struct gathering *gathering, const struct occurrence *occurrence) {
    const struct ledger *ledger = gathering->ledger;
    struct finding *finding = &gathering->findings[gathering->count];
    *finding = (struct finding){.kind = occurrence->kind,
                                .misuse = occurrence->misuse,
                                .says = occurrence->says,
                                .advice = occurrence->advice,
                                .function = occurrence->function,
                                .target = target_name(ledger, occurrence->target),
                                .statement = "",
                                .pid = ledger->header.pid,
                                .program = ledger->header.program,
                                .age = -1,
                                .unused = -1,
                                .is_note = occurrence->misuse && occurrence->misuse->is_note};
    if (!stack_of_site(gathering->symbols, ledger, occurrence->opened, &finding->opened))
        return NULL;
    if (!stack_of_site(gathering->symbols, ledger, occurrence->place, &finding->place)) {
        stack_release(&finding->opened);
        return NULL;
    }
    return finding;
}

struct finding *gathering_add(struct gathering *gathering, const struct occurrence *occurrence) {
    const struct ledger *ledger = gathering->ledger;
    char *text = key_of(gathering, occurrence);
    uint64_t hash = text ? hash_of(text) : 0;
    struct finding *finding = text ? find(gathering, text, hash) : NULL;
    if (finding) {
        free(text);
    } else {
        finding = text && grow(gathering) ? make(gathering, occurrence) : NULL;
        if (!finding) {
            free(text);
            gathering->failed = true;
            return NULL;
        }
        gathering->keys[gathering->count++] = (struct key){hash, text, 0};
    }
    struct key *key = &gathering->keys[finding - gathering->findings];
    finding->processes += key->last_process != ledger->header.pid;
    key->last_process = ledger->header.pid;
    /* A peak is no sum. */
    if (finding->kind != FINDING_BUDGET)
        finding->count += occurrence->count;
    else if (occurrence->count > finding->count)
        finding->count = occurrence->count;
    if (strcmp(finding->target, target_name(ledger, occurrence->target)) != 0)
        finding->target = "";
    return finding;
}

/* Host and port of a throwaway server differ from run to run; user and database do not. */
static void put_target(FILE *out, const char *target) {
    const char *at = strchr(target, '@'), *slash = at ? strrchr(at, '/') : NULL;
    if (slash)
        fprintf(out, "%.*s%s", (int)(at - target), target, slash);
    else
        fputs(target, out);
}

static char *identity_of(const struct finding *finding) {
    char *text = NULL, *opened = stack_identity(&finding->opened), *place = stack_identity(&finding->place);
    size_t size = 0;
    FILE *out = opened && place ? open_memstream(&text, &size) : NULL;
    if (out) {
        /* Whether a pointer was still found can differ from run to run. */
        fprintf(out, "%s%s%s ", finding_is_leak(finding) ? "leak" : finding_word(finding->kind),
                finding->misuse ? ":" : "", finding->misuse ? finding->misuse->word : "");
        if (finding->kind == FINDING_BUDGET)
            put_target(out, finding->target);
        /* Of a shutdown only whose it was says anything; its frames are the runtime's own. */
        fprintf(out, "%s%s%s", opened, finding->kind == FINDING_MISUSE && *place ? " at " : "",
                finding->kind == FINDING_MISUSE ? place : "");
        if (fclose(out) != 0) {
            free(text);
            text = NULL;
        }
    }
    free(opened);
    free(place);
    return text;
}

bool gathering_end(struct gathering *gathering, struct finding **findings, size_t *count) {
    if (gathering->ledger)
        forget_texts(gathering);
    for (size_t i = 0; i < gathering->count; i++) {
        struct finding *finding = &gathering->findings[i];
        free(gathering->keys[i].text);
        if (!gathering->failed)
            finding->identity = identity_of(finding);
        gathering->failed = gathering->failed || !finding->identity;
    }
    bool good = !gathering->failed;
    *findings = gathering->findings;
    *count = gathering->count;
    if (!good) {
        struct verdicts spoiled = {.findings = gathering->findings, .count = gathering->count};
        verdicts_release(&spoiled);
        *findings = NULL;
        *count = 0;
    }
    free(gathering->keys);
    free(gathering);
    return good;
}
