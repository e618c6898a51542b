/*
 * numbers.h: which descriptor numbers are the shim's.
 *
 * Programs close numbers they know nothing of (daemons close all, child processes too), and use them for
 * files of theirs. HIDDEN ones are our own: the exported close() and its sisters leave them open and say
 * EBADF, as if they were not there; dup2() onto one moves ours out of the way first. SHOWN ones are
 * PQsocket's: the program may close them, and asks the kernel about them as if they were libpq's socket
 * (options.c).
 *
 * Looking is one load, from any thread or signal handler.
 */
#ifndef PQONE_NUMBERS_H
#define PQONE_NUMBERS_H

#include <stdbool.h>

struct handle;

/* `place` is where our own code keeps the number: it is changed there when the number is moved. Returns the
 * number, moved above those that programs use for select() if there is room; it is closed on exec. */
int numbers_hide(int number, _Atomic int *place);

/* The number of a handle's descriptor. */
void numbers_show(int number, struct handle *handle);

/* Ours no more, before it is closed with numbers_close(), which the guard lets through. */
void numbers_forget(int number);
int numbers_close(int number);

bool numbers_is_hidden(int number);

/* The handle whose number it is, or NULL. */
struct handle *numbers_handle(int number);

#endif
