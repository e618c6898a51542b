/*
 * script_node.c: Node's pool. An asynchronous connect runs on a thread of libuv's, far from the JavaScript
 * that asked for it, and all that can be said is that. On the thread that runs JavaScript the stack stays
 * native: V8 gives its own only through handles and scopes of C++ whose layout it does not promise.
 */
#include "script_language.h"

struct node {
    void *(*isolate)(void);
};
_Static_assert(sizeof(struct node) <= SCRIPT_FOUND, "struct node fits");

static bool find(void *scope, void *into) {
    struct node *node = into;
    node->isolate = (void *(*)(void))script_symbol(scope, "_ZN2v87Isolate13TryGetCurrentEv");
    return node->isolate && script_symbol(scope, "uv_queue_work");
}

/* Threads that run JavaScript have entered an isolate. */
static bool is_running(const void *found) {
    const struct node *node = found;
    return !script_on_first_thread() && !node->isolate();
}

static void write_frames(const void *found, struct script_text *text) {
    (void)found;
    (void)text;
}

const struct script_language script_node = {
    LEDGER_LIBUV_POOL, "uv_queue_work", "libnode", find, is_running, write_frames,
};
