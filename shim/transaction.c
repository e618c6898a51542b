/* transaction.c: reads command tags and first keywords for whether a transaction wrote. */
#define _GNU_SOURCE
#include "transaction.h"

#include <string.h>

#include "server.h"
#include "set.h"
#include "statement_scanner.h"
#include "watch/misuse.h"

/* Bits of handle.transaction. */
enum {
    OPEN = 1, /* the server said so after some call */
    WROTE = 2,
    SAVEPOINT = 4,    /* there is or was one */
    WROTE_BEFORE = 8, /* ... the first of them, so that no ROLLBACK TO takes it back */
    COPYING_OUT = 16, /* the next COPY tag is of that */
    SENT = 32,        /* a statement that writes was sent and its result did not come yet */
};

/* Of the tags that come with a number of rows; with none of them nothing was written. */
static const char *const row_tags[] = {"INSERT ", "UPDATE ", "DELETE ", "MERGE ", "COPY "};
/* The first words of those without. */
static const char *const other_tags[] = {"CREATE ", "ALTER ",  "DROP ",    "TRUNCATE", "COMMENT",
                                         "GRANT",   "REVOKE",  "REFRESH",  "NOTIFY",   "REINDEX",
                                         "CLUSTER", "IMPORT ", "SECURITY", "REASSIGN "};
