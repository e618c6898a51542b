/*
 * escapes.c: executes `echo one two` in each way there is, with an environment that it was given or one that
 * has lost all of it: escapes FUNCTION kept|cleared. Names are execve, execv, execvp, execvpe, execl, execlp,
 * execle, fexecve, execveat, posix_spawn, posix_spawnp, system, popen, vfork (and execve), missing (execve of
 * nothing, which must leave no trace, then true with what it was given).
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *const words[] = {"echo", "one", "two", NULL};
static char *nothing[] = {NULL};

static int wait_for(pid_t pid) {
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

static int spawn(const char *how, char **environment) {
    pid_t pid;
    int error = strcmp(how, "posix_spawn") == 0
                    ? posix_spawn(&pid, "/bin/echo", NULL, NULL, words, environment)
                    : posix_spawnp(&pid, "echo", NULL, NULL, words, environment);
    return error ? 98 : wait_for(pid);
}

static int through_a_pipe(void) {
    char line[64];
    FILE *in = popen("echo one two", "r");
    if (!in || !fgets(line, sizeof line, in))
        return 97;
    fputs(line, stdout);
    return pclose(in);
}

static int with_vfork(char **environment) {
    pid_t pid = vfork();
    if (pid == 0) {
        execve("/bin/echo", words, environment);
        _exit(96);
    }
    return wait_for(pid);
}

int main(int count, char **arguments) {
    if (count < 3)
        return 95;
    const char *how = arguments[1];
    char **environment = strcmp(arguments[2], "kept") == 0 ? environ : nothing;
    environ = environment;
    if (strcmp(how, "execve") == 0)
        execve("/bin/echo", words, environment);
    else if (strcmp(how, "execv") == 0)
        execv("/bin/echo", words);
    else if (strcmp(how, "execvp") == 0)
        execvp("echo", words);
    else if (strcmp(how, "execvpe") == 0)
        execvpe("echo", words, environment);
    else if (strcmp(how, "execl") == 0)
        execl("/bin/echo", "echo", "one", "two", (char *)NULL);
    else if (strcmp(how, "execlp") == 0)
        execlp("echo", "echo", "one", "two", (char *)NULL);
    else if (strcmp(how, "execle") == 0)
        execle("/bin/echo", "echo", "one", "two", (char *)NULL, environment);
    else if (strcmp(how, "fexecve") == 0)
        fexecve(open("/bin/echo", O_RDONLY | O_CLOEXEC), words, environment);
    else if (strcmp(how, "execveat") == 0)
        execveat(open("/bin", O_RDONLY | O_DIRECTORY), "echo", words, environment, 0);
    else if (strncmp(how, "posix_spawn", 11) == 0)
        return spawn(how, environment);
    else if (strcmp(how, "system") == 0)
        return system("echo one two");
    else if (strcmp(how, "popen") == 0)
        return through_a_pipe();
    else if (strcmp(how, "vfork") == 0)
        return with_vfork(environment);
    else if (strcmp(how, "missing") == 0 && execve("/nowhere/echo", words, nothing) < 0)
        execv("/bin/echo", words);
    return 94;
}
