/*
 * outbox.h: what a handle has sent while it had no server connection, word for word, to be sent for it later.
 *
 * A letter is one call of the asynchronous half of libpq with copies of its arguments. Letters are written by
 * the handle's owner and sent, in their order, by whoever hands the handle a connection (delivery.h).
 */
#ifndef PQONE_OUTBOX_H
#define PQONE_OUTBOX_H

#include "call.h"
#include "prepared.h"

enum letter_kind {
    LETTER_QUERY,
    LETTER_QUERY_PARAMS,
    LETTER_PREPARE,
    LETTER_QUERY_PREPARED,
    LETTER_DESCRIBE_PREPARED,
    LETTER_DESCRIBE_PORTAL,
    LETTER_CLOSE_PREPARED,
    LETTER_CLOSE_PORTAL,
    LETTER_SYNC,
    LETTER_SYNC_UNFLUSHED, /* PQsendPipelineSync */
    LETTER_FLUSH_REQUEST,
    LETTER_SINGLE_ROWS,
    LETTER_CHUNKED_ROWS,
};

struct letter {
    struct letter *next;
    enum letter_kind kind;
    enum pin_reason pin; /* what its statement, or the call itself, will pin the handle for */
    int count;           /* of parameters; of rows in a chunk */
    int result_format;
    const char *text, *name;
    struct prepared statement; /* of the handle's: to execute, describe, close or drop; text NULL: none */
    uint64_t number;           /* of the one that it prepares; 0: under the program's name */
    bool settled;              /* not to be parsed again (carried.h) */
    bool taken;                /* the name to prepare is in use, which the server is to say */
    bool drops, empties;       /* the text drops `statement`, or all that the connection has */
    const Oid *types;
    const char *const *values;
    const int *lengths, *formats;
};

struct outbox {
    struct letter *first, *last;
    bool pipeline;    /* the program is in pipeline mode: that comes before all letters */
    unsigned queries; /* letters that will have results */
};

/* Sends all letters on a connection that was taken for the handle; non-blocking, no callback of the program's
 * runs. False: libpq refused one, its error message says why; what came before it has been sent. */
bool outbox_send(const struct outbox *outbox, struct server *server, uint64_t number);
bool letter_send(const struct letter *letter, struct server *server, uint64_t number);

void outbox_clear(struct outbox *outbox);

/* The name under which the handle's prepared statement goes on the connection. The unnamed one belongs to
 * whoever parsed last: for anybody else it is a name that nobody has. */
const char *outbox_statement(const struct server *server, uint64_t number, const char *name);

/* post_NAME() is what the table's class SEND and LATER call instead of libpq's NAME where call_begin_send()
 * said `posted`: writes the letter and posts it. Returns what libpq's function would. */
int post_PQsendQuery(struct call *call, const char *query);
int post_PQsendQueryParams(struct call *call, const char *query, int nParams, const Oid *paramTypes,
                           const char *const *paramValues, const int *paramLengths, const int *paramFormats,
                           int resultFormat);
int post_PQsendPrepare(struct call *call, const char *stmtName, const char *query, int nParams,
                       const Oid *paramTypes);
int post_PQsendQueryPrepared(struct call *call, const char *stmt, int nParams, const char *const *paramValues,
                             const int *paramLengths, const int *paramFormats, int resultFormat);
int post_PQsendDescribePrepared(struct call *call, const char *stmt);
int post_PQsendDescribePortal(struct call *call, const char *portal);
int post_PQsendClosePrepared(struct call *call, const char *stmt);
int post_PQsendClosePortal(struct call *call, const char *portal);
int post_PQpipelineSync(struct call *call);
int post_PQsendPipelineSync(struct call *call);
int post_PQsendFlushRequest(struct call *call);
int post_PQsetSingleRowMode(struct call *call);
int post_PQsetChunkedRowsMode(struct call *call, int chunkSize);

#endif
