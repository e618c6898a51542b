/*
 * libpq_newer.h: libpq's header, and what libpq 16 to 18 have beyond the one this is built with.
 *
 * One build serves all versions, so the prototypes must be known even where the build's header is older.
 * With the header in view the compiler checks every wrapper of the table against libpq's own prototype.
 */
#ifndef PQONE_LIBPQ_NEWER_H
#define PQONE_LIBPQ_NEWER_H

#include <stdint.h>
#include <stdio.h>

#include <libpq-events.h>
#include <libpq-fe.h>

#ifndef LIBPQ_HAS_ASYNC_CANCEL /* 17 */
typedef struct pg_cancel_conn PGcancelConn;
#define CONNECTION_ALLOCATED ((ConnStatusType)14)
extern PGcancelConn *PQcancelCreate(PGconn *conn);
extern int PQcancelStart(PGcancelConn *cancelConn);
extern int PQcancelBlocking(PGcancelConn *cancelConn);
extern PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancelConn);
extern ConnStatusType PQcancelStatus(const PGcancelConn *cancelConn);
extern int PQcancelSocket(const PGcancelConn *cancelConn);
extern char *PQcancelErrorMessage(const PGcancelConn *cancelConn);
extern void PQcancelReset(PGcancelConn *cancelConn);
extern void PQcancelFinish(PGcancelConn *cancelConn);
extern int PQconnectionUsedGSSAPI(const PGconn *conn); /* 16 */
#endif

#ifndef LIBPQ_HAS_CHANGE_PASSWORD /* 17 */
extern PGresult *PQchangePassword(PGconn *conn, const char *user, const char *passwd);
#endif

#ifndef LIBPQ_HAS_CHUNK_MODE /* 17 */
extern int PQsetChunkedRowsMode(PGconn *conn, int chunkSize);
#endif

#ifndef LIBPQ_HAS_CLOSE_PREPARED /* 17 */
extern PGresult *PQclosePrepared(PGconn *conn, const char *stmt);
extern PGresult *PQclosePortal(PGconn *conn, const char *portal);
extern int PQsendClosePrepared(PGconn *conn, const char *stmt);
extern int PQsendClosePortal(PGconn *conn, const char *portal);
#endif

#ifndef LIBPQ_HAS_SEND_PIPELINE_SYNC /* 17 */
extern int PQsendPipelineSync(PGconn *conn);
#endif

#ifndef LIBPQ_HAS_FULL_PROTOCOL_VERSION /* 18 */
extern int PQfullProtocolVersion(const PGconn *conn);
#endif

#ifndef LIBPQ_HAS_PROMPT_OAUTH_DEVICE /* 18 */
typedef enum { PQAUTHDATA_PROMPT_OAUTH_DEVICE, PQAUTHDATA_OAUTH_BEARER_TOKEN } PGauthData;
extern int PQdefaultAuthDataHook(PGauthData type, PGconn *conn, void *data);
#endif

#endif
