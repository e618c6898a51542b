/* script_language.h: what one interpreter's file gives to script.c. Not for anybody else. */
#ifndef PQONE_SCRIPT_LANGUAGE_H
#define PQONE_SCRIPT_LANGUAGE_H

#include "script.h"

/* Layouts are written down for machines of 64 bits whose low byte is first; elsewhere stacks stay native. */
#define SCRIPT_LAYOUTS_HOLD (sizeof(void *) == 8 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)

/* Looks a function or variable of the interpreter up; NULL if there is none. `scope` is dlsym's handle. */
void *script_symbol(void *scope, const char *name);

/*
 * Each find() fills `found`, at most SCRIPT_FOUND bytes, of zeros, with what the interpreter exports; false
 * if something indispensable is missing or the version unknown. The others get that back, on any thread.
 * is_running() asks for a script frame on this thread; write() adds all of them. Neither may block or throw.
 */
enum { SCRIPT_FOUND = 192 };
struct script_language {
    enum ledger_language language;
    const char *probe; /* an exported function that no other program has */
    const char *file;  /* begins the name of the library that holds it, where that is not the program */
    bool (*find)(void *scope, void *found);
    bool (*is_running)(const void *found);
    void (*write)(const void *found, struct script_text *text);
};

extern const struct script_language script_python, script_ruby, script_php, script_perl, script_node;

/* Adds a frame; file and function need no end and may hold anything. False: no room for more frames. */
bool script_add(struct script_text *text, const char *file, size_t file_length, long line,
                const char *function, size_t function_length);

/* For interpreters that live on the process's first thread alone. */
bool script_on_first_thread(void);

#endif
