/* log.c: decides which events become a line, and where the line goes. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../settings.h"
#include "call_site.h"
#include "line.h"
#include "outlet.h"
#include "place.h"
#include "recorder.h"

/* Room for each of the two things that are appended to a message: repeats, and lost lines. */
#define SUFFIX_MAX 64
/* A socket's path is shorter than that (struct sockaddr_un). */
#define SOCKET_PATH_MAX 256
#define SYSLOG_SOCKET "/dev/log"
#define SYSLOG_PRIORITY (1 << 3 | 5) /* facility user, severity notice */

enum { TALLIES = 4096, TALLY_PROBES = 32 };

/* How often an event happened; found by hash, claimed by compare and swap, never given back. Children
 * go on with their parent's: a hundred forked workers do not log the same place a hundred times. */
struct tally {
    _Atomic uint64_t name; /* 0: free */
    _Atomic uint64_t count;
};
static struct tally tallies[TALLIES];
static struct tally unlisted[LOG_EVENT_KINDS]; /* for what found no room, together */

static _Atomic uint64_t lost;
static atomic_bool complained; /* of a log that cannot be written; one line, also with children */

static const char *const words[LOG_EVENT_KINDS] = {
    [LOG_DUPLICATE] = "duplicate", [LOG_PIN] = "pin",       [LOG_WAIT] = "wait",
    [LOG_CONNECT] = "connect",     [LOG_MISUSE] = "misuse", [LOG_UNWATCHED] = "unwatched",
    [LOG_SETTING] = "setting",     [LOG_LEDGER] = "ledger", [LOG_LEAK] = "leak",
};

const char *log_event_word(enum log_event_kind kind) {
    return (unsigned)kind < LOG_EVENT_KINDS ? words[kind] : "event";
}

void log_start(void) {
    outlet_start();
}

bool log_wanted(void) {
    return settings()->log != LOG_TO_NONE;
}

const char *log_site(uint32_t site, char *buffer) {
    return site < LEDGER_SITES ? line_token(site, buffer) : "an unknown place";
}

static struct tally *find_tally(enum log_event_kind kind, uint32_t site, uint32_t key) {
    uint64_t name = (uint64_t)(kind + 1) << 56 | (uint64_t)(site & 0xffffff) << 32 | key;
    uint64_t hash = name * 0x9e3779b97f4a7c15u >> 40;
    for (unsigned i = 0; i < TALLY_PROBES; i++) {
        struct tally *tally = &tallies[(hash + i) % TALLIES];
        uint64_t there = atomic_load_explicit(&tally->name, memory_order_relaxed);
        if (there == 0 && atomic_compare_exchange_strong(&tally->name, &there, name))
            return tally;
        if (there == name)
            return tally;
    }
    return &unlisted[kind];
}

static bool is_power_of_ten(uint64_t count) {
    while (count >= 10 && count % 10 == 0)
        count /= 10;
    return count == 1;
}

uint64_t log_due(enum log_event_kind kind, uint32_t site, uint32_t key) {
    if ((unsigned)kind >= LOG_EVENT_KINDS || !log_wanted())
        return 0;
    if (site == UINT32_MAX)
        return 1;
    uint64_t count = atomic_fetch_add(&find_tally(kind, site, key)->count, 1) + 1;
    return is_power_of_ten(count) ? count : 0;
}

static bool to_launcher(const char *word, const char *message) {
    const struct settings *wanted = settings();
    char directory[SOCKET_PATH_MAX], path[SOCKET_PATH_MAX + sizeof wanted->run + 8], why[256];
    char packet[LINE_MAX_BYTES];
    if (!wanted->run[0] ||
        !place_of_ledgers(wanted->ledger_dir, directory, sizeof directory, why, sizeof why))
        return false;
    snprintf(path, sizeof path, "%s/%s.sock", directory, wanted->run);
    int head = snprintf(packet, sizeof packet, "%d %s\n", (int)getpid(), recorder_file());
    size_t length = line_make(packet + head, sizeof packet - (size_t)head, wanted->log_format, getpid(), word,
                              message, true);
    return outlet_datagram(path, packet, (size_t)head + length);
}

/* syslog(3) would need openlog(), whose ident and options are the program's own. A datagram without a
 * time stamp gets that of its arrival. */
static bool to_syslog(const char *line, size_t length) {
    char packet[LINE_MAX_BYTES + 64];
    int head = snprintf(packet, sizeof packet, "<%d>pqone[%d]: ", SYSLOG_PRIORITY, (int)getpid());
    length -= line[length - 1] == '\n';
    memcpy(packet + head, line, length);
    return outlet_datagram(SYSLOG_SOCKET, packet, (size_t)head + length);
}

/* A log that is not there is said once, where it can be seen: silence would look like a clean run. */
static void complain(const char *place, const char *why) {
    char message[512], clean[512], line[LINE_MAX_BYTES];
    if (atomic_exchange(&complained, true))
        return;
    snprintf(message, sizeof message, "PQONE_LOG %.200s cannot be written: %s; nothing more is logged", place,
             why);
    line_clean(message, false, clean, sizeof clean);
    outlet_stderr(line, line_make(line, sizeof line, settings()->log_format, getpid(),
                                  log_event_word(LOG_SETTING), clean, false));
}

static bool to_place(const char *word, const char *message) {
    const struct settings *wanted = settings();
    char line[LINE_MAX_BYTES], why[128];
    size_t length = line_make(line, sizeof line, wanted->log_format, getpid(), word, message, false);
    switch (wanted->log) {
    case LOG_TO_STDERR:
        return outlet_stderr(line, length);
    case LOG_TO_SYSLOG:
        if (to_syslog(line, length))
            return true;
        complain("syslog", "nobody listens at " SYSLOG_SOCKET);
        return false;
    case LOG_TO_PATH:
        if (outlet_file(wanted->log_path, line, length, why, sizeof why))
            return true;
        if (why[0])
            complain(wanted->log_path, why);
        return false;
    default:
        return false;
    }
}

/* Lines that were lost are confessed by the next one that arrives. */
static void deliver(const char *word, char *message, size_t length) {
    uint64_t missing = atomic_exchange(&lost, 0);
    if (missing)
        snprintf(message + length, SUFFIX_MAX, " (%llu lines before this one were lost)",
                 (unsigned long long)missing);
    if (!to_launcher(word, message) && !to_place(word, message))
        atomic_fetch_add(&lost, missing + 1);
}

static void write_line(enum log_event_kind kind, uint64_t count, const char *format, va_list arguments) {
    char raw[LOG_MESSAGE_MAX], message[LOG_MESSAGE_MAX + 2 * SUFFIX_MAX];
    int error = errno;
    int length = vsnprintf(raw, sizeof raw, format, arguments);
    if (length < 0)
        strcpy(raw, "a message that cannot be put into words");
    line_clean(raw, length >= (int)sizeof raw, message, LOG_MESSAGE_MAX);
    size_t end = strlen(message);
    if (count > 1)
        end += (size_t)snprintf(message + end, SUFFIX_MAX, " (+%llu more from here)",
                                (unsigned long long)(count - 1));
    deliver(log_event_word(kind), message, end);
    errno = error;
}

void log_say(enum log_event_kind kind, uint64_t count, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_line(kind, count, format, arguments);
    va_end(arguments);
}

void log_event(enum log_event_kind kind, uint32_t site, uint32_t key, const char *format, ...) {
    int error = errno;
    uint64_t count = log_due(kind, site, key);
    if (count) {
        va_list arguments;
        va_start(arguments, format);
        write_line(kind, count, format, arguments);
        va_end(arguments);
    }
    errno = error;
}
