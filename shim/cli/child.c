/* child.c: the program as the launcher's child. */
#include "child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static sigset_t inherited_mask;
static struct sigaction inherited_sigchld;

void child_keep_standard_streams(void) {
    for (int number = 0; number <= 2; number++)
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF)
            /* Close-on-exec: the program starts with the number closed, as it was. */
            open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* What child_wait receives instead of the kernel acting on it. Left alone: what cannot be taken, what
 * means that we crashed, and the two stops that concern our own use of the terminal. */
static void passed_on(sigset_t *set) {
    static const int ours[] = {SIGKILL, SIGSTOP, SIGTTIN, SIGTTOU, SIGSEGV,
                               SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP, SIGSYS};
    sigfillset(set);
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        sigdelset(set, ours[i]);
}

/* Whatever was inherited has no close-on-exec, or exec would have closed it; whatever we opened has it.
 * A pipe whose other end waits for the program to close it must not wait for us. */
static void drop_inherited_descriptors(void) {
    DIR *stream = opendir("/proc/self/fd");
    if (!stream)
        return;
    for (struct dirent *entry; (entry = readdir(stream));) {
        int number = atoi(entry->d_name);
        if (number > 2 && number != dirfd(stream) && fcntl(number, F_GETFD) == 0)
            close(number);
    }
    closedir(stream);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return;
    dup3(null, STDIN_FILENO, O_CLOEXEC);
    dup3(null, STDOUT_FILENO, O_CLOEXEC);
    close(null);
}

/* The child. Nothing here but what may be called between fork and exec; the errno of a failed exec goes to
 * the parent, which would otherwise take our own 127 for the program's. */
static _Noreturn void become(char **command, int tell) {
    sigaction(SIGCHLD, &inherited_sigchld, NULL);
    sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
    execvp(command[0], command);
    int error = errno;
    while (write(tell, &error, sizeof error) < 0 && errno == EINTR)
        ;
    _exit(127);
}

bool child_start(char **command, struct child *child) {
    memset(child, 0, sizeof *child);
    int tell[2];
    sigset_t set;
    struct sigaction usual = {.sa_handler = SIG_DFL};
    passed_on(&set);
    if (pipe2(tell, O_CLOEXEC) != 0) {
        child->error = errno;
        return false;
    }
    /* Before the fork: a signal that arrives in between must not end the launcher and leave the program. */
    sigprocmask(SIG_BLOCK, &set, &inherited_mask);
    /* An inherited SIG_IGN would let the kernel reap the program, and its status with it. */
    sigaction(SIGCHLD, &usual, &inherited_sigchld);
    child->pid = fork();
    if (child->pid == 0)
        become(command, tell[1]);
    int error = child->pid < 0 ? errno : 0;
    close(tell[1]);
    if (child->pid > 0) {
        ssize_t got;
        /* End of file: exec succeeded and closed the pipe. */
        while ((got = read(tell[0], &error, sizeof error)) < 0 && errno == EINTR)
            ;
        if (got == (ssize_t)sizeof error)
            waitpid(child->pid, NULL, 0);
        else
            error = 0;
    }
    close(tell[0]);
    child->error = error;
    if (error)
        child_signals_back();
    else
        drop_inherited_descriptors();
    return error == 0;
}

/* The terminal stops the whole foreground group, but our SIGTSTP is blocked so that the program decides:
 * when it has stopped we stop too, and the shell sees its job stopped. A plain SIGSTOP from elsewhere is
 * the sender's affair: he will continue the program, and does not know that we exist. */
static void stop_with(int signal) {
    if (signal != SIGTSTP)
        return;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTSTP);
    raise(SIGTSTP);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* True once the program has ended. */
static bool look(struct child *child) {
    int status;
    pid_t pid;
    while ((pid = waitpid(child->pid, &status, WNOHANG | WUNTRACED)) == child->pid) {
        if (!WIFSTOPPED(status)) {
            child->status = status;
            return true;
        }
        stop_with(WSTOPSIG(status));
    }
    return pid < 0 && errno == ECHILD;
}

/* The kernel sends what concerns a terminal or a group to the program directly; what a timer sends comes
 * from an alarm that was set before we were started, and was meant for it. Our own pid: a SIGPIPE of ours.
 * The program's: it signals its whole group, and has had it. */
static bool is_for_the_program(const siginfo_t *signal, const struct child *child) {
    switch (signal->si_signo) {
    case SIGCHLD:
        return false;
    case SIGALRM:
    case SIGVTALRM:
    case SIGPROF:
        return true;
    }
    return signal->si_code <= 0 && signal->si_pid != getpid() && signal->si_pid != child->pid;
}

void child_wait(struct child *child) {
    sigset_t set;
    passed_on(&set);
    while (!look(child)) {
        siginfo_t signal;
        if (sigwaitinfo(&set, &signal) < 0 || !is_for_the_program(&signal, child))
            continue;
        if (signal.si_code == SI_QUEUE)
            sigqueue(child->pid, signal.si_signo, signal.si_value);
        else
            kill(child->pid, signal.si_signo);
    }
}

void child_signals_back(void) {
    /* A ^C ends the program and waits here for us too; unblocked, it would end the summary. */
    sigset_t set;
    passed_on(&set);
    struct timespec at_once = {0};
    while (sigtimedwait(&set, NULL, &at_once) > 0 || errno == EINTR)
        ;
    sigprocmask(SIG_SETMASK, &inherited_mask, NULL);
}

int child_end_like(const struct child *child) {
    if (WIFEXITED(child->status))
        return WEXITSTATUS(child->status);
    int signal = WTERMSIG(child->status);
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    /* The core, if any, is the program's; ours would overwrite it. */
    prctl(PR_SET_DUMPABLE, 0);
    sigaction(signal, &usual, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signal);
    return 128 + signal;
}
