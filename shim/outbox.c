/* outbox.c: copies the calls of a handle that waits for a connection, and makes them later. */
#define _GNU_SOURCE
#include "outbox.h"

#include <stdlib.h>
#include <string.h>

#include "carried.h"
#include "server.h"

/* One block of memory for a letter and all it says: first counted, then filled. */
struct room {
    char *at; /* NULL while counting */
    size_t used;
};

static void *put(struct room *room, const void *bytes, size_t size) {
    if (!bytes)
        return NULL;
    room->used = (room->used + 15) & ~(size_t)15;
    void *place = room->at ? room->at + room->used : NULL;
    if (place)
        memcpy(place, bytes, size);
    room->used += size;
    return place;
}

static char *put_text(struct room *room, const char *text) {
    return put(room, text, text ? strlen(text) + 1 : 0);
}

static const char **put_values(struct room *room, const struct letter *from) {
    size_t count = (size_t)from->count;
    const char **values = put(room, from->values, count * sizeof *values);
    for (size_t i = 0; from->values && i < count; i++) {
        const char *value = from->values[i];
        bool binary = from->formats && from->formats[i] != 0 && from->lengths;
        const char *copy = put(room, value,
                               !value   ? 0
                               : binary ? (size_t)from->lengths[i]
                                        : strlen(value) + 1);
        if (values)
            values[i] = copy;
    }
    return values;
}

static void copy(struct room *room, struct letter *to, const struct letter *from) {
    bool has_arrays = from->kind != LETTER_CHUNKED_ROWS;
    size_t count = has_arrays ? (size_t)from->count : 0;
    struct letter copied = *from;
    put(room, from, sizeof *from); /* its own place, at the beginning */
    copied.text = put_text(room, from->text);
    copied.name = put_text(room, from->name);
    copied.types = put(room, from->types, count * sizeof *from->types);
    copied.statement.text = put_text(room, from->statement.text);
    copied.statement.types =
        put(room, from->statement.types, (size_t)from->statement.count * sizeof *from->statement.types);
    copied.statement.name = NULL;
    copied.statement.next = NULL;
    copied.lengths = put(room, from->lengths, count * sizeof *from->lengths);
    copied.formats = put(room, from->formats, count * sizeof *from->formats);
    copied.values = has_arrays ? put_values(room, from) : NULL;
    copied.next = NULL;
    if (to)
        *to = copied;
}

static struct letter *duplicate(const struct letter *from) {
    struct room room = {NULL, 0};
    copy(&room, NULL, from);
    struct letter *letter = malloc(room.used);
    if (!letter)
        return NULL;
    room = (struct room){(char *)letter, 0};
    copy(&room, letter, from);
    return letter;
}

/* What libpq finds wrong before it sends anything. */
static const char *problem_of(const struct letter *letter) {
    switch (letter->kind) {
    case LETTER_QUERY:
    case LETTER_QUERY_PARAMS:
    case LETTER_PREPARE:
        if (!letter->text)
            return "command string is a null pointer\n";
        break;
    case LETTER_QUERY_PREPARED:
        if (!letter->name)
            return "statement name is a null pointer\n";
        break;
    default:
        return NULL;
    }
    if (letter->kind == LETTER_PREPARE && !letter->name)
        return "statement name is a null pointer\n";
    if (letter->count < 0 || letter->count > 65535)
        return "number of parameters must be between 0 and 65535\n";
    for (int i = 0; letter->values && letter->formats && !letter->lengths && i < letter->count; i++)
        if (letter->values[i] && letter->formats[i] != 0)
            return "length must be given for binary parameter\n";
    return NULL;
}

static const struct prepared *find_dropped(const struct call *call) {
    const struct prepared *one = call->handle->statements;
    while (one && one->number != call->dropped)
        one = one->next;
    return one;
}

/* What the handle has, once the letter is sent. */
static void mind_list(struct handle *handle, const struct letter *letter) {
    struct prepared *one = handle->statements;
    if (letter->empties)
        prepared_clear(&handle->statements);
    while (letter->drops && one && one->number != letter->statement.number)
        one = one->next;
    if (letter->drops)
        prepared_remove(&handle->statements, one);
    if (letter->kind <= LETTER_QUERY_PARAMS)
        carried_forget_unnamed(handle);
}

