/*
 * probe.c: a preload whose getppid() writes down what script_stack() says at that moment.
 *
 * Every language can call getppid(), so an interpreter's frames are compared with its own idea of them, on
 * roads (dlsym, RTLD_DEEPBIND) and versions where libpq is not at hand. ask_in_thread() and hold_while() are
 * for ctypes: threads that the interpreter never saw, and a lock that it waits for.
 */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "watch/script.h"

static const char *const words[] = {"native", "python", "ruby", "php", "perl", "lua", "javascript", "pool"};
enum { FRAMES = 64, NOT_A_PID = 1000001 };

pid_t getppid(void) {
    struct script_text text;
    struct script script;
    char line[64];
    int error = errno;
    const char *path = getenv("PROBE_OUT");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    void *native[FRAMES];
    int count = backtrace(native, FRAMES);
    errno = 77;
    script_stack(script_loaded(), native, count, FRAMES, &text, &script);
    bool is_kept = errno == 77, is_running = script_is_running();
    int length = snprintf(line, sizeof line, "= %s %s%s\n", words[script.language],
                          is_running ? "running" : "idle", is_kept ? "" : " errno was touched");
    if (file < 0 || write(file, line, (size_t)length) != length ||
        write(file, script.text, script.length) != (ssize_t)script.length)
        return -1;
    close(file);
    errno = error;
    return NOT_A_PID;
}

/* PHP's extensions do not see a preload's functions (RTLD_DEEPBIND), PHP itself does. */
int usleep(useconds_t microseconds) {
    const struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000L};
    return microseconds == 0 ? (int)getppid() : nanosleep(&time, NULL);
}

/* libuv's pool makes Node's temporary directories. */
char *mkdtemp(char *path) {
    return mkdir(path, 0700) == 0 && getppid() == NOT_A_PID ? path : NULL;
}

static void *ask(void *unused) {
    getppid();
    return unused;
}

void ask_in_thread(void);
void ask_in_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, ask, NULL) == 0)
        pthread_join(thread, NULL);
}

/* hold_while(1) asks while it holds the lock; hold_while(0) waits for it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
void hold_while(int asking);
void hold_while(int asking) {
    const struct timespec enough = {0, 300000000};
    pthread_mutex_lock(&lock);
    if (asking) {
        nanosleep(&enough, NULL);
        getppid();
    }
    pthread_mutex_unlock(&lock);
}

/* Leaves a question by longjmp, as an interpreter's signal handler may, twenty times. The signal is this
 * thread's own: another one would jump to a stack that is not its. */
static sigjmp_buf away;
static void jump(int signal) {
    siglongjmp(away, signal);
}
void jump_out(void);
void jump_out(void) {
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
    const struct itimerspec soon = {.it_value.tv_nsec = 500000};
    struct script_text text;
    struct script script;
    uint64_t loaded = script_loaded(); /* asked here: the loader's lock is not to be jumped out of */
    timer_t timer;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    signal(SIGALRM, jump);
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        abort();
    for (volatile int times = 0; times < 20; times++)
        if (sigsetjmp(away, 1) == 0) {
            timer_settime(timer, 0, &soon, NULL);
            for (;;)
                script_stack(loaded, NULL, 0, FRAMES, &text, &script);
        }
    timer_delete(timer);
}

/* Nanoseconds that a question takes here. */
long time_of_asking(void);
long time_of_asking(void) {
    struct script_text text;
    struct script script;
    struct timespec begin, end;
    enum { ROUNDS = 10000 };
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < ROUNDS; i++)
        script_stack(script_loaded(), NULL, 0, 16, &text, &script);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((end.tv_sec - begin.tv_sec) * 1000000000L + end.tv_nsec - begin.tv_nsec) / ROUNDS;
}
