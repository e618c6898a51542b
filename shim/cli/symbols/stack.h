/*
 * stack.h: a call site as a person reads it: script frames first, then native ones with what was inlined,
 * C++ names demangled, and the frames that say nothing (an interpreter's loop, the C library's start) marked
 * so that a printer can fold them.
 */
#ifndef PQONE_STACK_H
#define PQONE_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols.h"

struct frame {
    char *function; /* "" if unknown; demangled */
    char *file;     /* source path, "" if unknown */
    int line;       /* 0 if unknown */
    char *module;   /* path of the object, "" for a script frame or a bare address */
    uint64_t offset;
    bool script;     /* of an interpreter's program; those come first */
    bool inlined;    /* into the frame that follows */
    bool noise;      /* tells a reader nothing about his program */
    bool replaced;   /* the object on disk is another one now: no line can be had, module+offset it is */
    bool gone;       /* replaced, and by nothing: there is no file of that name any more */
    uint64_t within; /* offset in the function, of a native frame without a line */
};

struct stack {
    struct frame *frames; /* innermost first; count 0: nobody knows */
    size_t count;
    enum ledger_language language;
};

/* The stack of a site; one without frames for LEDGER_ROW_NONE. False: no memory. */
bool stack_of_site(struct symbols *symbols, const struct ledger *ledger, uint32_t site, struct stack *into);
void stack_release(struct stack *stack);

/* The frame that a report names. Of a script: its innermost frame outside of the directories where libraries
 * are installed. Else the innermost that is not noise. NULL if there is none at all. */
const struct frame *stack_first(const struct stack *stack);

/* "app/db.py:41 in get_conn", "products.c:41 (route_products)", "psyco_connect+0x1c (_psycopg.so)",
 * "libfoo.so+0x1234 (replaced on disk since)", "an unknown place" for NULL. Returns `into`. */
char *frame_text(const struct frame *frame, char *into, size_t size);

/* The same place in two runs, also after lines have moved: functions and file names of all frames that are no
 * noise, without lines and offsets. To be freed; NULL: no memory. */
char *stack_identity(const struct stack *stack);

#endif
