/* manners.c: what the program sets on its PGconn, kept with the handle. */
#include "manners.h"

#include "lease.h"

int keep_PQsetnonblocking(struct handle *handle, int arg) {
    struct server *server = lease_held(handle);
    if (server && server->generation != process_generation)
        server = NULL; /* setting it may send, and it is the parent's to send */
    if (server && handle->libpq->PQsetnonblocking(server->conn, arg) != 0)
        return -1;
    if (!server && handle->status != CONNECTION_OK && !handle->opening)
        return -1;
    handle->manners.nonblocking = arg != 0;
    handle->restyle |= !server;
    return 0;
}

PGVerbosity keep_PQsetErrorVerbosity(struct handle *handle, PGVerbosity verbosity) {
    struct server *server = lease_held(handle);
    PGVerbosity before = handle->manners.verbosity;
    handle->manners.verbosity = verbosity;
    if (server)
        handle->libpq->PQsetErrorVerbosity(server->conn, verbosity);
    handle->restyle |= !server;
    return before;
}

PGContextVisibility keep_PQsetErrorContextVisibility(struct handle *handle, PGContextVisibility context) {
    struct server *server = lease_held(handle);
    PGContextVisibility before = handle->manners.context;
    handle->manners.context = context;
    if (server)
        handle->libpq->PQsetErrorContextVisibility(server->conn, context);
    handle->restyle |= !server;
    return before;
}

/* As in libpq, NULL changes nothing and only asks. */
PQnoticeReceiver keep_PQsetNoticeReceiver(struct handle *handle, PQnoticeReceiver receiver, void *argument) {
    struct server *server = lease_held(handle);
    PQnoticeReceiver before = handle->manners.receiver;
    if (!receiver)
        return before;
    handle->manners.receiver = receiver;
    handle->manners.receiver_argument = argument;
    if (server)
        handle->libpq->PQsetNoticeReceiver(server->conn, receiver, argument);
    handle->restyle |= !server;
    return before;
}

PQnoticeProcessor keep_PQsetNoticeProcessor(struct handle *handle, PQnoticeProcessor processor,
                                            void *argument) {
    struct server *server = lease_held(handle);
    PQnoticeProcessor before = handle->manners.processor;
    if (!processor)
        return before;
    handle->manners.processor = processor;
    handle->manners.processor_argument = argument;
    if (server)
        handle->libpq->PQsetNoticeProcessor(server->conn, processor, argument);
    handle->restyle |= !server;
    return before;
}
