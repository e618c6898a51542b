/* statement_words.c: one hash table over statement_words.def and functions.def. */
#include "statement_words.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "pin.h"

/* One long text instead of pointers: a table of pointers would be relocated in every process we are
 * preloaded into, most of which never judge a statement. */
static const char function_names[] =
#define HARMLESS(name) "+" name "\0"
#define REFUSED(name) "-" name "\0"
#include "functions.def"
    ;

#define KEYWORD WORD_IS_KEYWORD
#define PREFIX WORD_IS_PREFIX
#define TYPE WORD_IS_TYPE
static const struct row {
    char text[32];
    struct word word;
} rows[] = {
#define WORD(id, text, flags) {text, {WORD_##id, (flags), PIN_NONE}},
#define NAME(id, text, reason) {text, {WORD_##id, PIN_##reason ? WORD_IS_REFUSED : 0, PIN_##reason}},
#include "statement_words.def"
};

enum { SLOTS = 4096, LONGEST = 63 };
static struct slot {
    uint32_t hash; /* 0: free */
    uint8_t length;
    struct word word;
    const char *text;
} slots[SLOTS];
static pthread_once_t built = PTHREAD_ONCE_INIT;
static atomic_bool is_built; /* spares the call */

static inline uint64_t eight(const char *text) {
    uint64_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return bytes | UINT64_C(0x2020202020202020); /* so that case does not matter; all else may collide */
}

static inline uint64_t four(const char *text) {
    uint32_t bytes;
    memcpy(&bytes, text, sizeof bytes);
    return bytes | UINT32_C(0x20202020);
}

/* Never reads a byte for each letter: words are most of what there is to read. */
static inline uint32_t hash_of(const char *text, size_t length) {
    uint64_t first = 0, middle = 0, last = 0;
    if (length >= 8) {
        first = eight(text);
        middle = eight(text + length / 2 - 4);
        last = eight(text + length - 8);
    } else if (length >= 4) {
        first = four(text);
        last = four(text + length - 4);
    } else if (length > 0) {
        first = (uint64_t)(text[0] | 0x20) | (uint64_t)(text[length / 2] | 0x20) << 8 |
                (uint64_t)(text[length - 1] | 0x20) << 16;
    }
    uint64_t mixed = (first + (middle << 7) + (last << 23) + length) * UINT64_C(0x9e3779b97f4a7c15);
    mixed ^= (last ^ middle >> 9) * UINT64_C(0xc2b2ae3d27d4eb4f);
    return (uint32_t)(mixed >> 32) | 1;
}

static bool same(const char *ours, const char *theirs, size_t length, bool exact) {
    if (exact)
        return memcmp(ours, theirs, length) == 0;
    /* Among the bytes of words, or-ing 0x20 joins nothing but a letter's two cases. */
    if (length >= 8) {
        for (size_t i = 0; i + 8 < length; i += 8)
            if (eight(ours + i) != eight(theirs + i))
                return false;
        return eight(ours + length - 8) == eight(theirs + length - 8);
    }
    if (length >= 4)
        return four(ours) == four(theirs) && four(ours + length - 4) == four(theirs + length - 4);
    for (size_t i = 0; i < length; i++)
        if (ours[i] != (theirs[i] | 0x20))
            return false;
    return true;
}

static struct slot *slot_of(const char *text, size_t length, uint32_t hash, bool exact) {
    uint32_t i = hash % SLOTS;
    while (slots[i].hash &&
           !(slots[i].hash == hash && slots[i].length == length && same(slots[i].text, text, length, exact)))
        i = (i + 1) % SLOTS;
    return &slots[i];
}

/* A word may be in both files (left, substring): flags add up, the reason of the reviewed file stays. */
static void add(const char *text, struct word word) {
    size_t length = strlen(text);
    uint32_t hash = hash_of(text, length);
    struct slot *slot = slot_of(text, length, hash, true);
    *slot = (struct slot){hash,
                          (uint8_t)length,
                          {slot->word.id ? slot->word.id : word.id, slot->word.flags | word.flags,
                           slot->word.reason ? slot->word.reason : word.reason},
                          text};
}

static void build(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        add(rows[i].text, rows[i].word);
    for (const char *name = function_names; *name; name += strlen(name) + 1)
        add(name + 1, *name == '+' ? (struct word){WORD_NONE, WORD_IS_HARMLESS, PIN_NONE}
                                   : (struct word){WORD_NONE, WORD_IS_REFUSED, PIN_FUNCTION});
    atomic_store_explicit(&is_built, true, memory_order_release);
}

struct word word_find(const char *text, size_t length, bool exact) {
    if (!atomic_load_explicit(&is_built, memory_order_acquire))
        pthread_once(&built, build);
    if (length == 0 || length > LONGEST)
        return (struct word){0, 0, 0};
    struct slot *slot = slot_of(text, length, hash_of(text, length), exact);
    return exact ? word_as_identifier(slot->word) : slot->word;
}
