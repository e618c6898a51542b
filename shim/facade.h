/*
 * facade.h: what the exported wrappers share. They hold no logic: they find the handle behind a pointer and
 * ask the engine, or pass the pointer on.
 */
#ifndef PQONE_FACADE_H
#define PQONE_FACADE_H

#include "call.h"
#include "handle.h"
#include "roads/real.h"

/* The address sanitizer would put a wrapper's struct call somewhere else than on the stack (call.h). */
#define EXPORT __attribute__((visibility("default"), no_sanitize_address))

/* The program's code (or libpq's own) that called the exported function. */
#define CALLER __builtin_return_address(0)

#endif
