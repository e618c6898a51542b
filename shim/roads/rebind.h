/*
 * rebind.h: modules loaded with RTLD_DEEPBIND, which the loader binds to their own libpq past the shim.
 *
 * Their relocations are pointed to the shim's functions as soon as the program's next dlopen, dlsym or
 * connect shows that they are there; what stood in them tells which copy of libpq is theirs.
 */
#ifndef PQONE_REBIND_H
#define PQONE_REBIND_H

#include <link.h>
#include <stdbool.h>

/* Before a dlopen: what is loaded from here on is to be looked at; `deep`: bound with RTLD_DEEPBIND. */
void rebind_expect(bool deep);

/* Looks at what was loaded since, if anything is expected. Waits for a dlopen that is under way, as dlsym
 * itself does: not to be called where the program alone would not wait. */
void rebind_look(void);

/* After a census with several copies of libpq: every module gets the entrances of its own. Waits as above. */
void rebind_divide(void);

/* What a module was bound to before: true and its libpq's PQconnectdb, NULL if that is what the module's own
 * scope offers. */
bool rebind_known(const struct link_map *map, void **connect_function);

#endif
