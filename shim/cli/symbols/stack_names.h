/* stack_names.h: a name for each of several stacks that tells it from the others. */
#ifndef PQONE_STACK_NAMES_H
#define PQONE_STACK_NAMES_H

#include "stack.h"

/*
 * The frame that a report names and, where other stacks have the same one, the callers that make the
 * difference: "db.c:6 (db_open) < users.c:20 (find_user)", with " < … < " where frames between them are the
 * same in all. Two that read the same have the same name. `names` gets `count` texts, to be freed. False: no
 * memory, and `names` holds none.
 */
bool stack_names(const struct stack *const *stacks, size_t count, char **names);

/* What such a name of a stack adds to its first frame, "" if that says it all. */
const char *stack_name_callers(const char *name, const struct stack *stack);

#endif