static int post(struct call *call, struct letter letter) {
    const struct handle *asked = call->handle;
    const char *problem = problem_of(&letter);
    if (!problem && letter.kind == LETTER_QUERY && asked->pipelined && asked->libpq->version >= 150000)
        problem = "PQsendQuery not allowed in pipeline mode\n";
    if (problem) {
        handle_say(call->handle, problem);
        return 0;
    }
    letter.pin = call->pin;
    if (call->statement && call->statement->text)
        letter.statement = *call->statement;
    letter.settled = call->settled;
    letter.empties = call->discard_all || call->drops == DROPS_ALL;
    if (call->drops == DROPS_ONE && (letter.drops = find_dropped(call) != NULL))
        letter.statement = *find_dropped(call);
    struct letter *written = duplicate(&letter);
    if (!written) {
        handle_say(call->handle, "out of memory\n");
        return 0;
    }
    mind_list(call->handle, &letter);
    return call_post(call, written);
}

int post_PQsendQuery(struct call *call, const char *query) {
    return post(call, (struct letter){.kind = LETTER_QUERY, .text = query});
}

int post_PQsendQueryParams(struct call *call, const char *query, int nParams, const Oid *paramTypes,
                           const char *const *paramValues, const int *paramLengths, const int *paramFormats,
                           int resultFormat) {
    return post(call, (struct letter){.kind = LETTER_QUERY_PARAMS,
                                      .text = query,
                                      .count = nParams,
                                      .types = paramTypes,
                                      .values = paramValues,
                                      .lengths = paramLengths,
                                      .formats = paramFormats,
                                      .result_format = resultFormat});
}

int post_PQsendPrepare(struct call *call, const char *stmtName, const char *query, int nParams,
                       const Oid *paramTypes) {
    return post(call, (struct letter){.kind = LETTER_PREPARE,
                                      .text = query,
                                      .name = stmtName,
                                      .count = nParams,
                                      .types = paramTypes,
                                      .number = call->statement ? call->statement->number : 0,
                                      .taken = call->taken});
}

int post_PQsendQueryPrepared(struct call *call, const char *stmt, int nParams, const char *const *paramValues,
                             const int *paramLengths, const int *paramFormats, int resultFormat) {
    return post(call, (struct letter){.kind = LETTER_QUERY_PREPARED,
                                      .name = stmt,
                                      .count = nParams,
                                      .values = paramValues,
                                      .lengths = paramLengths,
                                      .formats = paramFormats,
                                      .result_format = resultFormat});
}

int post_PQsendDescribePrepared(struct call *call, const char *stmt) {
    return post(call, (struct letter){.kind = LETTER_DESCRIBE_PREPARED, .name = stmt});
}
int post_PQsendDescribePortal(struct call *call, const char *portal) {
    return post(call, (struct letter){.kind = LETTER_DESCRIBE_PORTAL, .name = portal});
}
int post_PQsendClosePrepared(struct call *call, const char *stmt) {
    return post(call, (struct letter){.kind = LETTER_CLOSE_PREPARED, .name = stmt});
}
int post_PQsendClosePortal(struct call *call, const char *portal) {
    return post(call, (struct letter){.kind = LETTER_CLOSE_PORTAL, .name = portal});
}
int post_PQpipelineSync(struct call *call) {
    return post(call, (struct letter){.kind = LETTER_SYNC});
}
int post_PQsendPipelineSync(struct call *call) {
    return post(call, (struct letter){.kind = LETTER_SYNC_UNFLUSHED});
}
int post_PQsendFlushRequest(struct call *call) {
    return post(call, (struct letter){.kind = LETTER_FLUSH_REQUEST});
}
int post_PQsetSingleRowMode(struct call *call) {
    return post(call, (struct letter){.kind = LETTER_SINGLE_ROWS});
}
int post_PQsetChunkedRowsMode(struct call *call, int chunkSize) {
    return post(call, (struct letter){.kind = LETTER_CHUNKED_ROWS, .count = chunkSize});
}

const char *outbox_statement(const struct server *server, uint64_t number, const char *name) {
    return (!name || !name[0]) && server->state == SERVER_OPEN && server->parsed_by != number
               ? prepared_nobodys
               : prepared_foreign_name(name);
}

