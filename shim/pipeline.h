/* pipeline.h: pipeline mode of a handle that holds no connection; its next lease enters it (call.c). */
#ifndef PQONE_PIPELINE_H
#define PQONE_PIPELINE_H

#include "handle.h"

/* PQenterPipelineMode, PQexitPipelineMode and PQpipelineStatus, as libpq answers them. */
int pipeline_enter(struct handle *handle);
int pipeline_exit(struct handle *handle);
PGpipelineStatus pipeline_status(const struct handle *handle);

/* With no exchange under way: is the connection out of pipeline mode? One that its handle can give back
 * leaves it, and the handle alone is in the mode. */
bool pipeline_is_at_rest(struct handle *handle, struct server *server);

/* Is the handle in pipeline mode, also where the connection only will be with its next call? */
bool pipeline_is_on(const struct handle *handle, const struct server *server);

#endif
