/*
 * search_heap.h: tells which parts of the heap the C library's malloc has back.
 *
 * What was freed keeps most of its content, and a pointer in it is nobody's any more. Believed only when the
 * whole heap reads as glibc's: from the first chunk to the top one without a break, with the arena that names
 * that top in the C library's data. Else, and under any other malloc, all of it counts as in use.
 */
#ifndef PQONE_SEARCH_HEAP_H
#define PQONE_SEARCH_HEAP_H

#include "search.h"

/* Takes those of the hits in the heap (in the order of their addresses) out that lie in free chunks; returns
 * how many are left. The buffer is for its use. */
size_t search_heap_drop(const struct search *search, struct search_hit *hits, size_t count, void *buffer,
                        size_t size);

#endif
