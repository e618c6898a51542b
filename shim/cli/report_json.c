/* report_json.c: what happened and what was judged, as one JSON document; the form is documented in pqone.1.
 */
#include "report_json.h"

#include <jansson.h>

#include "summary.h"

bool report_json(FILE *out, const struct report *report) {
    json_t *root = json_object();
    json_t *processes = summary_json(report->list->ledgers, report->list->count, report->symbols);
    json_object_set_new(root, "pqone_report", json_integer(REPORT_JSON_VERSION));
    bool good = json_object_set_new(root, "processes", processes) == 0;
    good = good && json_dumpf(root, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    json_decref(root);
    return good;
}
