/*
 * search_self.h: at the exit of this process, which unfinished handles does it still point at?
 */
#ifndef PQONE_SEARCH_SELF_H
#define PQONE_SEARCH_SELF_H

/* Writes the verdict of every unfinished handle into its row, and what came of it into the header. To be
 * called by the thread that exits, before recorder_close(). Takes 2 seconds of work at most. Keeps errno. */
void search_at_exit(void);

#endif
