/* line.c: makes one log line out of a message. */
#include "line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

#include "call_site.h"
#include "log.h"

/* Eight of the kernel's random bytes for this image; also the source of glibc's stack guard. Mixed, so
 * that a message that leaks does not give that away. */
static uint32_t secret(void) {
    uint64_t bytes = 0;
    const void *random = (const void *)getauxval(AT_RANDOM);
    if (random)
        memcpy(&bytes, (const char *)random + 8, sizeof bytes);
    return (uint32_t)(bytes * 0x9e3779b97f4a7c15u >> 32);
}

const char *line_token(uint32_t site, char *buffer) {
    snprintf(buffer, 16, "%c%u:%08x%c", LOG_TOKEN_BEGIN, site % 10000, secret(), LOG_TOKEN_END);
    return buffer;
}

/* The length of a token of ours at `raw`, 0 if it is none; `site` becomes its row. */
static size_t own_token(const char *raw, uint32_t *site) {
    size_t at = 1;
    char tail[16];
    if (raw[0] != LOG_TOKEN_BEGIN)
        return 0;
    *site = 0;
    for (; raw[at] >= '0' && raw[at] <= '9' && at < 6; at++)
        *site = *site * 10 + (uint32_t)(raw[at] - '0');
    int length = snprintf(tail, sizeof tail, ":%08x%c", secret(), LOG_TOKEN_END);
    return strncmp(raw + at, tail, (size_t)length) == 0 ? at + (size_t)length : 0;
}

/* Length of the well-formed UTF-8 character at `text`, 0 if there is none. C1 controls count as none:
 * terminals obey them. */
static size_t character(const unsigned char *text) {
    if (text[0] < 0x80)
        return text[0] >= ' ' && text[0] != 0x7f;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    bool control = text[0] == 0xc2 && text[1] < 0xa0;
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool outside = (text[0] == 0xed && text[1] >= 0xa0) || (text[0] == 0xf4 && text[1] >= 0x90);
    return control || overlong || outside ? 0 : length;
}

void line_clean(const char *raw, bool raw_is_cut, char *clean, size_t size) {
    size_t out = 0, limit = size - 4; /* "..." and the end */
    while (*raw) {
        char token[16];
        uint32_t site;
        size_t taken = own_token(raw, &site), length = 1;
        const char *from = "?";
        /* A token or a character that the cut went through must not leave its first half. */
        if (!taken && raw_is_cut && strlen(raw) < 16 && memchr(raw, LOG_TOKEN_BEGIN, 1))
            break;
        if (taken) {
            length = (size_t)snprintf(token, sizeof token, "%c%u%c", LOG_TOKEN_BEGIN, site, LOG_TOKEN_END);
            from = token;
        } else if ((taken = character((const unsigned char *)raw)) != 0) {
            length = taken;
            from = raw;
        } else {
            taken = 1;
            if (raw_is_cut && strlen(raw) < 4)
                break;
        }
        if (out + length > limit) {
            raw_is_cut = true;
            break;
        }
        memcpy(clean + out, from, length);
        out += length;
        raw += taken;
    }
    if (raw_is_cut) {
        memcpy(clean + out, "...", 3);
        out += 3;
    }
    clean[out] = '\0';
}

struct writer {
    char *line;
    size_t length, limit;
    bool json, full;
};

static void put(struct writer *writer, const char *bytes, size_t length) {
    if (writer->full || writer->length + length > writer->limit) {
        writer->full = true;
        return;
    }
    memcpy(writer->line + writer->length, bytes, length);
    writer->length += length;
}

/* Whole characters only, so that a line that is full still ends well. */
static void put_text(struct writer *writer, const char *text) {
    while (*text) {
        size_t length = character((const unsigned char *)text);
        if (writer->json && (*text == '"' || *text == '\\'))
            put(writer, *text == '"' ? "\\\"" : "\\\\", 2);
        else
            put(writer, length ? text : "?", length ? length : 1);
        text += length ? length : 1;
    }
}

static void put_message(struct writer *writer, const char *message, bool keep_tokens) {
    while (*message) {
        size_t plain = strcspn(message, "\002");
        char part[LOG_MESSAGE_MAX + 64];
        snprintf(part, sizeof part, "%.*s", (int)plain, message);
        put_text(writer, part);
        message += plain;
        const char *end = *message ? strchr(message, LOG_TOKEN_END) : NULL;
        if (!end)
            break;
        if (keep_tokens) {
            put(writer, message, (size_t)(end + 1 - message));
        } else {
            unsigned site = CALL_SITE_NONE;
            sscanf(message + 1, "%u", &site);
            put_text(writer, call_site_name(site, part, sizeof part));
        }
        message = end + 1;
    }
}

/* RFC 3339 in UTC by hand: gmtime_r takes a lock of libc that a fork may have left locked. The date
 * follows from the days since 1 March of year 0, in eras of 400 years. */
static void put_time(struct writer *writer) {
    struct timespec now;
    char text[48];
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t days = now.tv_sec / 86400 + 719468, second = now.tv_sec % 86400;
    int64_t era = days / 146097, day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    int64_t month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5 - 1;
    month += month < 10 ? 3 : -9;
    year += era * 400 + (month <= 2);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (int)year, (int)month, (int)day,
             (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60), (int)(now.tv_nsec / 1000000));
    put(writer, text, strlen(text));
}

static void put_format(struct writer *writer, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(struct writer *writer, const char *format, ...) {
    char text[96];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(writer, text, strlen(text));
}

size_t line_make(char *line, size_t size, enum log_format format, int pid, const char *word,
                 const char *message, bool keep_tokens) {
    const char *end = format == LOG_JSON ? "\"}\n" : "\n";
    struct writer writer = {line, 0, size - strlen(end) - 3, format == LOG_JSON, false};
    if (writer.json) {
        put_format(&writer, "{\"time\":\"");
        put_time(&writer);
        put_format(&writer, "\",\"pid\":%d,\"event\":\"%s\",\"message\":\"", pid, word);
    } else {
        put_format(&writer, "pqone[%d] %s: ", pid, word);
    }
    put_message(&writer, message, keep_tokens);
    if (writer.full) {
        memcpy(line + writer.length, "...", 3);
        writer.length += 3;
    }
    memcpy(line + writer.length, end, strlen(end));
    return writer.length + strlen(end);
}
