/*
 * child.h: the program as the launcher's child: started as it would have been without us, signals passed
 * on, its end told.
 */
#ifndef PQONE_CHILD_H
#define PQONE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int status; /* as waitpid has it, after child_wait */
    int error;  /* errno of fork or exec when child_start fails */
};

/* Closed standard descriptors would be handed to files that we open. Puts /dev/null there for us; the
 * program still finds them closed. First thing in main. */
void child_keep_standard_streams(void);

/* Starts the command with this process's environment. From then on this process holds none of the
 * program's descriptors but standard error, and receives signals only in child_wait. */
bool child_start(char **command, struct child *child);

/* Until the program ends. */
void child_wait(struct child *child);

/* Signals as they were before child_start; those that came meanwhile were the program's. */
void child_signals_back(void);

/* Ends this process as the program ended: returns its exit status, or dies of the same signal. */
int child_end_like(const struct child *child);

#endif
