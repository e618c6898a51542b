/*
 * claim.h: which process uses a server connection that two processes inherited.
 *
 * A page that parent and children share, a word per connection: 0 while nobody used it since the last
 * fork, else the pid of the process that did first. The others never write to it, and at exit do not
 * end its session.
 */
#ifndef PQONE_CLAIM_H
#define PQONE_CLAIM_H

#include <stdbool.h>

/* A place for a new connection, claimed by this process; -1 if there is none left, which means: not
 * shared with anybody, ever. */
int claim_take(void);
void claim_release(int place);

/* Makes the connection ours if nobody else has it. True if it is ours now. */
bool claim_try(int place);
bool claim_is_mine(int place);
int claim_holder(int place);

/* At exit: what is ours is nobody's. */
void claims_release(void);

/* Before a fork: what is ours is open to whoever uses it first. */
void claim_open(int place);

#endif
