/* carried_session.c: what becomes of a handle's prepared statements when something else is said than their
 * names in the API: SQL, answers, resets. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "carried.h"
#include "lease.h"
#include "pipeline.h"
#include "settings.h"
#include "statement_scanner.h"

static bool is_word(const struct token *token, const char *word) {
    return token->kind == TOKEN_WORD && token->length == strlen(word) &&
           strncasecmp(token->text, word, token->length) == 0;
}

static bool ends(const struct token *token) {
    return token->kind == TOKEN_END || token->kind == TOKEN_SEMICOLON;
}

/* An identifier as the server would store it; false where that takes more than a look. */
static bool read_name(const struct token *token, char name[64]) {
    bool quoted = token->kind == TOKEN_QUOTED;
    size_t length = token->length - (quoted ? 2 : 0);
    const char *text = token->text + quoted;
    if ((quoted ? token->text[0] != '"' : token->kind != TOKEN_WORD) || length == 0 || length > 63 ||
        memchr(text, '"', length))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!quoted && (unsigned char)text[i] > 127)
            return false;
        name[i] = (char)(!quoted && text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20 : text[i]);
    }
    name[length] = '\0';
    return true;
}

bool carried_drops(struct call *call, struct handle *handle, const char *text) {
    struct scanner scanner = {.at = text, .end = text + strlen(text), .backslash_escapes = false};
    struct token token = scanner_next(&scanner), after = scanner_peek(&scanner);
    char name[64];
    if (!is_word(&token, "deallocate") || handle->natural || settings()->mode != MODE_SHARE ||
        !handle->set->target || handle->set->target->replication)
        return false;
    token = scanner_next(&scanner);
    after = scanner_peek(&scanner);
    if (is_word(&token, "prepare") && !ends(&after))
        token = scanner_next(&scanner);
    while ((after = scanner_next(&scanner)).kind == TOKEN_SEMICOLON)
        ;
    if (after.kind != TOKEN_END)
        return false;
    if (is_word(&token, "all")) {
        call->drops = DROPS_ALL;
        return true;
    }
    if (!read_name(&token, name))
        return false;
    const struct prepared *one = prepared_named(handle->statements, name);
    call->dropped = one ? one->number : 0;
    call->drops = one ? DROPS_ONE : DROPS_NONE;
    return true;
}

void carried_write_drop(struct server *server, const struct prepared *one, char *text, size_t size) {
    struct prepared *there = prepared_on(server, one);
    char name[PREPARED_NAME];
    if (there) {
        prepared_write_name(there->number, name);
        snprintf(text, size, "DEALLOCATE \"%s\"", name);
        prepared_remove(&server->prepared, there);
    } else {
        snprintf(text, size, "DEALLOCATE ALL");
        prepared_leave(server);
    }
}

/* The command is to have its own tag, so that there has to be one to drop. */
static bool have_one(struct handle *handle, struct server *server, char name[PREPARED_NAME]) {
    struct libpq *libpq = handle->libpq;
    prepared_write_name(prepared_next(), name);
    carried_be_quiet(server);
    PGresult *result = libpq->PQprepare(server->conn, name, "SELECT 1", 0, NULL);
    bool had = libpq->PQresultStatus(result) == PGRES_COMMAND_OK;
    libpq->PQclear(result);
    server_dress(server, handle);
    return had;
}

void carried_drop(struct call *call, struct handle *handle, struct server *server) {
    PGTransactionStatusType status = handle->libpq->PQtransactionStatus(server->conn);
    bool pipeline = pipeline_is_on(handle, server);
    struct prepared *one = handle->statements;
    if (status == PQTRANS_INERROR || (status == PQTRANS_ACTIVE && !pipeline))
        return; /* it is refused */
    if (call->drops == DROPS_ALL) {
        prepared_clear(&handle->statements);
        prepared_leave(server);
        return;
    }
    while (one && one->number != call->dropped)
        one = one->next;
    if (!one)
        return;
    char name[PREPARED_NAME];
    if (!pipeline && !prepared_on(server, one) && have_one(handle, server, name))
        snprintf(call->instead, sizeof call->instead, "DEALLOCATE \"%s\"", name);
    else
        carried_write_drop(server, one, call->instead, sizeof call->instead);
    prepared_remove(&handle->statements, one);
    call->text = call->instead;
}

static void run(struct server *server, const char *sql) {
    server->libpq->PQclear(server->libpq->PQexec(server->conn, sql));
}

/* Under its true name. One that the server refuses by now is gone; it must not take the transaction along,
 * nor leave locks in it: a statement outlives what is rolled back, they do not. */
static void prepare_truly(struct server *server, const struct prepared *one, bool in_transaction) {
    struct libpq *libpq = server->libpq;
    bool guarded = in_transaction && one->name[0]; /* the unnamed one would not outlive what guards it */
    if (guarded)
        run(server, "SAVEPOINT pqone");
    PGresult *result = libpq->PQprepare(server->conn, one->name, one->text, one->count, one->types);
    if (guarded) {
        run(server, "ROLLBACK TO SAVEPOINT pqone");
        run(server, "RELEASE SAVEPOINT pqone");
    }
    libpq->PQclear(result);
}

static bool may_ask(const struct handle *handle, const struct server *server) {
    PGTransactionStatusType status = handle->libpq->PQtransactionStatus(server->conn);
    return (status == PQTRANS_IDLE || status == PQTRANS_INTRANS) && !pipeline_is_on(handle, server);
}

