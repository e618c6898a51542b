/* words.c: a request in any of its three forms as one list of conninfo words. */
#include "words.h"

#include <stdatomic.h>
#include <string.h>

#include "settings.h"
#include "target.h"
#include "watch/log.h"

bool words_add(struct words *words, const char *keyword, const char *value) {
    if (words->count >= WORDS_MAX)
        return false;
    words->keywords[words->count] = keyword;
    words->values[words->count++] = value;
    words->keywords[words->count] = words->values[words->count] = NULL;
    return true;
}

static bool add_parsed(struct words *words, const PQconninfoOption *option) {
    for (; option->keyword; option++)
        if (option->val && !words_add(words, option->keyword, option->val))
            return false;
    return true;
}

/* PQsetdbLogin: a dbname that is a connection string comes first, every other part that is not empty wins. */
static bool add_login(struct words *words, const char *const *login) {
    static const char *const keywords[LOGIN_PARTS] = {"host", "port", "options", NULL,
                                                      NULL,   "user", "password"};
    words->expand_dbname = 1;
    if (login[4] && !words_add(words, "dbname", login[4]))
        return false;
    for (int i = 0; i < LOGIN_PARTS; i++)
        if (keywords[i] && login[i] && login[i][0] && !words_add(words, keywords[i], login[i]))
            return false;
    return true;
}

/* What libpq refuses is said once and left out: the program's own words still lead somewhere. */
static bool add_via(struct words *words, struct libpq *libpq) {
    static atomic_bool refused;
    char *why = NULL;
    if (!settings()->via || atomic_load(&refused))
        return true;
    words->parsed_via = libpq->PQconninfoParse(settings()->via, &why);
    if (!words->parsed_via && !atomic_exchange(&refused, true))
        log_event(LOG_SETTING, UINT32_MAX, 0,
                  "PQONE_VIA \"%.200s\" is refused by libpq (%.*s) and not used: connects go "
                  "where the program says",
                  settings()->via, why ? (int)strcspn(why, "\n") : 0, why ? why : "");
    libpq->PQfreemem(why);
    return !words->parsed_via || add_parsed(words, words->parsed_via);
}

bool words_of_request(struct words *words, struct libpq *libpq, const struct request *request) {
    words->count = words->expand_dbname = 0;
    words->keywords[0] = words->values[0] = NULL;
    words->parsed = words->parsed_via = NULL;
    if (request->form == REQUEST_CONNINFO) {
        words->parsed = libpq->PQconninfoParse(request->conninfo, NULL);
        if (!words->parsed || !add_parsed(words, words->parsed))
            return false;
    } else if (request->form == REQUEST_LOGIN) {
        if (!add_login(words, request->login))
            return false;
    } else {
        words->expand_dbname = request->expand_dbname;
        for (int i = 0; request->keywords && request->keywords[i]; i++)
            if (!words_add(words, request->keywords[i], request->values[i]))
                return false;
    }
    return add_via(words, libpq);
}

void words_free(struct words *words, struct libpq *libpq) {
    if (words->parsed)
        libpq->PQconninfoFree(words->parsed);
    if (words->parsed_via)
        libpq->PQconninfoFree(words->parsed_via);
}
