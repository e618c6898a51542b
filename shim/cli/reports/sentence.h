/* sentence.h: a finding in words, for formats that have one line or one block of text for it. */
#ifndef PQONE_SENTENCE_H
#define PQONE_SENTENCE_H

#include <stdio.h>

#include "../verdicts/verdicts.h"
#include "reports.h"

/* How loud a finding is: it fails the check; it would, if asked; it is only said. */
enum loudness { LOUD_ERROR, LOUD_WARNING, LOUD_NOTE };
enum loudness finding_loudness(const struct finding *finding);

/* Is there nothing to do about it: suppressed, or known from the baseline? */
bool finding_is_silenced(const struct finding *finding);

/* Could pqone itself not do its work? `outcome` may be NULL. */
bool outcome_is_failure(const struct outcome *outcome);

/* The rule it breaks: "lost", "misuse/double-finish". Returns `into`. */
char *finding_rule(const struct finding *finding, char *into, size_t size);

/* Alone readable: how many, what, to which target, where, what to do. In the bytes of the ledger: a writer
 * escapes it. To be freed; NULL: no memory. */
char *finding_sentence(const struct finding *finding);

/* Does it tell a reader nothing? Noise, and beneath a script its interpreter's native frames, whether they
 * have names or not. */
bool frame_is_folded(const struct stack *stack, const struct frame *frame);

/* The finding's stacks, each with what it is of: a frame a line, those that tell nothing counted. */
void finding_stacks(FILE *out, const struct finding *finding, const char *indent);

/* "40 handles opened, peak 12 alive, peak 3 busy at once: 3 connections would have done. 2 leaked (1 lost),
 * 9 duplicates at 3 call sites." */
void totals_sentence(FILE *out, const struct totals *totals);

/* The same, with how the check ended behind it. To be freed; NULL: no memory. */
char *report_sentence(const struct report *report);

#endif
