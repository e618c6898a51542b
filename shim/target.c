/* target.c: resolves requests to targets, and remembers how by their words and the environment. */
#define _GNU_SOURCE
#include "target.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.h"
#include "words.h"

enum { REMEMBERED = 256, FILES = 8 };

/* How a request was resolved: equal words under an equal environment need no second look. */
struct resolution {
    char *question; /* the request's words, PG* environment and ids */
    size_t question_length;
    uint64_t hash;
    struct target *target;
    char *files[FILES]; /* what it was resolved by */
    char *identities;   /* as they were; with another identity it has to be resolved again */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* a leaf; guards `remembered` and references */
static struct resolution remembered[REMEMBERED];         /* one place per hash, the newer wins */

struct text {
    char *bytes;
    size_t length, size;
    bool failed;
    char first[1024]; /* most questions need no malloc */
};

static void text_start(struct text *text) {
    text->bytes = text->first;
    text->length = 0;
    text->size = sizeof text->first;
    text->failed = false;
}

static void text_free(struct text *text) {
    if (text->bytes != text->first)
        free(text->bytes);
}

static void text_add(struct text *text, const void *bytes, size_t length) {
    if (text->length + length > text->size) {
        size_t size = (text->length + length) * 2;
        char *larger = realloc(text->bytes == text->first ? NULL : text->bytes, size);
        if (!larger) {
            text->failed = true;
            return;
        }
        if (text->bytes == text->first)
            memcpy(larger, text->first, text->length);
        text->bytes = larger;
        text->size = size;
    }
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

/* A string and its end; NULL and "" differ. */
static void text_add_string(struct text *text, const char *string) {
    if (string)
        text_add(text, string, strlen(string) + 1);
    else
        text_add(text, "\1", 2);
}

static uint64_t hash_of(const char *bytes, size_t length) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (; length >= 8; bytes += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    while (length--)
        hash = (hash ^ (unsigned char)*bytes++) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

extern char **environ;

/* What libpq reads: PG*, the ticket cache, and HOME, where its files are. */
static bool environment_matters(const char *entry) {
    if (entry[0] == 'P')
        return entry[1] == 'G';
    return (entry[0] == 'K' && strncmp(entry, "KRB5CCNAME=", 11) == 0) ||
           (entry[0] == 'H' && strncmp(entry, "HOME=", 5) == 0) ||
           (entry[0] == 'U' && strncmp(entry, "USER=", 5) == 0);
}

static void make_question(struct text *text, struct libpq *libpq, const struct request *request) {
    struct {
        struct libpq *libpq;
        uid_t uid;
        gid_t gid;
        int form, expand;
    } head;
    memset(&head, 0, sizeof head); /* its padding is hashed */
    head.libpq = libpq;
    head.uid = geteuid();
    head.gid = getegid();
    head.form = request->form;
    head.expand = request->expand_dbname;
    text_add(text, &head, sizeof head);
    if (request->form == REQUEST_CONNINFO)
        text_add_string(text, request->conninfo);
    else if (request->form == REQUEST_LOGIN)
        for (int i = 0; i < LOGIN_PARTS; i++)
            text_add_string(text, request->login[i]);
    else
        for (int i = 0; request->keywords && request->keywords[i]; i++) {
            text_add_string(text, request->keywords[i]);
            text_add_string(text, request->values[i]);
        }
    for (char **entry = environ; entry && *entry; entry++)
        if (environment_matters(*entry))
            text_add_string(text, *entry);
}

/* Device, inode, size and mtime of each file, one line a file. */
static void add_identities(struct text *text, char *const *files) {
    for (int i = 0; i < FILES && files[i]; i++) {
        struct stat status;
        char line[160];
        int length = snprintf(line, sizeof line, "%d:none\n", i);
        if (stat(files[i], &status) == 0)
            length = snprintf(line, sizeof line, "%d:%lx.%lx.%lx.%lx.%lx\n", i, (long)status.st_dev,
                              (long)status.st_ino, (long)status.st_size, (long)status.st_mtim.tv_sec,
                              (long)status.st_mtim.tv_nsec);
        text_add(text, line, (size_t)length);
    }
}

static const char *option_value(const PQconninfoOption *options, const char *keyword) {
    for (; options && options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

static void add_file(char **files, const char *given, const char *in_home) {
    int i = 0;
    while (i < FILES && files[i])
        i++;
    if (i == FILES)
        return;
    const char *home = getenv("HOME");
    if (given && given[0])
        files[i] = strdup(given);
    else if (in_home && home && asprintf(&files[i], "%s/%s", home, in_home) < 0)
        files[i] = NULL;
}

/* The files that decide as whom libpq authenticates. */
static void files_of(char **files, const PQconninfoOption *options, const char *host) {
    const char *password = option_value(options, "password"), *sslmode = option_value(options, "sslmode");
    if (!password || !password[0])
        add_file(files, option_value(options, "passfile"), ".pgpass");
    if ((host && host[0] == '/') || (sslmode && strcmp(sslmode, "disable") == 0))
        return;
    add_file(files, option_value(options, "sslcert"), ".postgresql/postgresql.crt");
    add_file(files, option_value(options, "sslkey"), ".postgresql/postgresql.key");
    add_file(files, option_value(options, "sslrootcert"), ".postgresql/root.crt");
    add_file(files, option_value(options, "sslcrl"), ".postgresql/root.crl");
}

/* Before 18 PQconninfo does not tell of a service, so the program's words are asked. */
static bool names_service(const struct words *words) {
    for (int i = 0; i < words->count; i++)
        if (strcmp(words->keywords[i], "service") == 0 ||
            (words->expand_dbname && words->values[i] && strcmp(words->keywords[i], "dbname") == 0 &&
             strstr(words->values[i], "service")))
            return true;
    return getenv("PGSERVICE") != NULL;
}

/* What a service means is in the target's words. Its files only tell whether it still means that. */
static void add_service_files(char **files, const struct words *words) {
    char system_wide[512];
    const char *directory = getenv("PGSYSCONFDIR");
    if (!names_service(words))
        return;
    snprintf(system_wide, sizeof system_wide, "%s/pg_service.conf",
             directory ? directory : "/etc/postgresql-common");
    add_file(files, getenv("PGSERVICEFILE"), ".pg_service.conf");
    add_file(files, system_wide, NULL);
}

/* A PGconn that libpq filled in and then refused because of our word, or NULL if it did not refuse. */
static PGconn *refused(struct libpq *libpq, struct words *words, const char *first, const char *first_value,
                       const char *second, const char *second_value) {
    int count = words->count;
    words_add(words, first, first_value);
    if (second)
        words_add(words, second, second_value);
    PGconn *conn = libpq->PQconnectStartParams(words->keywords, words->values, words->expand_dbname);
    words->count = count;
    words->keywords[count] = words->values[count] = NULL;
    if (conn && libpq->PQstatus(conn) == CONNECTION_BAD)
        return conn;
    libpq->PQfinish(conn);
    return NULL;
}

static bool is_truth(const char *value) {
    return value && value[0] && strcmp(value, "0") != 0 && strcasecmp(value, "false") != 0 &&
           strcasecmp(value, "off") != 0 && strcasecmp(value, "no") != 0;
}

/* The words to connect again with: everything that has a value, so that a later change of the environment
 * does not leak in. `service` is spelled out already. */
static bool keep_words(struct target *target, const PQconninfoOption *options, const char *port) {
    size_t count = 0;
    for (const PQconninfoOption *option = options; option->keyword; option++)
        count++;
    target->keywords = calloc(count + 2, sizeof *target->keywords);
    target->values = calloc(count + 2, sizeof *target->values);
    if (!target->keywords || !target->values)
        return false;
    count = 0;
    for (const PQconninfoOption *option = options; option->keyword; option++) {
        const char *value = strcmp(option->keyword, "port") == 0 ? port : option->val;
        if (!value || !value[0] || strcmp(option->keyword, "service") == 0)
            continue;
        target->keywords[count] = strdup(option->keyword);
        target->values[count++] = strdup(value);
    }
    return true;
}

static struct target *make_target(struct libpq *libpq, const PQconninfoOption *options, const char *host,
                                  const char *port, char *const *files) {
    struct target *target = calloc(1, sizeof *target);
    if (!target || !keep_words(target, options, port)) {
        target_release(target);
        return NULL;
    }
    target->references = 1;
    target->replication = is_truth(target_value(target, "replication"));
    const char *user = target_value(target, "user"), *dbname = target_value(target, "dbname");
    if (!dbname)
        dbname = user;
    if (!host || !host[0])
        host = target_value(target, "hostaddr");
    if (!port || !port[0])
        port = "5432";
    if (asprintf(&target->name, "%s@%s:%s/%s", user ? user : "", host ? host : "", port,
                 dbname ? dbname : "") < 0)
        target->name = NULL;

    struct text key;
    text_start(&key);
    text_add(&key, &libpq, sizeof libpq);
    text_add_string(&key, target->name);
    for (int i = 0; target->keywords[i]; i++) {
        if (strcmp(target->keywords[i], "host") == 0 || strcmp(target->keywords[i], "port") == 0 ||
            strcmp(target->keywords[i], "dbname") == 0 || strcmp(target->keywords[i], "user") == 0)
            continue; /* in the name, with their defaults */
        text_add_string(&key, target->keywords[i]);
        text_add_string(&key, target->values[i]);
    }
    char ids[64];
    snprintf(ids, sizeof ids, "%u.%u", (unsigned)geteuid(), (unsigned)getegid());
    text_add_string(&key, ids);
    text_add_string(&key, getenv("KRB5CCNAME"));
    add_identities(&key, files);
    target->key = malloc(key.length);
    if (target->key && target->name && !key.failed) {
        memcpy(target->key, key.bytes, key.length);
        target->key_length = key.length;
        target->hash = hash_of(key.bytes, key.length);
    } else {
        target_release(target);
        target = NULL;
    }
    text_free(&key);
    return target;
}

static struct target *ask_libpq(struct libpq *libpq, const struct request *request, char **files) {
    struct words words;
    struct target *target = NULL;
    PGconn *without_port = NULL, *with_port = NULL;
    PQconninfoOption *options = NULL, *port_options = NULL;
    if (!words_of_request(&words, libpq, request))
        goto done;
    /* Two refusals: the first spoils the port to learn the rest, the second spoils the host to learn it. */
    without_port = refused(libpq, &words, "port",
                           "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", NULL, NULL);
    with_port = refused(libpq, &words, "host", "a,b", "hostaddr", "c");
    if (!without_port || !with_port)
        goto done;
    options = libpq->PQconninfo(without_port);
    port_options = libpq->PQconninfo(with_port);
    /* Refused for another reason, our spoiling has not arrived: libpq will say itself what is wrong. */
    const char *spoilt = option_value(options, "port"), *spoilt_host = option_value(port_options, "host");
    if (!spoilt || strncmp(spoilt, "1,1,", 4) != 0 || !spoilt_host || strcmp(spoilt_host, "a,b") != 0)
        goto done;
    const char *host = libpq->PQhost(without_port);
    const char *hosts = option_value(options, "host");
    if (hosts && hosts[0])
        host = hosts;
    files_of(files, options, host);
    target = make_target(libpq, options, host, option_value(port_options, "port"), files);
    add_service_files(files, &words);
done:
    libpq->PQconninfoFree(options);
    libpq->PQconninfoFree(port_options);
    libpq->PQfinish(without_port);
    libpq->PQfinish(with_port);
    words_free(&words, libpq);
    return target;
}

static void forget(struct resolution *resolution) {
    if (resolution->question) /* it may hold PGPASSWORD */
        explicit_bzero(resolution->question, resolution->question_length);
    free(resolution->question);
    free(resolution->identities);
    for (int i = 0; i < FILES; i++)
        free(resolution->files[i]);
    memset(resolution, 0, sizeof *resolution);
}

/* The remembered target, if the files are what they were. The files are looked at under the lock: they are
 * few, and a place may be overwritten otherwise. */
static struct target *recall(const struct text *question, uint64_t hash) {
    struct target *target = NULL;
    struct text identities;
    text_start(&identities);
    pthread_mutex_lock(&lock);
    struct resolution *resolution = &remembered[hash % REMEMBERED];
    if (resolution->target && resolution->hash == hash && resolution->question_length == question->length &&
        memcmp(resolution->question, question->bytes, question->length) == 0) {
        add_identities(&identities, resolution->files);
        text_add(&identities, "", 1);
        if (!identities.failed && strcmp(identities.bytes, resolution->identities) == 0) {
            target = resolution->target;
            target->references++;
        }
    }
    pthread_mutex_unlock(&lock);
    text_free(&identities);
    return target;
}

static void remember(const struct text *question, uint64_t hash, struct target *target, char **files) {
    struct text identities;
    text_start(&identities);
    add_identities(&identities, files);
    text_add(&identities, "", 1);
    struct resolution fresh = {.question = malloc(question->length),
                               .question_length = question->length,
                               .hash = hash,
                               .target = target,
                               .identities = strdup(identities.bytes)};
    text_free(&identities);
    memcpy(fresh.files, files, sizeof fresh.files);
    memset(files, 0, sizeof fresh.files);
    if (!fresh.question || !fresh.identities || question->failed) {
        fresh.target = NULL;
        forget(&fresh);
        return;
    }
    memcpy(fresh.question, question->bytes, question->length);
    pthread_mutex_lock(&lock);
    struct resolution old = remembered[hash % REMEMBERED];
    remembered[hash % REMEMBERED] = fresh;
    target->references++;
    pthread_mutex_unlock(&lock);
    target_release(old.target);
    forget(&old);
}

struct target *target_resolve(struct libpq *libpq, const struct request *request) {
    int saved_errno = errno;
    struct text question;
    text_start(&question);
    make_question(&question, libpq, request);
    uint64_t hash = hash_of(question.bytes, question.length);
    struct target *target = recall(&question, hash);
    if (!target) {
        char *files[FILES] = {NULL};
        target = ask_libpq(libpq, request, files);
        if (target)
            remember(&question, hash, target, files);
        for (int i = 0; i < FILES; i++)
            free(files[i]);
    }
    text_free(&question);
    errno = saved_errno;
    return target;
}

void target_release(struct target *target) {
    if (!target)
        return;
    pthread_mutex_lock(&lock);
    bool last = target->references <= 1;
    target->references -= !last;
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    for (int i = 0; target->keywords && target->values && target->keywords[i]; i++) {
        free((char *)target->keywords[i]);
        free((char *)target->values[i]);
    }
    free(target->keywords);
    free(target->values);
    if (target->key)
        explicit_bzero(target->key, target->key_length);
    free(target->key);
    free(target->name);
    free(target);
}

const char *target_value(const struct target *target, const char *keyword) {
    for (int i = 0; target->keywords[i]; i++)
        if (strcmp(target->keywords[i], keyword) == 0)
            return target->values[i];
    return NULL;
}

static PGconn *connect_via(struct libpq *libpq, const struct request *request, bool start) {
    struct words words;
    PGconn *conn = NULL;
    if (words_of_request(&words, libpq, request))
        conn = start ? libpq->PQconnectStartParams(words.keywords, words.values, words.expand_dbname)
                     : libpq->PQconnectdbParams(words.keywords, words.values, words.expand_dbname);
    words_free(&words, libpq);
    return conn;
}

PGconn *request_connect(struct libpq *libpq, const struct request *request) {
    if (settings()->via) {
        PGconn *conn = connect_via(libpq, request, false);
        if (conn)
            return conn; /* otherwise the program's own words are wrong, and libpq says so below */
    }
    const char *const *login = request->login;
    if (request->form == REQUEST_CONNINFO)
        return libpq->PQconnectdb(request->conninfo);
    if (request->form == REQUEST_PARAMS)
        return libpq->PQconnectdbParams(request->keywords, request->values, request->expand_dbname);
    return libpq->PQsetdbLogin(login[0], login[1], login[2], login[3], login[4], login[5], login[6]);
}

PGconn *request_start(struct libpq *libpq, const struct request *request) {
    if (settings()->via) {
        PGconn *conn = connect_via(libpq, request, true);
        if (conn)
            return conn;
    }
    if (request->form == REQUEST_PARAMS)
        return libpq->PQconnectStartParams(request->keywords, request->values, request->expand_dbname);
    return libpq->PQconnectStart(request->conninfo);
}

void targets_fork(enum fork_side side) {
    process_fork_lock(&lock, side);
}
