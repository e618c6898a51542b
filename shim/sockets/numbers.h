/*
 * numbers.h: which descriptor numbers are the shim's.
 *
 * Programs close numbers they know nothing of (daemons close all, child processes too), and use them for
 * files of theirs. HIDDEN ones are our own: the exported close() and its sisters (guard.c) leave them open
 * and say EBADF, as if they were not there; dup2() onto one moves ours out of the way first. SHOWN ones are
 * PQsocket's: the program may close them, and asks the kernel about them as if they were libpq's socket
 * (options.c). KEPT ones are libpq's own sockets, whose numbers the program never saw once it has seen a
 * shown one: whoever closes all but that one means to keep the connection. libpq itself closes them, and they
 * cannot be moved: dup2() onto one ends it, as it would end libpq's alone.
 *
 * A number that was closed past the guard (a raw system call, fclose) and is another file by now is
 * recognised by its inode: it is neither hidden nor shown. Only files without an inode of their own (epoll,
 * eventfd) cannot be told apart so.
 *
 * No locks. Looking is one load where nothing is hidden or shown, and fit for a signal handler and for the
 * child of vfork, where only memory is the parent's. A number's entry is changed by whoever has that number
 * open, and there is one of them at a time.
 */
#ifndef PQONE_NUMBERS_H
#define PQONE_NUMBERS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "process.h"

struct handle;
struct libpq;

extern _Atomic bool numbers_in_use; /* something was hidden or shown, ever; before that nothing is kept */

/* `place` is where our own code keeps the number: it is stored there, and changed there when the number is
 * moved. Returns the number, moved above those that programs use for select() if there is room; it is closed
 * on exec. Below zero it stays as it is. Keeps errno. */
int numbers_hide(int number, _Atomic int *place);

/* The number of a handle's descriptor. Once more for the same number with another handle replaces it. */
void numbers_show(int number, struct handle *handle);

/* The socket of a server connection that this copy of libpq made. numbers_let_go() before libpq is to close
 * it: a close() that came from libpq by way of somebody else's wrapper would not be known as libpq's. If
 * libpq uses it no more (`used`) and was kept from closing it so, it is closed now. -1 and others' files are
 * left alone. */
void numbers_keep(int number, const struct libpq *libpq);
void numbers_let_go(int number, bool used);

/* Ours no more, and left open. The caller knows that the number is still its own. */
void numbers_forget(int number);

/* Forgets the number and closes it, past the guard; not if the program closed it and it is another file by
 * now. Keeps errno. */
void numbers_close(int number);

bool numbers_is_hidden(int number);

/* Is it to stay open when the code at `caller` closes it? Hidden, or kept and the code is not libpq's. */
bool numbers_guards(int number, const void *caller);

/* The lowest number from `first` to `last` that is hidden or kept, or -1. */
int numbers_next_guarded(unsigned first, unsigned last);

/* False in the child of vfork, whose numbers are copies that nobody of us uses. */
bool numbers_are_here(void);

/* Takes ours away from a hidden number, which is about to become a file of the program's: the old number is
 * still open, and nobody's. False: there is no number left to move it to. In the child of vfork nothing is
 * done: the number is the child's own, and the place is the parent's. */
bool numbers_move(int number);

/* The handle whose number it is, or NULL. It may be finished by the time it is looked at. */
struct handle *numbers_handle(int number);

/* The same for a copy that the program made of such a number, by looking through all of them. */
struct handle *numbers_handle_of_copy(int copy);

void numbers_fork(enum fork_side side);

#endif