/* The name that a letter's statement has on the connection. */
static const char *name_of(const struct letter *letter, struct server *server, uint64_t number,
                           char ours[PREPARED_NAME]) {
    if (letter->kind != LETTER_QUERY_PREPARED && letter->kind != LETTER_DESCRIBE_PREPARED &&
        letter->kind != LETTER_CLOSE_PREPARED)
        return letter->name;
    if (!letter->statement.text)
        return outbox_statement(server, number, letter->name);
    const struct prepared *there = prepared_on(server, &letter->statement);
    if (!there)
        return prepared_nobodys;
    prepared_write_name(there->number, ours);
    if (letter->kind == LETTER_CLOSE_PREPARED)
        prepared_remove(&server->prepared, there);
    return ours;
}

static bool prepare(const struct letter *letter, struct server *server, const char *name) {
    if (letter->taken)
        return carried_send_taken(server, &letter->statement, letter->text, letter->count, letter->types);
    if (!server->libpq->PQsendPrepare(server->conn, name, letter->text, letter->count, letter->types))
        return false;
    struct prepared *there =
        letter->number ? prepared_put_on(server, letter->number, letter->text, letter->count, letter->types)
                       : NULL;
    if (there)
        there->unproven = true;
    return true;
}

bool letter_send(const struct letter *letter, struct server *server, uint64_t number) {
    const struct libpq *libpq = server->libpq;
    PGconn *conn = server->conn;
    char ours[PREPARED_NAME], instead[PREPARED_NAME + 32];
    const char *name = name_of(letter, server, number, ours), *text = letter->text;
    if (letter->drops) {
        carried_write_drop(server, &letter->statement, instead, sizeof instead);
        text = instead;
    } else if (letter->empties) {
        prepared_leave(server);
    }
    if (text && !letter->number)
        server_parses(server, number);
    switch (letter->kind) {
    case LETTER_QUERY:
        return libpq->PQsendQuery(conn, text);
    case LETTER_QUERY_PARAMS:
        return libpq->PQsendQueryParams(conn, text, letter->count, letter->types, letter->values,
                                        letter->lengths, letter->formats, letter->result_format);
    case LETTER_PREPARE:
        return prepare(letter, server, name);
    case LETTER_QUERY_PREPARED:
        if (letter->statement.text)
            return carried_send(server, &letter->statement, letter->settled, letter->count, letter->values,
                                letter->lengths, letter->formats, letter->result_format);
        return libpq->PQsendQueryPrepared(conn, name, letter->count, letter->values, letter->lengths,
                                          letter->formats, letter->result_format);
    case LETTER_DESCRIBE_PREPARED:
        return libpq->PQsendDescribePrepared(conn, name);
    case LETTER_DESCRIBE_PORTAL:
        return libpq->PQsendDescribePortal(conn, name);
    case LETTER_CLOSE_PREPARED:
        return libpq->PQsendClosePrepared(conn, name);
    case LETTER_CLOSE_PORTAL:
        return libpq->PQsendClosePortal(conn, name);
    case LETTER_SYNC:
        return libpq->PQpipelineSync(conn);
    case LETTER_SYNC_UNFLUSHED:
        return libpq->PQsendPipelineSync(conn);
    case LETTER_FLUSH_REQUEST:
        return libpq->PQsendFlushRequest(conn);
    case LETTER_SINGLE_ROWS:
        return libpq->PQsetSingleRowMode(conn);
    case LETTER_CHUNKED_ROWS:
        return libpq->PQsetChunkedRowsMode(conn, letter->count);
    }
    return false;
}

bool outbox_send(const struct outbox *outbox, struct server *server, uint64_t number) {
    const struct libpq *libpq = server->libpq;
    if (libpq->PQsetnonblocking(server->conn, 1) != 0 || (outbox->pipeline && !server_enter_pipeline(server)))
        return false;
    for (const struct letter *letter = outbox->first; letter; letter = letter->next)
        if (!letter_send(letter, server, number))
            return false;
    return libpq->PQflush(server->conn) >= 0;
}

void outbox_clear(struct outbox *outbox) {
    while (outbox->first) {
        struct letter *letter = outbox->first;
        outbox->first = letter->next;
        free(letter);
    }
    *outbox = (struct outbox){NULL, NULL, false, 0};
}
