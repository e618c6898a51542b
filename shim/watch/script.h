/*
 * script.h: the script frames of this thread, where an interpreter runs in the process.
 *
 * A person wants app/db.py:41, not the interpreter's own functions. Interpreters are found at run time by
 * what they export; nothing is linked, and what is absent, of an unknown version or not safe to ask leaves
 * the stack native. Nothing here waits for an interpreter's lock, runs script code, or raises an error in it.
 */
#ifndef PQONE_SCRIPT_H
#define PQONE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recorder.h"

enum { SCRIPT_TEXT = 4096, SCRIPT_FRAMES_LEAST = 16 };

/* Frames as they are gathered: whole lines, innermost first, until either bound is reached. */
struct script_text {
    uint32_t length, frames, frames_wanted;
    char bytes[SCRIPT_TEXT];
};

/* Whatever is loaded changes this number: dlpi_adds and dlpi_subs in one. */
uint64_t script_loaded(void);

/* The script frames of this thread. False, and a few nanoseconds, when it runs no script; then `script` is
 * LEDGER_NATIVE. `script->text` points into `text`. `loaded` is script_loaded(); `native` are the return
 * addresses of the native stack, by which one of several interpreters is chosen. Thread-safe, keeps the
 * interpreter's error; signal handlers wait until it is done. No lock of ours may be held. */
bool script_stack(uint64_t loaded, void *const *native, int native_count, uint32_t frames_wanted,
                  struct script_text *text, struct script *script);

/* Is script code of some interpreter executing on this thread, below the call that we are in? Safe at any
 * time, also while the interpreter shuts down: what it frees then is nobody's call, and the answer is no. */
bool script_is_running(void);

/* "app/db.py:41 (get_conn)": the first frame that is not an installed library's, else the first of all.
 * False, and `name` untouched, if there is none. */
bool script_name(const struct script *script, char *name, size_t size);

#endif
