/* log_line.c: any datagram as a log line of the shim; libFuzzer's entry. */
#include <stdlib.h>
#include <string.h>

#include "cli/log_line.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t size) {
    struct log_names *names = log_names_new("/nonexistent");
    pid_t sender = 0;
    char *line = log_line(names, (const char *)bytes, size, &sender);
    if (line) {
        size_t length = strlen(line);
        /* One line, whatever came, and nothing in it that steers a terminal. */
        if (sender <= 0 || length < 2 || line[length - 1] != '\n')
            abort();
        for (size_t i = 0; i + 1 < length; i++)
            if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 0x7f)
                abort();
    }
    free(line);
    log_names_free(names);
    return 0;
}
