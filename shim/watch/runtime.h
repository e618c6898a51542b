/*
 * runtime.h: is it a runtime's shutdown, and not the program, that calls PQfinish?
 *
 * Told by the functions on this thread's stack (runtime.def). Where script code is running, as in END blocks,
 * at_exit and atexit callbacks, the program itself does it, however late; not in a __del__ that Python calls
 * while it finalizes.
 */
#ifndef PQONE_RUNTIME_H
#define PQONE_RUNTIME_H

#include "ledger.h"

/* Whose shutdown this thread is in; LEDGER_NO_RUNTIME: the program goes on. LEDGER_AT_EXIT covers the
 * program's own atexit functions too: the stack tells them from static destructors. Costs a backtrace.
 * Thread-safe; no lock may be held; keeps errno. */
enum ledger_runtime runtime_shutting_down(void);

#endif
