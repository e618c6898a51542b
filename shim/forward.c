/*
 * forward.c: the exported functions that the table describes, one per row. The only macro machinery.
 *
 *   Every wrapper first asks whose pointer `conn` is. Not one of ours (a real PGconn, NULL, or a stale
 *   handle that handle_of() has made NULL): the caller's own libpq gets it as it is.
 *   READ     answer_NAME(handle, …)        STATE  keep_NAME(handle, …)
 *   QUERY    as RUN, with the statement    RUN    call_begin … libpq's NAME … call_end
 *   SEND, SENDOTHER, SYNC, LATER  call_begin_… libpq's NAME … call_end, or post_NAME(&call, …)
 *   HELD     RUN if a lease is held, else the row's last column        COPY  HELD with an error message
 *   OFFLINE  offline_begin … libpq's NAME … offline_end
 *   CUSTOM   nothing here: connect.c, cancel.c, callbacks.c, asynchronous.c, preparing.c
 *   Inside a row's arguments `conn` is the PGconn that the forwarded call gets; answers take the others.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "facade.h"
#include "manners.h"
#include "offline.h"
#include "outbox.h"

#define REST_(first, ...) __VA_OPT__(, ) __VA_ARGS__
#define REST(arguments) REST_ arguments

#define FORWARD_READ(pin, return_type, name, parameters, arguments, otherwise)                    \
    EXPORT return_type name parameters {                                                          \
        struct handle *handle = handle_of((const PGconn **)&conn, #name);                         \
        return handle ? answer_##name(handle REST(arguments)) : libpq_of(CALLER)->name arguments; \
    }

#define FORWARD_STATE(pin, return_type, name, parameters, arguments, otherwise)                 \
    EXPORT return_type name parameters {                                                        \
        struct handle *handle = handle_of((const PGconn **)&conn, #name);                       \
        return handle ? keep_##name(handle REST(arguments)) : libpq_of(CALLER)->name arguments; \
    }

#define FORWARD_BETWEEN(record, of_call, begin, end, return_type, name, parameters, arguments, otherwise) \
    EXPORT return_type name parameters {                                                                  \
        struct handle *handle = handle_of((const PGconn **)&conn, #name);                                 \
        if (!handle)                                                                                      \
            return libpq_of(CALLER)->name arguments;                                                      \
        struct record record;                                                                             \
        CALL_FROM(of_call, #name);                                                                        \
        if (!(conn = (begin)))                                                                            \
            return otherwise;                                                                             \
        return_type result = handle->libpq->name arguments;                                               \
        GAVE(result)(of_call, handle, GIVEN(result));                                                     \
        end(&record);                                                                                     \
        return result;                                                                                    \
    }

#define FORWARD_OR_POST(begin, return_type, name, parameters, arguments, otherwise) \
    EXPORT return_type name parameters {                                            \
        struct handle *handle = handle_of((const PGconn **)&conn, #name);           \
        if (!handle)                                                                \
            return libpq_of(CALLER)->name arguments;                                \
        struct call call;                                                           \
        CALL_FROM(&call, #name);                                                    \
        if (!(conn = (begin)))                                                      \
            return call.posted ? post_##name(&call REST(arguments)) : otherwise;    \
        return_type result = handle->libpq->name arguments;                         \
        call_end(&call);                                                            \
        return result;                                                              \
    }

/* A PGresult is noted before it is the program's. */
static inline void gave_else(struct call *call, const struct handle *handle, const PGresult *result) {
    (void)call;
    (void)handle;
    (void)result;
}
#define GAVE(result) _Generic((result), PGresult * : call_gave, default : gave_else)
#define GIVEN(result) _Generic((result), PGresult * : (result), default : NULL)

/* What is sent is call.text: DEALLOCATE drops a statement by another name than the program's. */
static inline PGconn *begin_query(struct call *call, struct handle *handle, enum pin_reason pin,
                                  const char **query) {
    PGconn *conn = call_begin(call, handle, pin, *query);
    *query = conn ? call->text : *query;
    return conn;
}
static inline PGconn *begin_send(struct call *call, struct handle *handle, enum pin_reason pin,
                                 const char **query) {
    PGconn *conn = call_begin_send(call, handle, pin, *query);
    *query = conn ? call->text : *query;
    return conn;
}

#define FORWARD_RUN(pin, ...) \
    FORWARD_BETWEEN(call, &call, call_begin(&call, handle, PIN_##pin, NULL), call_end, __VA_ARGS__)
#define FORWARD_QUERY(pin, ...) \
    FORWARD_BETWEEN(call, &call, begin_query(&call, handle, PIN_##pin, &query), call_end, __VA_ARGS__)
#define FORWARD_HELD(pin, ...) \
    FORWARD_BETWEEN(call, &call, call_begin_held(&call, handle), call_end, __VA_ARGS__)
#define FORWARD_COPY(pin, ...) \
    FORWARD_BETWEEN(call, &call, call_begin_copy(&call, handle), call_end, __VA_ARGS__)
#define FORWARD_OFFLINE(pin, ...) \
    FORWARD_BETWEEN(offline, &offline.call, offline_begin(&offline, handle), offline_end, __VA_ARGS__)
#define FORWARD_SEND(pin, ...) FORWARD_OR_POST(begin_send(&call, handle, PIN_##pin, &query), __VA_ARGS__)
#define FORWARD_SENDOTHER(pin, ...) \
    FORWARD_OR_POST(call_begin_send(&call, handle, PIN_##pin, NULL), __VA_ARGS__)
#define FORWARD_SYNC(pin, ...) FORWARD_OR_POST(call_begin_sync(&call, handle), __VA_ARGS__)
#define FORWARD_LATER(pin, ...) FORWARD_OR_POST(call_begin_later(&call, handle), __VA_ARGS__)
#define FORWARD_CUSTOM(pin, ...)

#define CALL(class, pin, return_type, name, parameters, arguments, otherwise) \
    FORWARD_##class(pin, return_type, name, parameters, arguments, otherwise)
#include "libpq_calls.def"
