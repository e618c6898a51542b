/*
 * ends.c: opens a handle, and ends in ways that make a leak check difficult:
 *
 * finish, _exit, exec, kill, abort; daemon SECONDS (the child inherits the handle and does not touch it until
 * it finishes it), worker SECONDS (the child opens one of its own and finishes it at its end), closed (every
 * descriptor closed before exit), cleared (the environment cleared before the first connect), nobody (another
 * user from then on), unused (libpq loaded and never asked to connect), failed (a connect that fails is not
 * finished).
 */
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

PGconn *open_handle(void);

__attribute__((noinline)) PGconn *open_handle(void) {
    PGconn *handle = PQconnectdb("");
    PQclear(PQexec(handle, "SELECT 1"));
    return handle;
}

/* The words that the environment gave, so that nothing but the shim misses it. */
static void clear_environment(void) {
    static const char *const names[] = {"PGHOST", "PGPORT", "PGUSER", "PGDATABASE"};
    char *values[4];
    for (int i = 0; i < 4; i++)
        values[i] = strdup(getenv(names[i]) ? getenv(names[i]) : "");
    clearenv();
    for (int i = 0; i < 4; i++)
        setenv(names[i], values[i], 1);
}

/* The parent goes as daemon(3) has it; the standard streams would keep a reader of a pipe waiting. */
static void become_daemon(void) {
    fflush(NULL);
    if (fork() != 0)
        _exit(0);
    setsid();
    for (int number = 0; number < 3; number++)
        close(number);
}

static void end(const char *how, const char *seconds, PGconn *handle) {
    if (strcmp(how, "finish") == 0) {
        PQfinish(handle);
    } else if (strcmp(how, "_exit") == 0) {
        _exit(0);
    } else if (strcmp(how, "exec") == 0) {
        execlp("true", "true", (char *)NULL);
    } else if (strcmp(how, "kill") == 0) {
        raise(SIGKILL);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "daemon") == 0) {
        become_daemon();
        sleep((unsigned)atoi(seconds));
        PQfinish(handle);
    } else if (strcmp(how, "worker") == 0) {
        PQfinish(handle);
        become_daemon();
        handle = open_handle();
        sleep((unsigned)atoi(seconds));
        PQfinish(handle);
    } else if (strcmp(how, "closed") == 0) {
        for (int number = 0; number < 256; number++)
            close(number);
    }
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "finish";
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    if (strcmp(how, "unused") == 0)
        return PQlibVersion() < 0;
    if (strcmp(how, "failed") == 0) {
        PQconnectdb("host=/nowhere");
        return 0;
    }
    if (strcmp(how, "cleared") == 0)
        clear_environment();
    struct passwd *nobody = strcmp(how, "nobody") == 0 ? getpwnam("nobody") : NULL;
    if (nobody && setuid(nobody->pw_uid) != 0)
        return 99;
    PGconn *handle = open_handle();
    if (PQstatus(handle) != CONNECTION_OK) {
        fputs(PQerrorMessage(handle), stderr);
        return 98;
    }
    end(how, count > 2 ? arguments[2] : "0", handle);
    return 0;
}
