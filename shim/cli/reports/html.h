/* html.h: words of strangers in a page: as text of HTML, and as strings of JSON inside of it. */
#ifndef PQONE_HTML_H
#define PQONE_HTML_H

#include <stdio.h>

/* As text or as a quoted attribute's value. */
void html_text(FILE *out, const char *text);

/* printf, every %s of which would have to be safe: the result is escaped as a whole. */
void html_textf(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes, in which nothing can end a script element or a line of JavaScript. */
void html_json(FILE *out, const char *text);

#endif
