/* pipeline.c: entering and leaving pipeline mode needs no server. */
#include "pipeline.h"

#include "delivery.h"

static int refuse(struct handle *handle, const char *why) {
    handle_say(handle, why);
    atomic_store(&handle->speaks, true);
    return 0;
}

int pipeline_enter(struct handle *handle) {
    if (handle->pipelined)
        return 1;
    if (handle->posted)
        return refuse(handle, "cannot enter pipeline mode, connection not idle\n");
    if (handle->refused || handle->status != CONNECTION_OK)
        return 0;
    handle->pipelined = true;
    return 1;
}

int pipeline_exit(struct handle *handle) {
    if (handle->posted && delivery_in_pipeline(handle) && !delivery_exit_pipeline(handle))
        return refuse(handle, "cannot exit pipeline mode while busy\n");
    handle->pipelined = false;
    return 1;
}

PGpipelineStatus pipeline_status(const struct handle *handle) {
    return handle->pipelined ? PQ_PIPELINE_ON : PQ_PIPELINE_OFF;
}
