/*
 * log.h: one line per event, to the launcher if there is one, else to where PQONE_LOG says.
 *
 * A line stands alone: `pqone[pid] event: what, to which target, where, what to do`. A call site inside
 * a message is written as a token by LOG_SITE; the launcher, which can symbolise, puts file:line
 * (function) there, and without a launcher the shim puts what dladdr knows. Never a password, never a
 * parameter, of a statement only what statement_outline() leaves.
 *
 * Thread-safe, errno preserved, no lock of the engine may be held (it writes, and may block on a pipe).
 * After fork the child simply goes on. Nothing is ever written to a descriptor that is no longer what it
 * was at start-up.
 *
 * To the launcher: one datagram per line to the socket LEDGER_DIR/RUN.sock, text
 * "PID LEDGER_FILE_NAME\n" followed by the finished line (text or JSON as --log-format says, newline
 * included) with tokens. The token's two bytes are raw in JSON as well; who replaces a token escapes what
 * it puts there. The ledger's name is empty if there is none (yet).
 */
#ifndef PQONE_LOG_H
#define PQONE_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* The bytes around a site's row number in a message: "\002" "17" "\003". */
#define LOG_TOKEN_BEGIN '\002'
#define LOG_TOKEN_END '\003'

#define LOG_MESSAGE_MAX 1024

/* What the line is about; the word is log_event_word(). */
enum log_event_kind {
    LOG_DUPLICATE,
    LOG_PIN,
    LOG_WAIT,    /* waits that took noticeably long, timeouts, going over the cap */
    LOG_CONNECT, /* growth that failed, a dead connection replaced */
    LOG_MISUSE,
    LOG_UNWATCHED, /* where the shim cannot work: unknown exports, no libpq to be found */
    LOG_SETTING,   /* a bad setting: value, and what is accepted */
    LOG_LEDGER,    /* the ledger cannot be written */
    LOG_LEAK,      /* PQONE_LEAK_THRESHOLD: a handle unused for so long, and that it was used after all */
    LOG_EVENT_KINDS
};

/* Is anything logged at all? Lets callers skip making the text. */
bool log_wanted(void);

/* Text of a call site for use as a "%s" argument: a token that names ledger row `site`. Inside the
 * process it carries a secret besides, so that token bytes in a program's data are not taken for ours.
 * `buffer` holds at least 16 bytes and is returned. "an unknown place" when there is no row. */
const char *log_site(uint32_t site, char *buffer);

/* Logs one line, at most once per (kind, site, key) for the first time and then again at 10, 100, 1000 …
 * occurrences with "(+N more from here)", N without the first. Children go on with their parent's count.
 * A line that found no reader is lost, and the next one ends in "(N lines before this one were lost)".
 * `key` tells apart events of one kind at one site (a pin reason);
 * site UINT32_MAX: never counted together, always written. */
void log_event(enum log_event_kind kind, uint32_t site, uint32_t key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* log_event() in two steps, for a text that is dear to make: counts, and says whether this occurrence is
 * to be written (0: it is not); then writes it. */
uint64_t log_due(enum log_event_kind kind, uint32_t site, uint32_t key);
void log_say(enum log_event_kind kind, uint64_t count, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* In place of a site that is not known (PQONE_STACK=0): such events are counted together. */
#define LOG_NOWHERE (UINT32_MAX - 1)

/* The word of a kind as it stands in the line: "duplicate", "pin", … */
const char *log_event_word(enum log_event_kind kind);

/* Remembers what descriptor 2 is now, before the program can reuse the number. Called once at load. */
void log_start(void);

#endif
