/* pipeline.h: pipeline mode of a handle that holds no connection; its next lease enters it (call.c). */
#ifndef PQONE_PIPELINE_H
#define PQONE_PIPELINE_H

#include "handle.h"

/* PQenterPipelineMode, PQexitPipelineMode and PQpipelineStatus, as libpq answers them. */
int pipeline_enter(struct handle *handle);
int pipeline_exit(struct handle *handle);
PGpipelineStatus pipeline_status(const struct handle *handle);

#endif
