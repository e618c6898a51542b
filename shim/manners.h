/*
 * manners.h: the class STATE of the table: kept with the handle, given to each connection it is leased.
 */
#ifndef PQONE_MANNERS_H
#define PQONE_MANNERS_H

#include "handle.h"

int keep_PQsetnonblocking(struct handle *handle, int arg);
PGVerbosity keep_PQsetErrorVerbosity(struct handle *handle, PGVerbosity verbosity);
PGContextVisibility keep_PQsetErrorContextVisibility(struct handle *handle, PGContextVisibility context);
PQnoticeReceiver keep_PQsetNoticeReceiver(struct handle *handle, PQnoticeReceiver receiver, void *argument);
PQnoticeProcessor keep_PQsetNoticeProcessor(struct handle *handle, PQnoticeProcessor processor,
                                            void *argument);

#endif
