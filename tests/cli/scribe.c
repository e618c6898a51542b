/*
 * scribe.c: a program that leaves a ledger and log lines as the shim would, with itself as the module, so
 * that tests of the launcher need neither libpq nor a server.
 *
 * scribe WORD...: ledger (write one), log (a text line), json (a JSON line), hostile (things that are no
 * message), then one of exit, leave (_exit), kill, wait (for a signal), or exec and a command.
 */
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../unit/ledger_sample.h"

static char ledger_name[128];

static int note_build_id(struct dl_phdr_info *object, size_t size, void *into) {
    (void)size;
    struct ledger_module *module = into;
    module->base = object->dlpi_addr;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_NOTE)
            continue;
        const char *at = (const char *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        const char *end = at + object->dlpi_phdr[i].p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            const ElfW(Nhdr) *note = (const void *)at;
            const char *name = at + sizeof *note, *bytes = name + ((note->n_namesz + 3u) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && memcmp(name, "GNU", 4) == 0 &&
                note->n_descsz <= sizeof module->build_id) {
                module->build_id_length = note->n_descsz;
                memcpy(module->build_id, bytes, note->n_descsz);
            }
            at = bytes + ((note->n_descsz + 3u) & ~3u);
        }
    }
    return 1; /* the first object is the program, and the only one that is wanted */
}

static unsigned long long start_time(void) {
    char text[1024];
    int file = open("/proc/self/stat", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    char *field = strrchr(text, ')') + 2;
    for (int number = 3; number < 22; number++)
        field = strchr(field, ' ') + 1;
    return strtoull(field, NULL, 10);
}

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * SAMPLE_SECOND + time.tv_nsec;
}

/* The frame of whoever called this, as the shim would note it. */
__attribute__((noinline)) static uint64_t frame_of_caller(const struct ledger_module *module) {
    return LEDGER_FRAME(0, (uint64_t)__builtin_return_address(0) - 1 - module->base);
}

__attribute__((noinline)) static void route_products(struct ledger_header *header,
                                                     const struct ledger_module *module) {
    struct ledger_site *site = sample_site(header, "noted+0x1 (scribe)");
    site->frames[0] = frame_of_caller(module); /* LINE-OF-PRODUCTS */
    site->opened = 3;
    site->duplicates = 2;
}

static void write_ledger(void) {
    struct ledger_header *header = sample_ledger(getpid());
    const char *directory = getenv("PQONE_LEDGER_DIR"), *run = getenv("PQONE_RUN");
    if (!header || !directory || !run)
        abort();
    char self[256] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        abort();
    struct ledger_module *module = sample_module(header, self);
    dl_iterate_phdr(note_build_id, module);
    struct stat status;
    if (stat(self, &status) != 0)
        abort();
    module->inode = status.st_ino;
    route_products(header, module);
    sample_target(header, "app@db.local:5432/shop")->opened = 3;
    header->process_start = start_time();
    header->process_state = LEDGER_RUNNING;
    header->closed_monotonic = 0;
    header->opened_monotonic = now(CLOCK_MONOTONIC);
    header->opened_realtime = now(CLOCK_REALTIME);
    header->counters.handles_opened = 3;
    header->counters.handles_alive_peak = 2;
    header->counters.busy_peak = 1;
    header->counters.duplicates = 2;
    snprintf(header->run, sizeof header->run, "%s", run);
    snprintf(header->program, sizeof header->program, "%s", self);
    struct ledger_handle *handle = sample_handle(header, 0, 0);
    handle->opened_monotonic = header->opened_monotonic;
    handle->last_used_monotonic = header->opened_monotonic;
    int file = -1;
    /* An image before an exec had the same pid and start time. */
    for (int number = 0; file < 0 && number < 3; number++) {
        char path[512];
        snprintf(ledger_name, sizeof ledger_name, "%d-%llu-%d" LEDGER_SUFFIX, getpid(),
                 (unsigned long long)header->process_start, number);
        snprintf(path, sizeof path, "%s/%s", directory, ledger_name);
        file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    }
    if (file < 0 || write(file, header, header->file_size) != (ssize_t)header->file_size)
        abort();
    close(file);
    free(header);
}

static void send_bytes(const void *bytes, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", getenv("PQONE_LEDGER_DIR"),
             getenv("PQONE_RUN"));
    int sender = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (sendto(sender, bytes, length, 0, (struct sockaddr *)&address, sizeof address) < 0)
        perror("scribe: sendto");
    close(sender);
}

static void send_line(const char *line) {
    char text[1024];
    int length = snprintf(text, sizeof text, "%d %s\n%s", getpid(), ledger_name, line);
    send_bytes(text, (size_t)length);
}

static void send_hostile(void) {
    static const char *const messages[] = {"",
                                           "\n",
                                           "x",
                                           "12",
                                           "12 \n",
                                           "12 ../../etc/passwd\nx \0020\003",
                                           "99999999999 a\nb",
                                           "-1 a\nb",
                                           "1 a\nesc \033[31m \002\003 \00299999999999\003"};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
        send_bytes(messages[i], strlen(messages[i]));
}

int main(int count, char **words) {
    for (int i = 1; i < count; i++) {
        const char *word = words[i];
        if (strcmp(word, "ledger") == 0)
            write_ledger();
        else if (strcmp(word, "log") == 0)
            send_line("pqone[1] duplicate: opened at \0020\003; again at \0027\003");
        else if (strcmp(word, "json") == 0)
            send_line("{\"a\":\"at \0020\003\",\"b\":\"at \\u00020\\u0003\"}");
        else if (strcmp(word, "hostile") == 0)
            send_hostile();
        else if (strcmp(word, "leave") == 0)
            _exit(0);
        else if (strcmp(word, "kill") == 0)
            raise(SIGKILL);
        else if (strcmp(word, "wait") == 0)
            pause();
        else if (strcmp(word, "exec") == 0)
            return execvp(words[i + 1], &words[i + 1]);
        else if (strcmp(word, "exit") != 0)
            return 99;
    }
    return 0;
}
