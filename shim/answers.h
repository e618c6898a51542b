/*
 * answers.h: the class READ of the table. While a handle holds a lease libpq answers; otherwise the handle
 * does, from what it was told of its server, and needs nobody's connection for it.
 *
 * Strings stay valid as libpq's would: until PQfinish, or until the value changes.
 */
#ifndef PQONE_ANSWERS_H
#define PQONE_ANSWERS_H

#include "handle.h"

char *answer_PQdb(struct handle *handle);
char *answer_PQuser(struct handle *handle);
char *answer_PQpass(struct handle *handle);
PQconninfoOption *answer_PQconninfo(struct handle *handle);
char *answer_PQhost(struct handle *handle);
char *answer_PQhostaddr(struct handle *handle);
char *answer_PQport(struct handle *handle);
char *answer_PQtty(struct handle *handle);
char *answer_PQoptions(struct handle *handle);
ConnStatusType answer_PQstatus(struct handle *handle);
PGTransactionStatusType answer_PQtransactionStatus(struct handle *handle);
const char *answer_PQparameterStatus(struct handle *handle, const char *name);
int answer_PQprotocolVersion(struct handle *handle);
int answer_PQfullProtocolVersion(struct handle *handle);
int answer_PQserverVersion(struct handle *handle);
char *answer_PQerrorMessage(struct handle *handle);
int answer_PQsocket(struct handle *handle);
int answer_PQconnectionNeedsPassword(struct handle *handle);
int answer_PQconnectionUsedPassword(struct handle *handle);
int answer_PQconnectionUsedGSSAPI(struct handle *handle);
int answer_PQsslInUse(struct handle *handle);
const char *answer_PQsslAttribute(struct handle *handle, const char *name);
const char *const *answer_PQsslAttributeNames(struct handle *handle);
int answer_PQgssEncInUse(struct handle *handle);
int answer_PQisnonblocking(struct handle *handle);
PGpipelineStatus answer_PQpipelineStatus(struct handle *handle);
int answer_PQclientEncoding(struct handle *handle);

#endif
