/* thread.h: a thread of the shim's own: detached, deaf to signals, which are the program's, on a small stack.
 */
#ifndef PQONE_THREAD_H
#define PQONE_THREAD_H

#include <stdbool.h>

/* False: none can be had. */
bool thread_start(void *(*run)(void *), void *argument);

#endif
