/* pipeline.c: entering and leaving pipeline mode needs no server. */
#include "pipeline.h"

#include "delivery.h"
#include "server.h"

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

bool pipeline_is_at_rest(struct handle *handle, struct server *server) {
    const struct libpq *libpq = handle->libpq;
    PGpipelineStatus status = libpq->PQpipelineStatus(server->conn);
    if (__builtin_expect(status == PQ_PIPELINE_OFF, 1))
        return true;
    /* Without a sync after it, what was sent is in a transaction of the server's, which libpq does not tell.
     */
    if (status != PQ_PIPELINE_ON || handle->unsynced || server->state != SERVER_OPEN ||
        atomic_load_explicit(&handle->pin, memory_order_relaxed) != PIN_NONE ||
        !libpq->PQexitPipelineMode(server->conn))
        return false;
    handle->pipelined = true;
    return true;
}

bool pipeline_is_on(const struct handle *handle, const struct server *server) {
    return handle->pipelined || handle->libpq->PQpipelineStatus(server->conn) != PQ_PIPELINE_OFF;
}
