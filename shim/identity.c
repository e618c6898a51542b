/* identity.c: what a program may ask about its connection, taken down once at the connect. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

/* Every parameter that some server from 9 to 18 reports by itself. */
static const char *const reported[] = {
    "application_name",
    "client_encoding",
    "DateStyle",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "IntervalStyle",
    "is_superuser",
    "scram_iterations",
    "search_path",
    "server_encoding",
    "server_version",
    "session_authorization",
    "standard_conforming_strings",
    "TimeZone",
};

/* Client encodings in which the second byte of a character can be a backslash. */
static const char *const backslash_encodings[] = {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK",
                                                  "UHC",  "GB18030",        "JOHAB"};

const char *identity_value(char *const *list, const char *name) {
    for (; list && list[0]; list += 2)
        if (strcmp(list[0], name) == 0)
            return list[1];
    return NULL;
}

static char *copy(const char *text) {
    return text ? strdup(text) : NULL;
}

static char **parameters_of(struct libpq *libpq, PGconn *conn) {
    size_t room = sizeof reported / sizeof *reported, count = 0;
    char **list = calloc(room * 2 + 1, sizeof *list);
    for (size_t i = 0; list && i < room; i++) {
        const char *value = libpq->PQparameterStatus(conn, reported[i]);
        if (!value)
            continue;
        list[count++] = strdup(reported[i]);
        list[count++] = strdup(value);
    }
    return list;
}

static char **ssl_attributes_of(struct libpq *libpq, PGconn *conn) {
    const char *const *names = libpq->PQsslAttributeNames(conn);
    size_t room = 0, count = 0;
    while (names && names[room])
        room++;
    char **list = calloc(room * 2 + 1, sizeof *list);
    for (size_t i = 0; list && i < room; i++) {
        const char *value = libpq->PQsslAttribute(conn, names[i]);
        if (!value)
            continue;
        list[count++] = strdup(names[i]);
        list[count++] = strdup(value);
    }
    return list;
}

static void free_list(char **list) {
    for (char **entry = list; entry && *entry; entry++)
        free(*entry);
    free(list);
}

/* One string of everything in which two connections must be equal to serve one handle. */
static char *text_of(const struct identity *identity) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (!stream)
        return NULL;
    fprintf(stream, "%s\n%s\n%s\n%s\n%s\n%d %d %d %d %d\n", identity->db, identity->user, identity->host,
            identity->hostaddr ? identity->hostaddr : "", identity->port, identity->protocol_version,
            identity->server_version, identity->client_encoding, identity->ssl_in_use, identity->gss_in_use);
    for (char **entry = identity->parameters; entry && *entry; entry++)
        fprintf(stream, "%s\n", *entry);
    fclose(stream);
    return text;
}

struct identity *identity_of(struct libpq *libpq, PGconn *conn) {
    struct identity *identity = calloc(1, sizeof *identity);
    if (!identity)
        return NULL;
    identity->db = copy(libpq->PQdb(conn));
    identity->user = copy(libpq->PQuser(conn));
    identity->pass = copy(libpq->PQpass(conn));
    identity->host = copy(libpq->PQhost(conn));
    identity->hostaddr = copy(libpq->PQhostaddr(conn));
    identity->port = copy(libpq->PQport(conn));
    identity->tty = copy(libpq->PQtty(conn));
    identity->options = copy(libpq->PQoptions(conn));
    identity->protocol_version = libpq->PQprotocolVersion(conn);
    identity->full_protocol_version = libpq->PQfullProtocolVersion(conn);
    identity->server_version = libpq->PQserverVersion(conn);
    identity->client_encoding = libpq->PQclientEncoding(conn);
    identity->needs_password = libpq->PQconnectionNeedsPassword(conn);
    identity->used_password = libpq->PQconnectionUsedPassword(conn);
    identity->used_gssapi = libpq->PQconnectionUsedGSSAPI(conn);
    identity->ssl_in_use = libpq->PQsslInUse(conn);
    identity->gss_in_use = libpq->PQgssEncInUse(conn);
    identity->parameters = parameters_of(libpq, conn);
    identity->ssl_attributes = identity->ssl_in_use ? ssl_attributes_of(libpq, conn) : NULL;
    const char *strings = identity_value(identity->parameters, "standard_conforming_strings");
    identity->standard_conforming_strings = strings && strcmp(strings, "on") == 0;
    const char *encoding = identity_value(identity->parameters, "client_encoding");
    identity->backslash_safe_encoding = encoding != NULL;
    for (size_t i = 0; encoding && i < sizeof backslash_encodings / sizeof *backslash_encodings; i++)
        if (strcasecmp(encoding, backslash_encodings[i]) == 0)
            identity->backslash_safe_encoding = false;
    identity->peer_length = sizeof identity->peer;
    if (getpeername(libpq->PQsocket(conn), (struct sockaddr *)&identity->peer, &identity->peer_length) != 0)
        identity->peer_length = 0;
    identity->text = text_of(identity);
    if (!identity->text || !identity->parameters) {
        identity_free(identity);
        return NULL;
    }
    return identity;
}

void identity_free(struct identity *identity) {
    if (!identity)
        return;
    free(identity->db);
    free(identity->user);
    free(identity->pass);
    free(identity->host);
    free(identity->hostaddr);
    free(identity->port);
    free(identity->tty);
    free(identity->options);
    free_list(identity->parameters);
    free_list(identity->ssl_attributes);
    free(identity->text);
    free(identity);
}
