/* launch.c: a program started with libpqone.so in it. */
#include "launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../watch/place.h"
#include "../watch/witness.h"
#include "commands.h"
#include "incarnation.h"
#include "library.h"
#include "say.h"
#include "trimmer.h"

/* Looks at a run whose processes keep ending. */
enum { LOOKS = 20 };

bool launch_is_off(const struct launch *launch) {
    return launch->options.settings.disable || launch->options.settings.mode == MODE_OFF;
}

static char *witness_path(const struct launch *launch, char *into, size_t size) {
    snprintf(into, size, "%s/%s" WITNESS_SUFFIX, launch->directory, launch->id);
    return into;
}

static bool make_witness(struct launch *launch, char *why, size_t size) {
    char path[PATH_MAX + 128];
    /* Our pid and start time are in the name: what lies there is nobody else's. */
    unlink(witness_path(launch, path, sizeof path));
    launch->witness = witness_make(path);
    if (!launch->witness)
        snprintf(why, size, "%s cannot be written: %s", launch->directory, strerror(errno));
    return launch->witness != NULL;
}

/* Whoever has it mapped keeps it. */
static void remove_witness(const struct launch *launch) {
    char path[PATH_MAX + 128];
    if (launch->witness)
        unlink(witness_path(launch, path, sizeof path));
}

/* The library names every other bad value; this one it never sees, because it is told our directory. */
static void say_bad_directory(const struct launch *launch) {
    const char *value = getenv("PQONE_LEDGER_DIR");
    struct settings unused;
    char why[512];
    settings_defaults(&unused);
    if (!launch->silent && value && *value && !setting_parse("LEDGER_DIR", value, &unused, why, sizeof why))
        say("%s; the default is used", why);
    settings_clear(&unused);
}

bool launch_find_place(struct launch *launch, char *why, size_t size) {
    snprintf(launch->id, sizeof launch->id, "%d-%llu", (int)getpid(),
             (unsigned long long)incarnation_start(getpid()));
    say_bad_directory(launch);
    if (!place_of_ledgers(launch->options.settings.ledger_dir, launch->directory, sizeof launch->directory,
                          why, size)) {
        launch->directory[0] = '\0';
        return false;
    }
    ledger_files_prune(launch->directory);
    if (launch->checks && !make_witness(launch, why, size)) {
        launch->directory[0] = '\0';
        return false;
    }
    char problem[PATH_MAX + 256];
    launch->relay =
        log_relay_open(launch->directory, launch->id, &launch->options.settings, problem, sizeof problem);
    if (!launch->relay && !launch->silent)
        say("log lines will not name source lines: %s", problem);
    return true;
}

static bool set_environment(const struct launch *launch) {
    char *preload = library_preload(launch->library, getenv("LD_PRELOAD"));
    char *asan = library_asan_options(getenv("ASAN_OPTIONS"));
    bool good = preload && asan && setenv("LD_PRELOAD", preload, 1) == 0 &&
                setenv("ASAN_OPTIONS", asan, 1) == 0 && setenv("PQONE_RUN", launch->id, 1) == 0;
    if (good && launch->directory[0])
        good = setenv("PQONE_LEDGER_DIR", launch->directory, 1) == 0;
    free(preload);
    free(asan);
    return good;
}

static int start_failed(struct launch *launch) {
    const char *command = launch->options.rest[0];
    int error = launch->child.error;
    say("%s: %s", command, strerror(error));
    if (launch->child.pid < 0)
        return EXIT_PQONE;
    return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* The order matters at the end: the socket is emptied and removed before signals can end us, and whatever is
 * reported comes after the last log line. */
int launch_run(struct launch *launch) {
    if (!set_environment(launch)) {
        log_relay_close(launch->relay);
        remove_witness(launch);
        say("out of memory");
        return EXIT_PQONE;
    }
    if (!child_start(launch->options.rest, &launch->child)) {
        log_relay_close(launch->relay);
        remove_witness(launch);
        return start_failed(launch);
    }
    /* libdw would fetch debug information over the network while the program waits for its log line. For the
     * report at the end nobody waits but its reader. */
    const char *set = getenv("DEBUGINFOD_URLS");
    char *servers = set ? strdup(set) : NULL;
    unsetenv("DEBUGINFOD_URLS");
    if (launch->relay && !log_relay_start(launch->relay) && !launch->silent)
        say("log lines are lost: no thread can be started to receive them");
    struct trimmer *trimmer = launch->directory[0] ? trimmer_start(launch->directory) : NULL;
    child_wait(&launch->child);
    launch->child_end = incarnation_clock();
    trimmer_stop(trimmer);
    log_relay_close(launch->relay);
    remove_witness(launch);
    child_signals_back();
    if (servers)
        setenv("DEBUGINFOD_URLS", servers, 1);
    free(servers);
    return 0;
}

/* The program's own process ended just now; when other dead processes ended, nobody knows. */
static void tell_end(const struct launch *launch, struct ledger_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        struct ledger *ledger = &list->ledgers[i];
        if (ledger->header.pid != launch->child.pid || ledger->header.process_state != LEDGER_RUNNING ||
            ledger->replaced)
            continue;
        if (!ledger->end)
            ledger->end = launch->child_end;
        ledger->left = WIFEXITED(launch->child.status);
        ledger->signal = WIFSIGNALED(launch->child.status) ? WTERMSIG(launch->child.status) : 0;
    }
}

void launch_ledgers(const struct launch *launch, struct ledger_list *into) {
    /* Who ends between one look and the other leaves a picture of no moment: then again. */
    for (int tries = 0; tries < LOOKS; tries++) {
        ledger_files_release(into);
        if (launch->checks)
            runners_find(launch->id, &into->runners);
        ledger_files_of_run(launch->directory, launch->id, into);
        if (runners_are_alive(&into->runners))
            break;
    }
    tell_end(launch, into);
}
