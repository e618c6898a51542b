/*
 * search.h: looks through a process's memory for words that are handles: does anything still point at one?
 *
 * What counts: writable memory of any kind, and pages that were written before they were made read-only,
 * stacks above their pointers, registers. What does not: the shim's own data and ledgers, the parts of stacks
 * that are in no frame any more, and chunks that the C library's malloc has back, where that is certain
 * (search_heap.h). A word counts at an address that is a multiple of eight, also with tags in its upper 16 or
 * lower 4 bits, shifted by one (a small integer of Ruby's), or in two digits of 30 bits (an integer of
 * Python's). A pointer that was encrypted or compressed is not recognised.
 *
 * Handles come from an address range where nothing is mapped, so a hit is a pointer and not chance. The
 * process may be this one or another; only pages that are in memory or swapped out are read, never through a
 * pointer: what is unmapped meanwhile is an error of a system call. No malloc, no lock, no handler.
 */
#ifndef PQONE_SEARCH_H
#define PQONE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SEARCH_GRAIN = 16, SEARCH_THREADS = 512, SEARCH_GAPS = 64, SEARCH_HITS = 65536 };

struct search_span {
    uint64_t begin, end;
};

/* A thread whose stack pointer is known. `block` is where its thread pointer points: the end of a stack that
 * the C library made. 0: not known. */
struct search_thread {
    uint64_t stack, block;
};

/* A hit in the heap, judged at the end. */
struct search_hit {
    uint64_t at;
    uint32_t place;
};

struct search {
    pid_t pid;
    uint64_t range, range_size; /* of handles */
    bool is_quiet;              /* nothing else runs in it: what is read at two times fits together */
    int64_t deadline;           /* CLOCK_MONOTONIC, nanoseconds */
    int64_t work_deadline;      /* of this thread's processor time */
    struct search_thread threads[SEARCH_THREADS];
    size_t thread_count;
    struct search_span gaps[SEARCH_GAPS]; /* what is not looked at */
    size_t gap_count;
    struct search_span heap, libc; /* the main arena's memory; the C library's writable data */
    uint32_t thread_id_offset;     /* of the thread id behind `block`; 0: not known */
    int memory;                    /* descriptor of its mem file, or -1 */
    struct search_work *work;
    size_t hit_count;
};

/* Makes ready to look through process `pid` for handles in that range, for at most `patience` nanoseconds of
 * work (and four times that by the clock). False: `why` says what is in the way. */
bool search_begin(struct search *search, pid_t pid, uint64_t range, uint64_t range_size, int64_t patience,
                  char *why, size_t size);
void search_end(struct search *search);

/* A handle that is looked for. */
void search_want(struct search *search, uint64_t address);

/* Before search_run(): memory not to look at; a thread's stack; the content of a register. */
void search_leave_out(struct search *search, uint64_t begin, uint64_t end);
void search_add_thread(struct search *search, uint64_t stack, uint64_t block);
void search_word(struct search *search, uint64_t word);

/* False, with `why`: memory could not be read, or the time was over. May be called twice, to be sure in a
 * process that goes on: what was found once counts as found. */
bool search_run(struct search *search, char *why, size_t size);

/* Was anything found that points at this handle? */
bool search_found(const struct search *search, uint64_t address);

/* For search_heap.c: reads memory of the process; true if all of it could be read, and in time. */
bool search_read(const struct search *search, uint64_t at, void *into, size_t size);

#endif
