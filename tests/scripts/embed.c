/*
 * embed.c: a program that loads libpython for itself alone (RTLD_LOCAL), as servers load their plug-ins, asks
 * from a script, after the interpreter's end, and after the library is gone.
 *
 * embed LIBPYTHON; the answers go to $PROBE_OUT (probe.c).
 */
#include <dlfcn.h>
#include <unistd.h>

int main(int count, char **arguments) {
    void *python = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!python)
        return 1;
    void (*begin)(int) = (void (*)(int))dlsym(python, "Py_InitializeEx");
    int (*run)(const char *) = (int (*)(const char *))dlsym(python, "PyRun_SimpleString");
    int (*end)(void) = (int (*)(void))dlsym(python, "Py_FinalizeEx");
    if (!begin || !run || !end)
        return 2;
    getppid();
    begin(0);
    getppid();
    int status = run("import os\ndef ask():\n    os.getppid()\n\nask()\n");
    getppid();
    end();
    getppid();
    dlclose(python);
    getppid();
    return status ? 3 : 0;
}