static const char *const writing_functions[] = {"lo_creat",           "lo_create", "lo_import",
                                                "lo_import_with_oid", "lo_write",  "lo_truncate",
                                                "lo_truncate64",      "lo_unlink"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool begins(const char *text, const char *word) {
    return strncmp(text, word, strlen(word)) == 0;
}

/* What the statement that begins with this token leaves: 1 it writes, 0 it does not, -1 a transaction ends
 * here. */
static int lead_of(const struct token *token) {
    switch (token->word.id) {
    case WORD_INSERT:
    case WORD_UPDATE:
    case WORD_DELETE:
    case WORD_MERGE:
    case WORD_TRUNCATE:
    case WORD_CREATE:
    case WORD_ALTER:
    case WORD_DROP:
    case WORD_COMMENT:
    case WORD_GRANT:
    case WORD_REVOKE:
    case WORD_REFRESH:
    case WORD_NOTIFY:
    case WORD_REINDEX:
    case WORD_CLUSTER:
        return 1;
    case WORD_COMMIT:
    case WORD_END:
    case WORD_ROLLBACK:
    case WORD_ABORT:
        return -1;
    default:
        return 0;
    }
}

/* The rest of a statement: WITH and COPY tell only further on, and a temporary table goes with the session.
 */
static bool rest_writes(struct scanner *scanner, struct token lead, struct token *token) {
    bool writes = lead_of(&lead) > 0,
         decided = lead.word.id != WORD_WITH && lead.word.id != WORD_COPY && lead.word.id != WORD_CREATE;
    struct token previous = lead;
    for (int depth = 0;
         token->kind != TOKEN_SEMICOLON && token->kind != TOKEN_END && token->kind != TOKEN_UNREADABLE;
         previous = *token, *token = scanner_next(scanner)) {
        unsigned id = previous.kind == TOKEN_DOT ? WORD_NONE : token->word.id;
        depth += (token->kind == TOKEN_OPEN) - (token->kind == TOKEN_CLOSE);
        if (decided)
            continue;
        bool clause = previous.kind == TOKEN_OPEN || previous.kind == TOKEN_CLOSE;
        if (lead.word.id == WORD_WITH)
            writes |=
                clause && (id == WORD_INSERT || id == WORD_UPDATE || id == WORD_DELETE || id == WORD_MERGE);
        else if (lead.word.id == WORD_COPY && depth == 0 && (id == WORD_FROM || id == WORD_TO))
            decided = true, writes = id == WORD_FROM;
        else if (lead.word.id == WORD_CREATE && previous.text == lead.text)
            decided = true, writes = id != WORD_TEMP && id != WORD_TEMPORARY;
    }
    return writes;
}

bool transaction_after(bool writes, const char *sql) {
    struct scanner scanner = {.at = sql, .end = sql + strlen(sql)};
    struct token token = scanner_next(&scanner);
    while (token.kind != TOKEN_END && token.kind != TOKEN_UNREADABLE) {
        struct token lead = token;
        token = scanner_next(&scanner);
        bool to_savepoint = false;
        int is = lead.kind == TOKEN_WORD ? lead_of(&lead) : 0;
        if (lead.word.id == WORD_ROLLBACK)
            to_savepoint = token.word.id == WORD_TO;
        if (is < 0 && !to_savepoint)
            writes = false;
        if (lead.kind == TOKEN_WORD && rest_writes(&scanner, lead, &token))
            writes = true;
        while (token.kind != TOKEN_SEMICOLON && token.kind != TOKEN_END && token.kind != TOKEN_UNREADABLE)
            token = scanner_next(&scanner);
        if (token.kind == TOKEN_SEMICOLON)
            token = scanner_next(&scanner);
    }
    return writes;
}

/* "INSERT 0 5", "CREATE TABLE"; a SELECT with a tag and no rows to come is one INTO. */
static bool tag_writes(const char *tag, ExecStatusType status, const char *query) {
    for (size_t i = 0; i < COUNT(row_tags); i++)
        if (begins(tag, row_tags[i]))
            return strcmp(strrchr(tag, ' '), " 0") != 0;
    if (begins(tag, "CREATE ") && query)
        return transaction_after(false, query); /* temporary ones are no loss */
    for (size_t i = 0; i < COUNT(other_tags); i++)
        if (begins(tag, other_tags[i]))
            return true;
    return begins(tag, "SELECT ") && status == PGRES_COMMAND_OK;
}

/* Is there more in the text than its result's tag tells? */
static bool has_more(const char *query) {
    query += strspn(query, " \t\r\n");
    const char *semicolon = strchr(query, ';');
    return (semicolon && semicolon[1 + strspn(semicolon + 1, " \t\r\n;")] != '\0') ||
           strncasecmp(query, "with", 4) == 0;
}

static unsigned after_tag(unsigned bits, const char *tag, ExecStatusType status, const char *query) {
    bits &= ~(unsigned)SENT;
    if (begins(tag, "COPY ") && bits & COPYING_OUT)
        return bits & ~(unsigned)COPYING_OUT;
    if (strcmp(tag, "SAVEPOINT") == 0 && !(bits & SAVEPOINT))
        return bits | SAVEPOINT | (bits & WROTE ? WROTE_BEFORE : 0);
    if (strcmp(tag, "COMMIT") == 0 || (strcmp(tag, "ROLLBACK") == 0 && query && strcasestr(query, "chain")))
        return 0; /* AND CHAIN: the next one is open already */
    if (strcmp(tag, "ROLLBACK") == 0)
        return bits & WROTE_BEFORE ? bits : bits & ~(unsigned)WROTE;
    return tag_writes(tag, status, query) ? bits | WROTE : bits;
}

static unsigned after_result(unsigned bits, const struct handle *handle, const struct call *call) {
    ExecStatusType status = handle->libpq->PQresultStatus(call->result);
    const char *tag = handle->libpq->PQcmdStatus((PGresult *)(uintptr_t)call->result);
    switch (status) {
    case PGRES_COPY_IN:
        return bits | WROTE;
    case PGRES_COPY_OUT:
        return bits | COPYING_OUT;
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
        break;
    default:
        return bits;
    }
    if (call->query && has_more(call->query))
        return (bits & ~(unsigned)(WROTE | SENT)) |
               (transaction_after(bits & WROTE, call->query) ? WROTE : 0);
    return tag && tag[0] ? after_tag(bits, tag, status, call->query) : bits;
}

/* A COMMIT that is on its way will be carried out, whoever reads the answer. */
static unsigned after_sending(unsigned bits, const char *query) {
    bool wrote = bits & (WROTE | SENT), writes = transaction_after(wrote, query);
    if (wrote && !writes)
        return 0;
    return writes ? bits | SENT : bits;
}

void transaction_goes_on(struct handle *handle, const struct call *call, PGTransactionStatusType status) {
    unsigned bits = atomic_load_explicit(&handle->transaction, memory_order_relaxed);
    if (call->result)
        bits = after_result(bits, handle, call);
    else if (call->query && status == PQTRANS_ACTIVE && strcmp(call->function, "PQsendPrepare") != 0)
        bits = after_sending(bits, call->query);
    else if (call->function[0] == 'l')
        for (size_t i = 0; i < COUNT(writing_functions); i++)
            if (strcmp(call->function, writing_functions[i]) == 0)
                bits |= WROTE;
    if (status == PQTRANS_INTRANS)
        bits |= OPEN;
    atomic_store_explicit(&handle->transaction, bits, memory_order_relaxed);
}

void transaction_finished(const struct handle *handle, const struct server *server, void *caller) {
    PGTransactionStatusType status = handle->libpq->PQtransactionStatus(server->conn);
    unsigned bits = atomic_load_explicit(&handle->transaction, memory_order_relaxed);
    enum misuse kind = bits & (WROTE | SENT) ? MISUSE_UNCOMMITTED : MISUSE_UNCOMMITTED_READ;
    if (status == PQTRANS_INERROR)
        kind = MISUSE_UNCOMMITTED_FAILED;
    else if (status != PQTRANS_INTRANS && !(status == PQTRANS_ACTIVE && bits & OPEN))
        return;
    const struct misused what = handle_misused(handle, "PQfinish");
    misuse_happened(kind, &what, caller);
}