/* What others prepared there is no business of the handle's, which by now has statements of its own there. */
static void hide_ours(struct handle *handle, struct server *server) {
    if (!server->prepared || handle->statements || !may_ask(handle, server))
        return;
    carried_be_quiet(server);
    while (server->prepared) {
        char text[PREPARED_NAME + 32];
        carried_write_drop(server, server->prepared, text, sizeof text);
        run(server, text);
    }
    server_dress(server, handle);
}

/* `all`: it may take an exchange to drop what others prepared there. */
static void become_natural(struct handle *handle, struct server *server, bool all) {
    PGTransactionStatusType status = handle->libpq->PQtransactionStatus(server->conn);
    handle->natural = true;
    if (handle->taint == TAINT_UNTOUCHED)
        lease_pin(handle, server, PIN_PREPARED, NULL);
    if (!may_ask(handle, server) || (!handle->statements && !(all && server->prepared)))
        return;
    for (struct prepared *one = handle->statements, *next; one; one = next) {
        const struct prepared *there = prepared_on(server, one);
        next = one->next;
        if (there && there->unproven) /* it may not exist */
            prepared_remove(&handle->statements, one);
    }
    carried_be_quiet(server);
    if (server->prepared)
        run(server, "DEALLOCATE ALL");
    prepared_leave(server);
    for (const struct prepared *one = handle->statements; one; one = one->next)
        if (one->name[0])
            prepare_truly(server, one, status == PQTRANS_INTRANS);
    const struct prepared *unnamed = prepared_named(handle->statements, "");
    if (unnamed) {
        prepare_truly(server, unnamed, false);
        server->parsed_by = atomic_load(&handle->number);
    }
    prepared_clear(&handle->statements);
    server_dress(server, handle);
}

void carried_surrender(struct handle *handle, struct server *server) {
    become_natural(handle, server, false);
}

static void prove(struct handle *handle, struct server *server) {
    for (struct prepared *one = handle->statements; one; one = one->next)
        one->unproven = false;
    for (struct prepared *one = server->prepared; one; one = one->next)
        one->unproven = false;
    handle->unproven = false;
}

static void remove_unproven(struct prepared **list) {
    struct prepared *one = *list, *next;
    for (; one; one = next) {
        next = one->next;
        if (one->unproven)
            prepared_remove(list, one);
    }
}

void carried_never_sent(struct handle *handle) {
    if (handle->unproven)
        remove_unproven(&handle->statements);
    handle->unproven = false;
}

/* From here on its connection alone knows what is there: the handle keeps it. What is on the connection's
 * list stays unproven there. */
void carried_doubt(struct handle *handle, struct server *server) {
    for (struct prepared *one = handle->statements; one; one = one->next)
        one->unproven = false;
    handle->unproven = false;
    lease_pin(handle, server, PIN_PREPARED, NULL);
    handle->taint = TAINT_UNKNOWN; /* which text is behind a name is not known for certain */
}

void carried_answered(struct handle *handle, struct server *server, const PGresult *result) {
    const struct libpq *libpq = handle->libpq;
    ExecStatusType status = libpq->PQresultStatus(result);
    bool failed = status == PGRES_FATAL_ERROR || status == PGRES_PIPELINE_ABORTED;
    if (!result)
        return;
    if (libpq->PQpipelineStatus(server->conn) != PQ_PIPELINE_OFF) {
        if (failed && server->parses_unproven)
            server->parsed_by = 0; /* what was sent behind it was not parsed */
        if (failed && handle->unproven)
            carried_doubt(handle, server);
    } else if (handle->unproven && failed) {
        remove_unproven(&server->prepared);
        carried_never_sent(handle);
    } else if (handle->unproven && status == PGRES_COMMAND_OK) {
        prove(handle, server);
    }
}

void carried_pipeline_over(struct handle *handle, struct server *server) {
    server->parses_unproven = false;
    if (handle->unproven)
        prove(handle, server);
}

bool carried_holds_literal(const struct handle *handle) {
    for (const struct prepared *one = handle->statements; one; one = one->next)
        if (one->literal)
            return true;
    return false;
}

void carried_mind(struct call *call, struct handle *handle, struct server *server,
                  const struct verdict *verdict) {
    bool reparses = verdict->reparses || call->pin == PIN_PREPARED || call->pin == PIN_FAST_PATH ||
                    ((verdict->rereads || verdict->reparses_locally || call->pin == PIN_ENCODING) &&
                     carried_holds_literal(handle));
    if (call->discard_all)
        call->discard_all = handle->libpq->PQtransactionStatus(server->conn) == PQTRANS_IDLE;
    else if (__builtin_expect(reparses, 0) && !handle->natural)
        become_natural(handle, server, !call->sends || verdict->shows_prepared);
    else if (verdict->shows_prepared)
        hide_ours(handle, server);
    if (__builtin_expect(handle->unproven, 0) &&
        handle->libpq->PQpipelineStatus(server->conn) == PQ_PIPELINE_OFF)
        carried_doubt(handle, server);
    handle->rereads |= verdict->rereads || call->pin == PIN_ENCODING;
    handle->reparses |= verdict->reparses_locally;
    if (call->drops != DROPS_NONE)
        carried_drop(call, handle, server);
    if (call->query && !call->named && handle->statements)
        carried_forget_unnamed(handle);
}

void carried_discarded(struct handle *handle, struct server *server) {
    prepared_clear(&handle->statements);
    handle->unproven = handle->reparses = handle->rereads = false;
    if (server)
        prepared_leave(server);
    if (handle->taint == TAINT_UNTOUCHED)
        handle->natural = false;
}
